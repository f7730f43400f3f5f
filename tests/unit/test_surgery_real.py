"""Surgery at Whisper's own sizes: 30 s windows, a real vocabulary, whisper-tiny's layers; long-form and token times."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from benchmark.api import Budget
from benchmark.pruning.groups import L1Groups
from benchmark.whisper.files import load, save
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View
from tests.tiny import features, tiny_whisper, token_ids

WINDOW, NO_TIMESTAMPS = 3000, 90
ENCODER, DECODER = "model.encoder.layers", "model.decoder.layers"
PLAN = Plan(
    {
        f"{DECODER}.0.encoder_attn": torch.tensor([1, 3]),
        f"{DECODER}.1.encoder_attn": torch.tensor([0, 2, 3]),
        f"{DECODER}.1.self_attn": torch.tensor([3]),
        f"{DECODER}.0.ffn": torch.arange(7, 40),
        f"{ENCODER}.0.ffn": torch.arange(64),
        f"{ENCODER}.1.self_attn": torch.tensor([2]),
    }
)


pytestmark = pytest.mark.usefixtures("one_thread")


def masked(model: WhisperForConditionalGeneration, plan: Plan) -> WhisperForConditionalGeneration:
    result = copy.deepcopy(model)
    Masker(result, Structure.of(result), plan).apply_()
    return result


# --- whisper-tiny's layers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whisper_tiny() -> WhisperForConditionalGeneration:
    """openai/whisper-tiny's config (39 M parameters) with random weights."""
    config = WhisperConfig(
        d_model=384,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_ffn_dim=1536,
        vocab_size=51865,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WhisperForConditionalGeneration(config).eval()


@pytest.mark.slow
@torch.no_grad()
def test_whisper_tiny_keeps_what_surgery_must_not_touch(
    whisper_tiny: WhisperForConditionalGeneration, tmp_path: Path
) -> None:
    structure = Structure.of(whisper_tiny)
    rule = L1Groups(budget=Budget(kind="prunable_stored", keep=0.6), round_to=64)
    plan = rule.decide(View(whisper_tiny, structure, Plan(), 0))
    cut = shrink(whisper_tiny, plan)
    small = load(save(cut, tmp_path / "small", check=False))
    ffn = [group.count for group in Structure.of(small).groups if group.kind == "ffn_neuron"]
    heads = [group.count for group in Structure.of(small).groups if group.kind == "head"]
    assert all(count % 64 == 0 for count in ffn) and len(set(ffn)) > 1 and len(set(heads)) > 1
    for one in (cut, small):
        assert one.proj_out.weight is one.model.decoder.embed_tokens.weight
        sinusoids = one.model.encoder.embed_positions.weight
        assert torch.equal(sinusoids, whisper_tiny.model.encoder.embed_positions.weight)
        assert not sinusoids.requires_grad
    assert small.model.decoder.embed_positions.weight.requires_grad
    for name, module in small.named_modules():
        if name.endswith("k_proj"):
            assert module.bias is None
    assert {m.head_dim for m in small.modules() if hasattr(m, "head_dim")} == {64}
    dense, lost = sum(p.numel() for p in whisper_tiny.parameters()), 0
    for key, kept in plan.kept.items():
        group = structure.group(key)
        biases = 1 if group.kind == "ffn_neuron" else 2 * group.width  # of fc1; of q and v
        lost += (group.count - len(kept)) * (group.weights + biases)
    assert sum(p.numel() for p in small.parameters()) == dense - lost
    inputs = {"input_features": features(whisper_tiny, batch=1), "decoder_input_ids": token_ids(whisper_tiny, batch=1)}
    expected = masked(whisper_tiny, plan)(**inputs).logits
    for attention in ("sdpa", "eager"):
        small.set_attn_implementation(attention)
        assert (small(**inputs).logits - expected).abs().max() <= 1e-4 * expected.abs().max()


# --- 30 s windows and more ----------------------------------------------------------------------------------------


def speaking(**changes: Any) -> WhisperForConditionalGeneration:
    """Return a narrow Whisper with 30 s windows and all 1501 time stamps."""
    model = tiny_whisper(d=64, ffn=128, vocab=1600, frames=WINDOW, targets=64, mels=80, seed=3)
    config = model.generation_config
    config.no_timestamps_token_id, config.is_multilingual, config.return_timestamps = NO_TIMESTAMPS, False, True
    config.max_length = 20
    for name, value in changes.items():
        setattr(config, name, value)
    return model


def sound(frames: int) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return log-mels of so many frames, and how they are decoded."""
    mels = torch.randn(1, 80, frames, generator=torch.Generator().manual_seed(2))
    mask = torch.ones(1, frames, dtype=torch.long)
    return mels, {"attention_mask": mask, "return_timestamps": True, "do_sample": False}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_long_recordings_are_decoded_window_by_window_as_by_the_masked_model(attention: str) -> None:
    model = speaking()
    model.set_attn_implementation(attention)
    mels, options = sound(2 * WINDOW + 1000)
    expected = masked(model, PLAN).generate(mels, num_beams=1, **options)
    assert torch.equal(shrink(model, PLAN).generate(mels, num_beams=1, **options), expected)
    stamps = (expected > NO_TIMESTAMPS).sum()
    assert expected.shape[1] > 20 and 0 < stamps < expected.shape[1]  # more than one window, and words besides


@pytest.mark.parametrize(
    "options", [{"num_beams": 3}, {"num_beams": 1, "cache_implementation": "static"}], ids=["beam", "static"]
)
def test_long_recordings_by_beam_search_and_with_a_static_cache(options: dict[str, Any]) -> None:
    model = speaking()
    mels, common = sound(WINDOW + 1000)
    expected = masked(model, PLAN).generate(mels, **common, **options)
    assert torch.equal(shrink(model, PLAN).generate(mels, **common, **options), expected)


@pytest.mark.parametrize(
    ("plan", "left", "follow"),
    [
        (PLAN, [[0, 1], [1, 2]], [[0, 0], [1, 1]]),
        (PLAN.then(Plan({DECODER: torch.tensor([1])})), [[1, 2]], [[0, 1]]),
    ],
    ids=["heads", "heads and layers"],
)
def test_token_times_come_from_the_alignment_heads_that_are_left(
    plan: Plan, left: list[list[int]], follow: list[list[int]], tmp_path: Path
) -> None:
    model = speaking(alignment_heads=[[0, 1], [1, 1], [1, 2]])
    small = load(save(shrink(model, plan), tmp_path / "small", check=False))
    assert small.generation_config.alignment_heads == follow
    reference = masked(model, plan)
    reference.generation_config.alignment_heads = left
    mels, options = sound(WINDOW)
    expected, found = (
        one.generate(mels, return_token_timestamps=True, num_beams=1, **options) for one in (reference, small)
    )
    assert torch.equal(found["sequences"], expected["sequences"])
    assert torch.equal(found["token_timestamps"], expected["token_timestamps"])
    assert expected["token_timestamps"].max() > 0


def test_without_an_alignment_head_token_times_are_refused_and_not_wrong() -> None:
    small = shrink(speaking(alignment_heads=[[0, 0], [1, 1]]), PLAN)
    mels, options = sound(WINDOW)
    with pytest.raises(ValueError, match="alignment_heads"):
        small.generate(mels, return_token_timestamps=True, num_beams=1, **options)
    assert small.generate(mels, num_beams=1, **options).shape[1] > 1

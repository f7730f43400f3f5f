"""Layers, tokens, gathered columns and factorised matrices: the law, names, ids, and what is saved."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperForConditionalGeneration

from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.whisper.files import load, save
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import TOKENS, Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.vocabulary import merge_parts, trim_processor
from tests.tiny import coarse_plan, features, tiny_whisper, token_ids

SMALL = {"d": 16, "layers": (3, 3), "ffn": 12, "vocab": 40, "frames": 20, "targets": 16}
DECODER, ENCODER = "model.decoder.layers", "model.encoder.layers"


def masked(model: WhisperForConditionalGeneration, plan: Plan) -> WhisperForConditionalGeneration:
    result = copy.deepcopy(model)
    Masker(result, Structure.of(result), plan).apply_()
    return result


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["eager", "sdpa"]),
    st.sampled_from([(torch.float64, 1e-9), (torch.float32, 1e-4)]),
)
@torch.no_grad()
def test_shrunk_equals_masked_on_the_tokens_that_are_left(
    seed: int, attention: str, precision: tuple[torch.dtype, float]
) -> None:
    dtype, tolerance = precision
    model = tiny_whisper(**SMALL, seed=seed).to(dtype)
    model.set_attn_implementation(attention)
    structure = Structure.of(model)
    plan = coarse_plan(structure, seed)
    result, tokens = shrink(model, plan), plan.kept[TOKENS]
    new = torch.arange(8).reshape(2, 4) % len(tokens)
    expected = masked(model, plan)(input_features=features(model), decoder_input_ids=tokens[new]).logits[..., tokens]
    found = result(input_features=features(model), decoder_input_ids=new).logits
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()
    linear = [module for name, module in result.named_modules() if isinstance(module, torch.nn.Linear)]
    stored = sum(module.weight.numel() for module in linear) - result.proj_out.weight.numel()
    assert stored == plan.stored(structure)
    live = sum(int(module.weight.count_nonzero()) for module in linear) - int(result.proj_out.weight.count_nonzero())
    assert live == plan.nonzero(structure)


def low_rank(model: WhisperForConditionalGeneration, rank: int) -> dict[str, int]:
    """Make some matrices of ``model`` have that rank, in place."""
    chosen = {m.name: rank for m in Structure.of(model).matrices if m.kind in ("fc1", "out", "k")}
    with torch.no_grad():
        for name in chosen:
            weight = model.get_parameter(name)
            left, values, right = torch.linalg.svd(weight.double(), full_matrices=False)
            weight.copy_((left[:, :rank] * values[:rank]) @ right[:rank])
    return chosen


@torch.no_grad()
def test_factors_compute_what_the_matrix_of_that_rank_does(tmp_path: Path) -> None:
    model = tiny_whisper(**SMALL).double()
    plan = Plan({f"{ENCODER}.0.self_attn": torch.tensor([1, 2, 3])}, ranks=low_rank(model, 5))
    structure, result = Structure.of(model), shrink(model, plan)
    inputs = {"input_features": features(model), "decoder_input_ids": token_ids(model)}
    expected = masked(model, plan)(**inputs).logits
    assert (result(**inputs).logits - expected).abs().max() <= 1e-9 * expected.abs().max()
    size = sum(p.numel() for n, p in result.named_parameters() if p.ndim == 2 and (".0.weight" in n or "1.w" in n))
    assert size == sum(5 * sum(plan.shape(structure.matrix(name))) for name in plan.ranks)
    save(result.float(), tmp_path / "m")
    assert load(tmp_path / "m").config.kept_shape["ranks"][f"{ENCODER}.0.fc1"] == 5
    with pytest.raises(SpecError, match=r"LowRankLinear.*prune the model before"):
        Structure.of(result)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}], ids=str)
def test_generates_the_same_tokens_as_the_masked_model(options: dict[str, object]) -> None:
    model = tiny_whisper(d=32, layers=(3, 3), seed=5)
    plan = coarse_plan(Structure.of(model), 11)
    plan = Plan({key: value for key, value in plan.kept.items() if key != TOKENS}, plan.masks, plan.columns)
    expected = masked(model, plan).generate(features(model), do_sample=False, **options)
    assert torch.equal(shrink(model, plan).generate(features(model), do_sample=False, **options), expected)


@torch.no_grad()
def test_static_cache_and_long_form_with_removed_layers() -> None:
    """With time stamps in the vocabulary, two windows of speech are decoded one after the other."""
    model = tiny_whisper(d=32, layers=(3, 2), vocab=100, frames=100, targets=24, seed=3)
    config = model.generation_config
    config.no_timestamps_token_id, config.is_multilingual, config.return_timestamps = 70, False, True
    config.max_length = 12
    plan = Plan({ENCODER: torch.tensor([0, 2]), f"{DECODER}.0.ffn": torch.arange(7)})
    sound = torch.randn(1, 8, 250, generator=torch.Generator().manual_seed(2))
    options = {"attention_mask": torch.ones(1, 250), "return_timestamps": True, "do_sample": False, "num_beams": 1}
    expected = masked(model, plan).generate(sound, **options)
    assert torch.equal(shrink(model, plan).generate(sound, **options), expected)
    assert expected.shape[1] > 12  # more than one window was decoded


def test_alignment_heads_follow_removed_layers() -> None:
    model = tiny_whisper(**SMALL)
    model.generation_config.alignment_heads = [[0, 1], [1, 0], [2, 3]]
    plan = Plan({DECODER: torch.tensor([0, 2]), f"{DECODER}.2.encoder_attn": torch.tensor([1, 3])})
    assert shrink(model, plan).generation_config.alignment_heads == [[0, 1], [1, 1]]
    gone = shrink(model, Plan({DECODER: torch.tensor([1]), f"{DECODER}.1.encoder_attn": torch.tensor([2])}))
    assert not hasattr(gone.generation_config, "alignment_heads")


def test_what_lies_in_a_removed_layer_is_forgotten_and_counts_nothing() -> None:
    structure = Structure.of(tiny_whisper(**SMALL))
    inside = Plan({f"{ENCODER}.1.ffn": torch.arange(3)}, columns={f"{ENCODER}.1.fc1.weight": torch.arange(4)})
    plan = inside.then(Plan({ENCODER: torch.tensor([0, 2])}))
    assert plan == Plan({ENCODER: torch.tensor([0, 2])}).then(inside) == Plan({ENCODER: torch.tensor([0, 2])})
    layer = structure.group(ENCODER).weights
    assert plan.stored(structure) == plan.nonzero(structure) == structure.prunable - layer
    assert not plan.mask(structure.matrix(f"{ENCODER}.1.fc1.weight")).any()


def test_all_kinds_survive_the_disk(tmp_path: Path) -> None:
    plan = coarse_plan(Structure.of(tiny_whisper(**SMALL)), 3)
    name = f"{DECODER}.{int(plan.kept[DECODER][0])}.fc1.weight"
    plan = plan.then(Plan(ranks={name: 3})).then(Plan(quantised="int8"))
    plan.save(tmp_path / "plan.safetensors")
    assert Plan.load(tmp_path / "plan.safetensors") == plan
    assert plan != plan.then(Plan(ranks={name: 4}))


def test_saved_compact_and_shallow_models_open_anywhere(tmp_path: Path) -> None:
    model = tiny_whisper(**SMALL, seed=2)
    plan = coarse_plan(Structure.of(model), 7)
    assert plan.columns
    small = shrink(model, plan)
    save(small, tmp_path / "m")  # opens it in a fresh process by our own load, and by transformers alone
    again = load(tmp_path / "m")
    assert {k: v.tolist() for k, v in again.state_dict().items()} == {
        k: v.tolist() for k, v in small.state_dict().items()
    }
    stock = shrink(model, Plan({DECODER: torch.tensor([0, 2])}))
    assert type(stock) is WhisperForConditionalGeneration and stock.config.decoder_layers == 2


def test_plans_that_cannot_be_are_refused() -> None:
    model = tiny_whisper(**SMALL)
    structure = Structure.of(model)
    name = f"{ENCODER}.0.fc1.weight"
    for plan, said in (
        (Plan({ENCODER: torch.tensor([3])}), "members 0 to 2, not 3"),
        (Plan(columns={name: torch.tensor([16])}), "live columns"),
        (Plan(ranks={name: 13}), "rank 13"),
        (Plan(masks={name: torch.zeros(12, 16, dtype=torch.bool)}, ranks={name: 2}), "two factors"),
    ):
        with pytest.raises(SpecError, match=said):
            plan.validate(structure)
    with pytest.raises(SpecError, match="token 2, the model's eos_token_id"):
        shrink(model, Plan({TOKENS: torch.tensor([0, 1, 3, 4, 5])}))
    with pytest.raises(SpecError, match="quantised = 'int4'"):
        Plan(quantised="int4")


def test_a_trimmed_tokenizer_cuts_words_as_before_and_numbers_them_anew() -> None:
    model, processor = REGISTRY.get("model", "nano-hi").load()
    texts = ["नमस्ते दुनिया", "हमने उस उम्मीदवार को चुना।"]
    before = [processor.tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    parts = {token: (left, right) for token, left, right in merge_parts(processor).tolist()}
    kept = {i for i, token in enumerate(processor.tokenizer.convert_ids_to_tokens(range(543))) if len(token) == 1}
    kept |= {token for ids in before for token in ids} | set(range(543, model.config.vocab_size))
    open_ = list(kept)
    while open_:
        fresh = set(parts.get(open_.pop(), ())) - kept
        kept |= fresh
        open_ += fresh
    plan = Plan({TOKENS: torch.tensor(sorted(kept))})
    trimmed, small = trim_processor(processor, plan.kept[TOKENS]), shrink(model, plan)
    assert len(trimmed.tokenizer) == len(kept) < model.config.vocab_size
    order = sorted(kept)
    for text, ids in zip(texts, before, strict=True):
        after = trimmed.tokenizer(text, add_special_tokens=False).input_ids
        assert [order[i] for i in after] == ids
        assert trimmed.decode(after) == processor.decode(ids)
    other = "क्षत्रिय XYZ 42 தமிழ்"  # never seen: falls back to smaller pieces, and comes back whole
    assert trimmed.decode(trimmed.tokenizer(other, add_special_tokens=False).input_ids).strip() == other
    old, new = model.generation_config, small.generation_config
    assert order[new.no_timestamps_token_id] == old.no_timestamps_token_id
    assert order[new.lang_to_id["<|hi|>"]] == old.lang_to_id["<|hi|>"]
    prefix = trimmed.tokenizer(texts[0]).input_ids[:4]
    assert [order[i] for i in prefix] == processor.tokenizer(texts[0]).input_ids[:4]

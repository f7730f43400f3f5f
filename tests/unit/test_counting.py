"""Three counters agree: ptflops on what runs, the closed form from shapes, and torch's own; and with the literature."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import WhisperConfig, WhisperForConditionalGeneration

from benchmark.errors import SpecError
from benchmark.measure import counting
from benchmark.measure.counting import (
    Size,
    closed_form,
    macs,
    nonzero,
    parameters,
    parameters_by_stack,
    teacher_forced,
    teacher_forced_closed_form,
)
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from tests.tiny import features, tiny_whisper

PARTS = ("encoder", "cross_kv", "decoder_token")
CHECKPOINTS = {"tiny": (384, 4, 6), "base": (512, 6, 8), "small": (768, 12, 12), "medium": (1024, 24, 16)}
"""d_model, layers a stack and heads, from the config.json of each checkpoint on the Hugging Face hub."""


def checkpoint(name: str) -> WhisperForConditionalGeneration:
    """The shapes of ``openai/whisper-<name>`` without its weights: counting needs none."""
    width, layers, heads = CHECKPOINTS[name]
    config = WhisperConfig(
        vocab_size=51865,
        num_mel_bins=80,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        max_source_positions=1500,
        max_target_positions=448,
    )
    with torch.device("meta"):
        return WhisperForConditionalGeneration(config)


def uneven() -> WhisperForConditionalGeneration:
    """Other head counts and widths in every layer."""
    model = tiny_whisper(d=32, layers=(3, 2), heads=4, ffn=48)
    groups = Structure.of(model).groups
    return shrink(model, Plan({g.key: torch.arange(1 + (7 * n) % g.count) for n, g in enumerate(groups)}))


@pytest.mark.parametrize(
    ("name", "one_token", "text"),
    [("tiny", 40.54, 71.08), ("base", 96.92, 151.05), ("small", 386.96, 543.28), ("medium", 1290.02, 1738.12)],
)
def test_known_flops(name: str, one_token: float, text: float) -> None:
    """GFLOPs (2 x MACs) of 30 s and one decoder token, and of 30 s and a teacher-forced text of 448 tokens."""
    model = checkpoint(name)
    for count in (macs, closed_form):
        assert 2e-9 * count(model, 0).total == pytest.approx(one_token, rel=0.005)
    for forced in (teacher_forced, teacher_forced_closed_form):
        assert 2e-9 * forced(model, 448).total == pytest.approx(text, rel=0.005)
    assert macs(model, 0) == closed_form(model, 0)
    assert teacher_forced(model, 448) == teacher_forced_closed_form(model, 448)


@pytest.mark.parametrize(
    ("name", "millions", "encoder", "decoder"),
    [
        ("tiny", 37.76, None, None),
        ("base", 72.59, None, None),
        ("small", 241.73, 88.15, 153.58),
        ("medium", 763.86, 307.22, 456.64),
    ],
)
def test_known_parameters(name: str, millions: float, encoder: float | None, decoder: float | None) -> None:
    model = checkpoint(name)
    stacks = parameters_by_stack(model)
    assert parameters(model) / 1e6 == pytest.approx(millions, abs=0.006)
    assert sum(stacks.values()) == parameters(model)
    if encoder is not None and decoder is not None:
        assert stacks["encoder"] / 1e6 == pytest.approx(encoder, abs=0.006)
        assert stacks["decoder"] / 1e6 == pytest.approx(decoder, abs=0.006)


def test_the_attention_products_are_in_each_part() -> None:
    """Small: what depends on keys alone is 42 GMac of its encoder (the 21 % that sdpa would hide)."""
    model = checkpoint("small")
    counted, width, frames, layers = macs(model, 9), 768, 1500, 12
    convolutions = 3000 * 3 * 80 * width + frames * 3 * width * width
    assert counted.encoder == convolutions + layers * frames * (12 * width**2 + 2 * frames * width)
    assert counted.cross_kv == layers * frames * 2 * width**2
    assert counted.decoder_token == layers * (14 * width**2 + 2 * (10 + frames) * width) + 51865 * width


@pytest.mark.parametrize("make", [tiny_whisper, uneven])
@pytest.mark.parametrize("position", [0, 7])
def test_closed_form_and_counter_agree(make: Any, position: int) -> None:
    model = make()
    counted, derived = macs(model, position), closed_form(model, position)
    assert counted == derived
    assert counted.total == counted.encoder + counted.cross_kv + counted.decoder_token


@pytest.mark.parametrize("make", [tiny_whisper, uneven])
@pytest.mark.parametrize("tokens", [1, 9])
def test_a_teacher_forced_pass_counts_what_torchs_own_counter_does(make: Any, tokens: int) -> None:
    model = make()
    model.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(features(model, batch=1), decoder_input_ids=torch.ones(1, tokens, dtype=torch.long), use_cache=False)
    counted = teacher_forced(model, tokens)
    assert counter.get_total_flops() == 2 * counted.total
    assert counted == teacher_forced_closed_form(model, tokens)


@pytest.mark.parametrize("make", [tiny_whisper, uneven])
def test_torchs_own_counter_agrees_on_a_real_run(make: Any) -> None:
    model = make()
    model.set_attn_implementation("eager")
    inputs, token = features(model, batch=1), torch.tensor([[3]])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        first = model(input_features=inputs, decoder_input_ids=token, use_cache=True)
    counted = macs(model, 0)
    assert counter.get_total_flops() == 2 * counted.total
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(
            encoder_outputs=(first.encoder_last_hidden_state,),
            decoder_input_ids=token,
            past_key_values=first.past_key_values,
            use_cache=True,
        )
    assert counter.get_total_flops() == 2 * macs(model, 1).decoder_token


def test_only_the_token_depends_on_the_position() -> None:
    model = tiny_whisper(d=32, layers=(2, 2))
    first, later = macs(model, 0), macs(model, 10)
    assert (first.window, first.position, later.position) == (later.window, 0, 10)
    assert later.decoder_token - first.decoder_token == 2 * 10 * 2 * 32  # layers x keys x (scores and mix) x width


def test_smaller_models_cost_less_in_every_part_and_masks_cost_the_same() -> None:
    model = tiny_whisper(d=32, layers=(3, 2), heads=4, ffn=48)
    small, dense = macs(uneven(), 3), macs(model, 3)
    assert all(getattr(small, part) < getattr(dense, part) for part in PARTS)
    with torch.no_grad():
        model.model.encoder.layers[0].fc1.weight.zero_()
    assert macs(model, 3) == dense


def test_the_model_is_not_touched(capfd: pytest.CaptureFixture[str]) -> None:
    model = tiny_whisper().train()
    before = copy.deepcopy(model.state_dict())
    implementation = model.config._attn_implementation
    macs(model, 2)
    assert model.training and model.config._attn_implementation == implementation == "sdpa"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None and parameter.device.type == "cpu" for parameter in model.parameters())
    assert capfd.readouterr().out == ""


def test_sdpa_would_have_hidden_the_attention_products() -> None:
    """The reason for eager: should this ever fail, the counter has learnt sdpa and the detour can go."""
    model = tiny_whisper(frames=200)
    inputs = features(model, batch=1)
    hidden = counting._count(lambda: model.get_encoder()(inputs))
    assert hidden == macs(model, 0).encoder - 2 * 100 * 100 * 2 * 32  # layers x queries x keys x 2 products x width


def test_sizes_count_tied_weights_once() -> None:
    model = tiny_whisper(d=32, vocab=100)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1)
        model.get_output_embeddings().weight[:10] = 0
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert parameters(model) - nonzero(model) == 10 * 32
    assert Size.of(model) == Size(parameters(model), nonzero(model))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert Size.of(model).parameters == parameters(model) > 0


@pytest.mark.parametrize("position", [-1, 24])
def test_a_position_must_exist(position: int) -> None:
    for count in (macs, closed_form):
        with pytest.raises(SpecError, match="positions 0 to 23"):
            count(tiny_whisper(), position)


@pytest.mark.parametrize("tokens", [0, 25])
def test_a_text_must_fit(tokens: int) -> None:
    for count in (teacher_forced, teacher_forced_closed_form):
        with pytest.raises(SpecError, match="takes 1 to 24"):
            count(tiny_whisper(), tokens)


def test_an_untied_head_counts_in_the_decoder() -> None:
    model = tiny_whisper(d=32, vocab=100)
    tied = parameters_by_stack(model)
    model.proj_out.weight = torch.nn.Parameter(model.proj_out.weight.detach().clone())
    untied = parameters_by_stack(model)
    assert untied == {"encoder": tied["encoder"], "decoder": tied["decoder"] + 100 * 32}
    assert sum(untied.values()) == parameters(model)


def test_what_ptflops_swallows_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise RuntimeError("no such thing")

    with pytest.raises(SpecError, match="no such thing"):
        counting._count(broken)
    assert capfd.readouterr() == ("", "")

"""A shrunk model computes what the masked one does, counts what the arithmetic says, and is a whole model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperForConditionalGeneration

from benchmark.errors import SpecError
from benchmark.whisper.masking import Masker
from benchmark.whisper.modeling_pruned_whisper import PrunedWhisperForConditionalGeneration
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from tests.tiny import features, random_plan, tiny_whisper, token_ids

CROSS = "model.decoder.layers.{}.encoder_attn"
SMALL: dict[str, Any] = {"d": 16, "layers": (2, 2), "ffn": 12, "vocab": 40, "frames": 20, "targets": 16}


def masked(model: WhisperForConditionalGeneration, plan: Plan) -> WhisperForConditionalGeneration:
    """Return a copy with the plan's zeros written and nothing removed."""
    result = copy.deepcopy(model)
    Masker(result, Structure.of(result), plan).apply_()
    return result


@torch.no_grad()
def logits(model: WhisperForConditionalGeneration) -> torch.Tensor:
    return model(input_features=features(model), decoder_input_ids=token_ids(model)).logits


def cut(model: WhisperForConditionalGeneration, heads: bool, neurons: bool) -> Plan:
    """Return a plan that removes every other member of the groups asked for."""
    groups = [g for g in Structure.of(model).groups if (heads if g.kind == "head" else neurons)]
    return Plan({group.key: torch.arange(0, group.count, 2) for group in groups})


def parameters(model: WhisperForConditionalGeneration) -> int:
    return sum(parameter.numel() for parameter in model.parameters())  # tied weights count once


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["eager", "sdpa"]),
    st.sampled_from([(torch.float64, 1e-9), (torch.float32, 1e-4)]),
)
def test_shrunk_equals_masked(seed: int, attention: str, precision: tuple[torch.dtype, float]) -> None:
    dtype, tolerance = precision
    model = tiny_whisper(**SMALL, seed=seed).to(dtype)
    model.set_attn_implementation(attention)
    plan = random_plan(Structure.of(model), seed)
    result = shrink(model, plan)
    assert result.config._attn_implementation == attention and result.dtype == dtype
    expected = logits(masked(model, plan))
    assert (logits(result) - expected).abs().max() <= tolerance * expected.abs().max()
    remaining = Structure.of(result)
    assert remaining.prunable == plan.stored(Structure.of(model))
    nonzero = sum(int(result.get_parameter(m.name).count_nonzero()) for m in remaining.matrices)
    assert nonzero == plan.nonzero(Structure.of(model))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}], ids=["greedy", "beam", "static"]
)
def test_generates_with_mixed_heads(options: dict[str, Any], attention: str) -> None:
    model = tiny_whisper(seed=4)
    model.set_attn_implementation(attention)
    kept = {CROSS.format(0): torch.tensor([2]), CROSS.format(1): torch.tensor([0, 1, 3])}
    kept |= {"model.decoder.layers.0.self_attn": torch.tensor([1, 2, 3]), "model.decoder.layers.1.ffn": torch.arange(9)}
    plan = Plan({**kept, "model.encoder.layers.1.self_attn": torch.tensor([0, 3])})
    tokens = shrink(model, plan).generate(features(model), do_sample=False, **options)
    assert torch.equal(tokens, masked(model, plan).generate(features(model), do_sample=False, **options))
    assert len(torch.unique(tokens)) > 2  # a model that says one thing only would prove nothing


def test_golden_parameter_counts() -> None:
    """Worked out by hand: d 64, 2+2 layers, 4 heads, FFN 256, vocabulary 1000, 80 mels, 1500+448 positions."""
    model = tiny_whisper(d=64, layers=(2, 2), heads=4, ffn=256, vocab=1000, frames=3000, targets=448, mels=80)
    assert parameters(model) == 449_792
    assert parameters(shrink(model, cut(model, heads=True, neurons=False))) == 400_256
    assert parameters(shrink(model, cut(model, heads=False, neurons=True))) == 383_744
    assert parameters(shrink(model, cut(model, heads=True, neurons=True))) == 334_208


def test_the_input_is_not_changed_and_nothing_is_shared() -> None:
    model = tiny_whisper()
    model.generation_config.alignment_heads = [[0, 1], [1, 2]]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config, generation = model.config.to_dict(), model.generation_config.to_dict()
    generator = torch.random.get_rng_state()
    result = shrink(model, random_plan(Structure.of(model), 2))
    with torch.no_grad():
        for parameter in result.parameters():
            parameter.fill_(7.0)
    result.config.vocab_size = 1
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert model.config.to_dict() == config and model.generation_config.to_dict() == generation
    assert torch.equal(generator, torch.random.get_rng_state())


def test_what_stays_as_it_was() -> None:
    model = tiny_whisper().train()
    result = shrink(model, cut(model, heads=True, neurons=True))
    attention = result.model.decoder.layers[1].encoder_attn
    assert (attention.num_heads, attention.head_dim, attention.scaling) == (2, 8, 8**-0.5)
    assert result.proj_out.weight is result.model.decoder.embed_tokens.weight
    assert result.training
    assert not result.model.encoder.embed_positions.weight.requires_grad
    assert all(p.requires_grad for n, p in result.named_parameters() if "encoder.embed_positions" not in n)
    result(input_features=features(result), labels=token_ids(result)).loss.backward()
    gradient = result.model.encoder.layers[0].self_attn.q_proj.weight.grad
    assert gradient is not None and gradient.shape == (16, 32)


def test_class_and_shape_in_config() -> None:
    model = tiny_whisper()
    stock = shrink(model, Plan(masks={"model.encoder.layers.0.fc1.weight": torch.rand(64, 32) < 0.5}))
    assert type(stock) is WhisperForConditionalGeneration
    assert not hasattr(stock.config, "kept_shape")
    assert type(shrink(model, Plan({CROSS.format(0): torch.arange(4)}))) is WhisperForConditionalGeneration
    smaller = shrink(model, Plan({CROSS.format(0): torch.tensor([1])}))
    assert type(smaller) is PrunedWhisperForConditionalGeneration
    assert smaller.config.model_type == "whisper"
    shape = smaller.config.kept_shape
    assert shape["format"] == 1
    assert shape["heads"] == {**dict.fromkeys(shape["heads"], 4), CROSS.format(0): 1} and len(shape["heads"]) == 6
    assert set(shape["ffn"].values()) == {64} and len(shape["ffn"]) == 4


def test_shrinking_twice() -> None:
    """The second plan speaks of the model it is given; done in one go, the result is the same."""
    model = tiny_whisper(seed=1).double()
    ffn = "model.encoder.layers.0.ffn"
    once = shrink(model, Plan({CROSS.format(0): torch.tensor([0, 2, 3]), ffn: torch.arange(10, 20)}))
    twice = shrink(once, Plan({CROSS.format(0): torch.tensor([1]), ffn: torch.tensor([0, 9])}))
    direct = shrink(model, Plan({CROSS.format(0): torch.tensor([2]), ffn: torch.tensor([10, 19])}))
    assert twice.config.kept_shape == direct.config.kept_shape
    assert all(torch.equal(tensor, direct.state_dict()[name]) for name, tensor in twice.state_dict().items())
    again = shrink(once, Plan())
    assert torch.equal(logits(again), logits(once)) and again.config.kept_shape == once.config.kept_shape


def test_alignment_heads_follow_their_heads() -> None:
    model = tiny_whisper()
    model.generation_config.alignment_heads = [[0, 1], [0, 3], [1, 0], [1, 2]]
    result = shrink(model, Plan({CROSS.format(0): torch.tensor([2, 3]), CROSS.format(1): torch.tensor([0, 2, 3])}))
    assert result.generation_config.alignment_heads == [[0, 1], [1, 0], [1, 1]]
    again = shrink(result, Plan({CROSS.format(1): torch.tensor([1])}))
    assert again.generation_config.alignment_heads == [[0, 1], [1, 0]]
    gone = shrink(model, Plan({CROSS.format(0): torch.tensor([0]), CROSS.format(1): torch.tensor([3])}))
    assert not hasattr(gone.generation_config, "alignment_heads")
    untouched = shrink(model, Plan({"model.decoder.layers.0.self_attn": torch.tensor([0])}))
    assert untouched.generation_config.alignment_heads == [[0, 1], [0, 3], [1, 0], [1, 2]]


def test_an_emptied_group_and_a_foreign_plan_are_refused() -> None:
    model = tiny_whisper()
    with pytest.raises(SpecError, match=r"removes all of model\.encoder\.layers\.0\.ffn"):
        shrink(model, Plan({"model.encoder.layers.0.ffn": torch.tensor([], dtype=torch.int64)}))
    with pytest.raises(SpecError, match="no structural group"):
        shrink(model, Plan({"model.encoder.layers.9.ffn": torch.tensor([0])}))


def test_pruned_class_needs_its_shape() -> None:
    config = tiny_whisper().config
    with pytest.raises(ValueError, match="kept_shape is missing"):
        PrunedWhisperForConditionalGeneration(config)
    config.kept_shape = {"format": 3, "heads": {}, "ffn": {}}
    with pytest.raises(ValueError, match="format 3"):
        PrunedWhisperForConditionalGeneration(config)


def test_pruned_class_built_from_a_config_alone_is_initialised_like_whisper() -> None:
    config = shrink(tiny_whisper(), cut(tiny_whisper(), heads=True, neurons=True)).config
    fresh = PrunedWhisperForConditionalGeneration(config)
    fc1 = fresh.model.encoder.layers[0].fc1
    assert fc1.weight.shape == (32, 32) and not fc1.bias.any()
    assert 0.015 < float(fc1.weight.detach().std()) < 0.025  # config.init_std is 0.02; torch's own default is 0.1 here
    assert fresh.proj_out.weight is fresh.model.decoder.embed_tokens.weight

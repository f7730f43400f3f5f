"""What a dead part allows, exactly: folded, compacted and shrunk is the masked model, in float64, line by line.

The reference is the masked model with its biases as they were: zeros multiplied, nothing folded, nothing removed.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperForConditionalGeneration

from benchmark.api import Rule
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.applying import prune_
from benchmark.pruning.propagation import compacted
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Matrix, Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View
from tests.tiny import coarse_plan, features, tiny_whisper, token_ids

SMALL: dict[str, Any] = {"d": 16, "layers": (2, 2), "ffn": 12, "vocab": 40, "frames": 20, "targets": 16}
LAYER = "model.decoder.layers.0"


class Given(Rule):
    """Decides what a test has laid down."""

    plan: ClassVar[Plan]

    def decide(self, view: View) -> Plan:
        """Return it."""
        return self.plan


def whisper(seed: int = 0, silent_queries: bool = False) -> WhisperForConditionalGeneration:
    model = tiny_whisper(**SMALL, seed=seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if silent_queries and name.endswith("q_proj.bias"):
                parameter.zero_()
    return model.double()


pytestmark = pytest.mark.usefixtures("one_thread")


@torch.no_grad()
def logits(model: WhisperForConditionalGeneration) -> torch.Tensor:
    return model(input_features=features(model), decoder_input_ids=token_ids(model)).logits


def zeroed(model: WhisperForConditionalGeneration, plan: Plan) -> WhisperForConditionalGeneration:
    """Return a copy with pruned weights at zero; only the biases of removed heads, neurons and layers go with them."""
    result = copy.deepcopy(model)
    Masker(result, Structure.of(result), Plan(plan.kept)).apply_()
    with torch.no_grad():
        for matrix in Structure.of(result).matrices:
            result.get_parameter(matrix.name).mul_(plan.mask(matrix))
    return result


def prune(
    model: WhisperForConditionalGeneration, rule: Rule, before: Plan
) -> tuple[WhisperForConditionalGeneration, Plan]:
    """Carry a rule out as the harness does; return the dense model with its zeros written, and the whole plan."""
    result = copy.deepcopy(model)
    plan = prune_(rule, View(result, Structure.of(result), before, 0), result).plan
    Masker(result, Structure.of(result), plan).apply_()
    return result, plan


def assert_same(model: WhisperForConditionalGeneration, expected: WhisperForConditionalGeneration) -> None:
    wanted = logits(expected)
    assert (logits(model) - wanted).abs().max() <= 1e-9 * wanted.abs().max()


def compact(model: WhisperForConditionalGeneration, plan: Plan) -> WhisperForConditionalGeneration:
    return shrink(model, compacted(Structure.of(model), plan))


def dead_parts(structure: Structure, seed: int) -> Plan:
    """Return masks with dead rows and columns, whole dead matrices among them, and single dead weights."""
    draw, masks = torch.Generator().manual_seed(seed), {}
    for matrix in structure.matrices:
        mask = torch.rand(matrix.shape, generator=draw) < 0.9
        mask &= torch.rand(matrix.shape[0], 1, generator=draw) < 0.7
        mask &= torch.rand(1, matrix.shape[1], generator=draw) < 0.7
        if float(torch.rand(1, generator=draw)) < 0.1:
            mask[:] = False
        if float(torch.rand(1, generator=draw)) < 0.8:
            masks[matrix.name] = mask
    return Plan(masks=masks)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_two_prunings_in_a_row_change_nothing_but_what_they_zero(seed: int, silent: bool, coarse: bool) -> None:
    """What the first has folded is neither lost nor folded again by the second."""
    model = whisper(seed % 7, silent)
    structure = Structure.of(model)
    plan = Plan()
    for number in range(2):
        Given.plan = dead_parts(structure, 2 * seed + number)
        if coarse:
            drawn = coarse_plan(structure, 2 * seed + number)
            # Tokens and columns have a law of their own; layers and groups meet the folding here.
            kept = {k: v for k, v in drawn.kept.items() if not k.endswith("embed_tokens")}
            Given.plan = Given.plan.then(Plan(kept))
            if any(len(v) == 0 for v in plan.then(Given.plan).kept.values()):  # the second would leave nothing
                break
        expected = zeroed(model, plan.then(Given.plan))
        model, plan = prune(model, Given(), plan)
        assert_same(model, expected)
        assert_same(compact(model, plan), expected)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["column", "row", "head", "ffn_neuron", "structural"]),
    st.floats(0.2, 1.5),
)
def test_what_the_adaptive_rule_leaves_computes_what_its_thresholds_leave(
    seed: int, groups: Any, strictness: float
) -> None:
    model = whisper(seed % 5)
    view = View(model, Structure.of(model), Plan(), 0)
    rule = WeightAdaptive(groups=groups, alpha=strictness, rho=0.9, beta=0.9)
    pruned, plan = prune(model, rule, Plan())
    expected = zeroed(model, rule.decide(view))
    assert_same(pruned, expected)
    assert_same(compact(pruned, plan), expected)


# --- line by line -------------------------------------------------------------------------------------------------


def parts(model: WhisperForConditionalGeneration, block: str) -> dict[str, Matrix]:
    return {m.kind: m for m in Structure.of(model).matrices_of(f"{LAYER}.{block}")}


def without(matrix: Matrix, axis: int, lines: list[int]) -> Plan:
    mask = torch.ones(matrix.shape, dtype=torch.bool)
    mask.index_fill_(axis, torch.tensor(lines), False)
    return Plan(masks={matrix.name: mask})


def gone(plan: Plan, matrix: Matrix, axis: int) -> list[int]:
    return (~plan.mask(matrix).any(dim=1 - axis)).nonzero().flatten().tolist()


@pytest.mark.parametrize(("kind", "axis"), [("fc2", 1), ("fc1", 0)])
def test_a_dead_neuron_goes_with_row_bias_and_column(kind: str, axis: int) -> None:
    model = whisper()
    Given.plan = without(parts(model, "ffn")[kind], axis, [2, 7])
    pruned, plan = prune(model, Given(), Plan())
    small = compact(pruned, plan)
    layer = small.model.decoder.layers[0]
    assert layer.fc1.weight.shape == (10, 16) and layer.fc1.bias.shape == (10,) and layer.fc2.weight.shape == (16, 10)
    assert_same(small, zeroed(model, Given.plan))
    folded = not torch.equal(layer.fc2.bias, model.model.decoder.layers[0].fc2.bias)
    assert folded == (kind == "fc1")


def test_where_every_neuron_is_dead_one_stays_and_its_constant_counts_once() -> None:
    model = whisper()
    Given.plan = without(parts(model, "ffn")["fc1"], 0, list(range(12)))
    expected = zeroed(model, Given.plan)
    pruned, plan = prune(model, Given(), Plan())
    assert plan.kept[f"{LAYER}.ffn"].tolist() == [0]
    assert_same(compact(pruned, plan), expected)
    Given.plan = Plan()
    again, plan = prune(pruned, Given(), plan)
    assert_same(compact(again, plan), expected)


@pytest.mark.parametrize("block", ["self_attn", "encoder_attn"])
@pytest.mark.parametrize(
    ("kind", "axis", "partner", "partner_axis"),
    [("v", 0, "out", 1), ("out", 1, "v", 0), ("k", 0, "q", 0)],
)
def test_a_dead_part_of_an_attention_takes_its_partner(
    block: str, kind: str, axis: int, partner: str, partner_axis: int
) -> None:
    model = whisper()
    ours = parts(model, block)
    Given.plan = without(ours[kind], axis, [1, 6])
    pruned, plan = prune(model, Given(), Plan())
    assert gone(plan, ours[partner], partner_axis) == [1, 6]
    assert plan.nonzero(Structure.of(model)) == Structure.of(model).prunable - 2 * 2 * 16
    # In a live head they are stored zeros: q, k and v shrink by whole heads only.
    assert len(plan.kept.get(f"{LAYER}.{block}", range(4))) == 4
    assert shrink(pruned, plan).get_submodule(f"{LAYER}.{block}").q_proj.weight.shape == (16, 16)
    assert_same(compact(pruned, plan), zeroed(model, Given.plan))


@pytest.mark.parametrize("silent", [True, False])
def test_a_dead_query_takes_its_key_only_where_its_bias_is_zero(silent: bool) -> None:
    model = whisper(silent_queries=silent)
    ours = parts(model, "self_attn")
    Given.plan = without(ours["q"], 0, [1, 6])
    pruned, plan = prune(model, Given(), Plan())
    assert gone(plan, ours["k"], 0) == ([1, 6] if silent else [])
    assert_same(compact(pruned, plan), zeroed(model, Given.plan))


@pytest.mark.parametrize(("kind", "axis"), [("out", 1), ("v", 0)])
def test_a_head_goes_when_nothing_of_it_reaches_the_output(kind: str, axis: int) -> None:
    model = whisper()
    Given.plan = without(parts(model, "encoder_attn")[kind], axis, [4, 5, 6, 7])
    pruned, plan = prune(model, Given(), Plan())
    assert plan.kept[f"{LAYER}.encoder_attn"].tolist() == [0, 2, 3]
    small = compact(pruned, plan)
    assert small.model.decoder.layers[0].encoder_attn.k_proj.weight.shape == (12, 16)
    assert_same(small, zeroed(model, Given.plan))


@pytest.mark.parametrize("kind", ["q", "k", "v", "fc1"])
def test_dead_inputs_are_gathered_after_the_norm_and_the_residual_width_stays(kind: str) -> None:
    model = whisper()
    matrix = parts(model, "ffn" if kind == "fc1" else "encoder_attn")[kind]
    dead = [0, 1, *range(2, 16, 2)]
    Given.plan = without(matrix, 1, dead)
    pruned, plan = prune(model, Given(), Plan())
    small = compact(pruned, plan)
    linear = small.get_submodule(matrix.module)
    assert linear.columns.tolist() == [i for i in range(16) if i not in dead]
    assert linear.linear.weight.shape == (matrix.shape[0], 7)
    assert small.config.d_model == 16 and small.model.decoder.layers[0].final_layer_norm.weight.shape == (16,)
    assert_same(small, zeroed(model, Given.plan))

"""What dies with dead parts: exact on the model's output, complete, and counted by the rules."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperForConditionalGeneration

from benchmark.api import Budget
from benchmark.errors import SpecError
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.applying import prune_
from benchmark.pruning.budgets import check_budget
from benchmark.pruning.propagation import COMPACT_FROM, compacted, constants, propagated
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View
from tests.tiny import features, tiny_whisper, token_ids

SMALL: dict[str, Any] = {"d": 16, "layers": (1, 2), "ffn": 12, "vocab": 40, "frames": 20, "targets": 16}
LAYER = "model.decoder.layers.0"


@torch.no_grad()
def logits(model: WhisperForConditionalGeneration) -> torch.Tensor:
    return model(input_features=features(model), decoder_input_ids=token_ids(model)).logits


def zeroed(model: WhisperForConditionalGeneration, plan: Plan) -> WhisperForConditionalGeneration:
    """Return a copy with the masked weights at zero and all biases as they were: what the rule asked for."""
    result = copy.deepcopy(model)
    with torch.no_grad():
        for name, mask in plan.masks.items():
            result.get_parameter(name).mul_(mask)
    return result


def carried_out(model: WhisperForConditionalGeneration, plan: Plan) -> tuple[WhisperForConditionalGeneration, Plan]:
    """Return the shrunk model after propagation and folding, and its plan."""
    structure, result = Structure.of(model), copy.deepcopy(model)
    view = View(result, structure, Plan(), 0)
    with torch.no_grad():
        for name, value in constants(view, plan).items():
            result.get_parameter(name).copy_(value)
    whole = compacted(structure, propagated(view, plan))
    Masker(result, structure, whole).apply_()
    return shrink(result, whole), whole


def dead_parts(structure: Structure, seed: int) -> Plan:
    """Return masks with many dead rows and columns in all kinds of matrices, and single dead weights."""
    draw, masks = torch.Generator().manual_seed(seed), {}
    for matrix in structure.matrices:
        mask = torch.rand(matrix.shape, generator=draw) < 0.9
        mask &= torch.rand(matrix.shape[0], 1, generator=draw) < 0.7
        mask &= torch.rand(1, matrix.shape[1], generator=draw) < 0.7
        masks[matrix.name] = mask
    return Plan(masks=masks)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_folding_and_taking_out_changes_nothing(seed: int, silent_queries: bool) -> None:
    model = tiny_whisper(**SMALL, seed=seed % 7)
    if silent_queries:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("q_proj.bias"):
                    parameter.zero_()
    structure = Structure.of(model)
    plan = dead_parts(structure, seed)
    small, whole = carried_out(model, plan)
    expected = logits(zeroed(model, plan))
    assert (logits(small) - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert whole.nonzero(structure) < plan.nonzero(structure)
    view = View(model, structure, Plan(), 0)
    again = propagated(view, propagated(view, plan))
    assert again.canonical(structure) == propagated(view, plan).canonical(structure)
    assert not [k for k, v in again.kept.items() if len(v) == 0]


@pytest.mark.parametrize(
    ("kind", "axis", "dies"),
    [
        ("fc2", 1, {"fc1": 0}),  # nothing reads the neuron
        ("fc1", 0, {"fc2": 1}),  # a constant, folded
        ("v", 0, {"out": 1}),  # a constant, folded
        ("out", 1, {"v": 0}),
        ("k", 0, {"q": 0}),
        ("q", 0, {}),  # its bias still meets the key
    ],
)
def test_each_dead_part_takes_its_partner_with_it(kind: str, axis: int, dies: dict[str, int]) -> None:
    model = tiny_whisper(**SMALL)
    structure = Structure.of(model)
    block = "ffn" if kind.startswith("fc") else "encoder_attn"
    parts = {m.kind: m for m in structure.matrices_of(f"{LAYER}.{block}")}
    mask = torch.ones(parts[kind].shape, dtype=torch.bool)  # type: ignore[index]
    mask.select(axis, 5).fill_(False)
    plan = Plan(masks={parts[kind].name: mask})  # type: ignore[index]
    whole = propagated(View(model, structure, Plan(), 0), plan)
    for name, matrix in parts.items():
        gone = whole.mask(matrix).logical_not()
        lines = {kind: axis, **dies}
        expected = torch.zeros_like(gone)
        if name in lines:
            expected.select(lines[name], 5).fill_(True)
        assert torch.equal(gone, expected), name
    small, _ = carried_out(model, plan)
    assert torch.allclose(logits(small), logits(zeroed(model, plan)), atol=1e-4)
    if block == "ffn":
        assert whole.kept[f"{LAYER}.ffn"].tolist() == [i for i in range(12) if i != 5]


def test_a_silent_query_takes_its_key() -> None:
    model = tiny_whisper(**SMALL)
    structure = Structure.of(model)
    q, k = (structure.matrix(f"{LAYER}.self_attn.{name}_proj.weight") for name in "qk")
    with torch.no_grad():
        model.get_parameter(q.bias or "")[3] = 0.0
    mask = torch.ones(q.shape, dtype=torch.bool)
    mask[[3, 4]] = False
    whole = propagated(View(model, structure, Plan(), 0), Plan(masks={q.name: mask}))
    assert (~whole.mask(k)).any(dim=1).nonzero().flatten().tolist() == [3]


def test_a_head_goes_with_its_columns_and_one_always_stays() -> None:
    model = tiny_whisper(**SMALL)
    structure = Structure.of(model)
    out = structure.matrix(f"{LAYER}.self_attn.out_proj.weight")
    mask = torch.ones(out.shape, dtype=torch.bool)
    mask[:, 4:8] = False
    view = View(model, structure, Plan(), 0)
    assert propagated(view, Plan(masks={out.name: mask})).kept[f"{LAYER}.self_attn"].tolist() == [0, 2, 3]
    everything = Plan(masks={out.name: torch.zeros(out.shape, dtype=torch.bool)})
    small, whole = carried_out(model, everything)
    assert whole.kept[f"{LAYER}.self_attn"].tolist() == [0]
    assert torch.allclose(logits(small), logits(zeroed(model, everything)), atol=1e-4)


@pytest.mark.parametrize(("dead", "compact"), [(2, False), (4, True)])
def test_gathering_pays_from_a_share_of_dead_columns_on(dead: int, compact: bool) -> None:
    model = tiny_whisper(**SMALL)
    structure = Structure.of(model)
    fc1 = structure.matrix("model.encoder.layers.0.fc1.weight")
    mask = torch.ones(fc1.shape, dtype=torch.bool)
    mask[:, :dead] = False
    plan = compacted(structure, Plan(masks={fc1.name: mask}))
    assert (fc1.name in plan.columns) == compact == (dead / 16 >= COMPACT_FROM)
    assert plan.stored(structure) == structure.prunable - (12 * dead if compact else 0)
    assert plan.nonzero(structure) == structure.prunable - 12 * dead


@pytest.mark.parametrize("keep", [0.9, 0.7, 0.5, 0.3])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_stored_budget_is_met_by_columns(keep: float, seed: int) -> None:
    model = tiny_whisper(d=64, layers=(2, 2), ffn=128, heads=4, seed=seed)
    structure = Structure.of(model)
    view = View(model, structure, Plan(), 0)
    budget = Budget(kind="prunable_stored", keep=keep)
    rule = WeightAdaptive(budget=budget, groups="column", alpha=0.1, rho=0.5, beta=0.5)
    plan = rule.decide(view)
    check_budget(plan, structure, budget, rule.smallest(structure))
    whole = propagated(view, plan)
    assert whole.stored(structure) == plan.stored(structure)
    shrunk = shrink(model, whole)
    stored = sum(m.weight.numel() for m in shrunk.modules() if isinstance(m, torch.nn.Linear)) - 100 * 64
    assert stored == plan.stored(structure)


def test_a_nominal_budget_counts_what_died_as_gone() -> None:
    model = tiny_whisper(d=32, ffn=64)
    structure = Structure.of(model)
    view = View(model, structure, Plan(), 0)
    budget = Budget(kind="prunable_nominal", keep=0.4)
    plan = WeightAdaptive(budget=budget, groups="column", rho=0.9, beta=0.9).decide(view)
    whole = propagated(view, plan)
    assert whole.nonzero(structure) < plan.nonzero(structure)
    check_budget(whole, structure, budget)


@pytest.mark.parametrize(("groups", "keep"), [("structural", 0.7), ("structural", 0.3), ("ffn_neuron", 0.7)])
def test_zeros_inside_members_are_not_counted_twice(groups: Any, keep: float) -> None:
    """A proximal step leaves exact zeros: without a weight pass too, what is counted is what is not zero."""
    model = tiny_whisper(d=32, ffn=64, heads=8)
    structure, draw = Structure.of(model), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for matrix in structure.matrices:
            model.get_parameter(matrix.name).mul_(torch.rand(matrix.shape, generator=draw) < 0.85)
    rule = WeightAdaptive(
        budget=Budget(kind="prunable_nominal", keep=keep, tolerance=1e-6), groups=groups, weight_pass=False
    )
    whole = prune_(rule, View(model, structure, Plan(), 0), model).plan
    assert abs(whole.density(structure) - keep) <= 32 / structure.prunable


def test_members_that_a_weight_pass_killed_are_not_counted_as_stored() -> None:
    model = tiny_whisper(d=32, ffn=64, heads=8)
    structure = Structure.of(model)
    with torch.no_grad():  # half of the neurons read next to nothing, but are read
        for layer in (*model.model.encoder.layers, *model.model.decoder.layers):
            layer.fc1.weight[::2] *= 1e-3
    budget = Budget(kind="prunable_stored", keep=0.6, tolerance=1e-6)
    rule = WeightAdaptive(budget=budget, groups="structural", alpha=0.5, rho=0.0, beta=1.0)
    whole = prune_(rule, View(model, structure, Plan(), 0), model).plan
    assert abs(whole.stored_density(structure) - 0.6) <= rule.smallest(structure) / 2 / structure.prunable


def test_the_floor_follows_the_deviation_of_the_kind() -> None:
    model = tiny_whisper(**SMALL)
    structure = Structure.of(model)
    quiet = structure.matrix("model.encoder.layers.0.fc1.weight")
    with torch.no_grad():
        model.get_parameter(quiet.name).mul_(0.1)
    view = View(model, structure, Plan(), 0)
    kind = torch.cat([view.weight(m).flatten() for m in structure.matrices if m.kind == "fc1"]).std(correction=0)
    own = view.weight(quiet).std(correction=0)
    for alpha, tau in ((0.3, 0.2), (0.0, 0.2), (2.5, 0.1)):
        plan = WeightAdaptive(alpha=alpha, tau=tau, group_pass=False).decide(view)
        limit = max(alpha * float(own), tau * float(kind))
        assert torch.equal(plan.mask(quiet), view.weight(quiet).abs() >= limit)


def test_distance_from_the_mean_and_zeros_of_a_penalty() -> None:
    model = tiny_whisper(**SMALL)
    structure = Structure.of(model)
    matrix = structure.matrices[0]
    with torch.no_grad():
        model.get_parameter(matrix.name).add_(0.3)
        model.get_parameter(structure.matrices[1].name)[:, 3] = 0.0
    view = View(model, structure, Plan(), 0)
    plan = WeightAdaptive(alpha=0.5, centre="mean", group_pass=False).decide(view)
    weight = view.weight(matrix)
    assert torch.equal(plan.mask(matrix), (weight - weight.mean()).abs() >= 0.5 * weight.std(correction=0))
    bare = WeightAdaptive(alpha=0.0, group_pass=False).decide(view)
    assert (~bare.mask(structure.matrices[1])).nonzero()[:, 1].unique().tolist() == [3] and len(bare.masks) == 1


@pytest.mark.parametrize("groups", ["row", "head", "ffn_neuron"])
@pytest.mark.parametrize("kind", ["none", "prunable_nominal", "prunable_stored"])
def test_all_kinds_of_groups(groups: Any, kind: Any) -> None:
    model = tiny_whisper(d=32, ffn=64)
    structure = Structure.of(model)
    view = View(model, structure, Plan(), 0)
    budget = Budget() if kind == "none" else Budget(kind=kind, keep=0.75)
    rule = WeightAdaptive(budget=budget, groups=groups, rho=0.9, beta=1.0)
    if groups == "row" and kind == "prunable_stored":
        with pytest.raises(SpecError, match="surgery can take out"):
            rule.decide(view)
        return
    plan = rule.decide(view)
    check_budget(propagated(view, plan), structure, budget, rule.smallest(structure))
    kinds = {structure.group(key).kind for key, value in plan.kept.items() if len(value) < structure.group(key).count}
    assert kinds == ({groups} if groups != "row" else set())
    if groups == "row":
        assert any(not mask.any(dim=1).all() for mask in plan.masks.values())

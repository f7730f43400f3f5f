"""The control of another method: as many of everything at every place, but other ones."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from benchmark.api import Budget, Rule
from benchmark.errors import SpecError
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.applying import prune_
from benchmark.pruning.coarse import KeepLayers
from benchmark.pruning.groups import L1Groups
from benchmark.pruning.low_rank import LowRank
from benchmark.pruning.propagation import compacted, propagated
from benchmark.pruning.redraw import Redraw
from benchmark.pruning.weights import MagnitudeWeights, RandomColumns
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import random_statistics, tiny_whisper

NOMINAL, STORED = Budget(kind="prunable_nominal", keep=0.5), Budget(kind="prunable_stored", keep=0.5)
LOW = Budget(kind="prunable_nominal", keep=0.05)
RULES: list[Rule] = [
    MagnitudeWeights(budget=NOMINAL),
    MagnitudeWeights(budget=LOW),
    RandomColumns(budget=NOMINAL),
    WeightAdaptive(budget=NOMINAL),
    WeightAdaptive(budget=LOW),
    WeightAdaptive(budget=NOMINAL, groups="row", weight_pass=False),
    WeightAdaptive(budget=NOMINAL, weight_pass=False),
    WeightAdaptive(budget=NOMINAL, groups="structural"),
    WeightAdaptive(budget=STORED),
    WeightAdaptive(budget=STORED, alpha=1.0),
    WeightAdaptive(budget=STORED, groups="structural"),
    L1Groups(budget=STORED),
    KeepLayers(budget=STORED),
]


def views(seeds: tuple[int, ...]) -> list[View]:
    model = tiny_whisper(d=32, layers=(4, 4), heads=4, ffn=64, vocab=100)
    structure = Structure.of(model)
    return [View(model, structure, Plan(), seed) for seed in seeds]


def amounts(plan: Plan, structure: Structure) -> list[tuple[object, ...]]:
    """Return of every matrix what is stored, the live lines inside its block, its live columns, and its weights.

    In order of places; where layers are drawn, other ones hold the same.
    """
    rows = []
    for matrix in structure.matrices:
        if plan.has(matrix):
            mask = plan.mask(matrix)
            inner, columns = int(mask.any(dim=1 - matrix.axis).sum()), int(mask.any(dim=0).sum())
            rows.append((matrix.block, matrix.kind, plan.shape(matrix), inner, columns, int(mask.sum())))
    return rows


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{type(rule).__name__} {rule.budget}")
def test_a_redraw_keeps_as_much_of_every_place_but_other_ones(rule: Rule) -> None:
    one, again, two = views((0, 0, 1))
    structure = one.structure
    theirs = propagated(one, rule.decide(one))
    drawn = [Redraw(budget=rule.budget, rule=rule).decide(view) for view in (one, again, two)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert drawn[0] != theirs
    assert {key: len(kept) for key, kept in drawn[0].kept.items()} == {k: len(kept) for k, kept in theirs.kept.items()}
    ours = prune_(Redraw(budget=rule.budget, rule=rule), one, copy.deepcopy(one._model)).plan  # and nothing more dies
    assert amounts(ours, structure) == amounts(theirs, structure)
    assert compacted(structure, ours).stored(structure) == compacted(structure, theirs).stored(structure)


@pytest.mark.parametrize("groups", ["column", "row", "structural"])
def test_what_stands_together_is_drawn_together(groups: Any) -> None:
    (view,) = views((0,))
    rule = WeightAdaptive(budget=NOMINAL, groups=groups, weight_pass=False)
    drawn = Redraw(budget=NOMINAL, rule=rule).decide(view)
    for group in view.structure.groups:
        parts = {m.kind: drawn.mask(m).any(dim=1 - m.axis) for m in view.structure.matrices_of(group.key)}
        if group.kind == "ffn_neuron":
            assert torch.equal(parts["fc1"], parts["fc2"])
            continue
        assert torch.equal(parts["v"], parts["out"])
        assert not (parts["q"] & ~parts["k"]).any()  # a row of k may meet the bias of q alone


def test_queries_without_a_bias_take_no_key_with_them() -> None:
    (view,) = views((0,))
    model = copy.deepcopy(view._model)
    with torch.no_grad():
        for matrix in view.structure.matrices:
            if matrix.kind == "q":
                model.get_parameter(matrix.bias or "")[::2] = 0.0
    view = View(model, view.structure, Plan(), 0)
    rule = MagnitudeWeights(budget=LOW)
    theirs = propagated(view, rule.decide(view))
    ours = prune_(Redraw(budget=LOW, rule=rule), view, model).plan
    assert amounts(ours, view.structure) == amounts(theirs, view.structure)


@pytest.mark.parametrize(
    "rule",
    [MagnitudeWeights(), WeightAdaptive(), WeightAdaptive(weight_pass=False)],
    ids=["weights", "both", "columns"],
)
def test_round_after_round_meets_its_budget(rule: Rule) -> None:
    (view,) = views((0,))
    model, plan = copy.deepcopy(view._model), Plan()
    for keep in (0.8, 0.6, 0.4, 0.2, 0.1):
        budget = Budget(kind="prunable_nominal", keep=keep)
        now = View(model, view.structure, plan, 0)
        plan = prune_(Redraw(budget=budget, rule=rule.model_copy(update={"budget": budget})), now, model).plan
        Masker(model, view.structure, plan).apply_()


def test_what_cannot_be_drawn_is_refused() -> None:
    (view,) = views((0,))
    statistics = random_statistics(view.structure, ("input_covariance",))
    model = tiny_whisper(d=32, layers=(4, 4), heads=4, ffn=64, vocab=100)
    view = View(model, view.structure, Plan(), 0, statistics)
    with pytest.raises(SpecError, match="LowRank has no random counterpart"):
        Redraw(budget=STORED, rule=LowRank(budget=STORED)).decide(view)

"""The control of another method: as many of everything at every place, but other ones."""

from __future__ import annotations

import pytest

from benchmark.api import Budget, Rule
from benchmark.errors import SpecError
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.coarse import KeepLayers
from benchmark.pruning.groups import L1Groups
from benchmark.pruning.low_rank import LowRank
from benchmark.pruning.propagation import propagated
from benchmark.pruning.redraw import Redraw
from benchmark.pruning.weights import MagnitudeWeights
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import random_statistics, tiny_whisper

NOMINAL, STORED = Budget(kind="prunable_nominal", keep=0.5), Budget(kind="prunable_stored", keep=0.5)
RULES: list[Rule] = [
    MagnitudeWeights(budget=NOMINAL),
    WeightAdaptive(budget=NOMINAL),
    WeightAdaptive(budget=STORED),
    WeightAdaptive(budget=STORED, groups="structural"),
    L1Groups(budget=STORED),
    KeepLayers(budget=STORED),
]


def views(seeds: tuple[int, ...]) -> list[View]:
    model = tiny_whisper(d=32, layers=(4, 4), heads=4, ffn=64, vocab=100)
    structure = Structure.of(model)
    return [View(model, structure, Plan(), seed) for seed in seeds]


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
    for matrix in structure.matrices:
        if theirs.has(matrix) and drawn[0].has(matrix) and matrix.name in theirs.masks:
            ours, other = drawn[0].mask(matrix), theirs.mask(matrix)
            assert int(ours.any(dim=0).sum()) <= int(other.any(dim=0).sum())
            assert int(ours.sum()) <= int(other.sum())
    assert drawn[0].stored(structure) == theirs.stored(structure)
    assert drawn[0].nonzero(structure) == pytest.approx(theirs.nonzero(structure), rel=0.02)


def test_what_cannot_be_drawn_is_refused() -> None:
    (view,) = views((0,))
    statistics = random_statistics(view.structure, ("input_covariance",))
    model = tiny_whisper(d=32, layers=(4, 4), heads=4, ffn=64, vocab=100)
    view = View(model, view.structure, Plan(), 0, statistics)
    with pytest.raises(SpecError, match="LowRank has no random counterpart"):
        Redraw(budget=STORED, rule=LowRank(budget=STORED)).decide(view)

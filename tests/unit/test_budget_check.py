"""A budget is met by what is left in the end: what died for free is no excuse."""

from __future__ import annotations

import pytest
import torch

from benchmark.api import Budget, Rule
from benchmark.errors import BudgetMissedError
from benchmark.pruning.applying import prune_
from benchmark.pruning.weights import MagnitudeWeights
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import tiny_whisper

NOMINAL = Budget(kind="prunable_nominal", keep=0.6)


class Low(Rule):
    """Aims some points below its budget."""

    by: float

    def decide(self, view: View) -> Plan:
        budget = self.budget.model_copy(update={"keep": (self.budget.keep or 0) - self.by})
        return MagnitudeWeights(budget=budget).decide(view)


class Columns(Rule):
    """Zeroes input columns of v and out until the budget is met, and lets what dies by that go besides."""

    def decide(self, view: View) -> Plan:
        masks, left = {}, view.structure.prunable
        for matrix in view.structure.matrices:
            mask = torch.ones(matrix.shape, dtype=torch.bool)
            for column in range(matrix.shape[1] - 1) if matrix.kind in ("out", "fc2") else ():
                if left - matrix.shape[0] >= (self.budget.keep or 0) * view.structure.prunable:
                    mask[:, column] = False
                    left -= matrix.shape[0]
            masks[matrix.name] = mask
        return Plan(masks=masks)


@pytest.mark.parametrize(("rule", "off"), [(Low(budget=NOMINAL, by=0.02), "-0.0"), (Columns(budget=NOMINAL), "-0.")])
def test_a_plan_below_its_budget_is_missed_whatever_made_it_so(rule: Rule, off: str) -> None:
    model = tiny_whisper()
    with pytest.raises(BudgetMissedError, match=rf"budget prunable_nominal@0.6 missed: .* off by {off}"):
        prune_(rule, View(model, Structure.of(model), Plan(), 0), model)


def test_a_plan_within_the_tolerance_is_met() -> None:
    model = tiny_whisper()
    structure = Structure.of(model)
    plan = prune_(Low(budget=NOMINAL, by=0.004), View(model, structure, Plan(), 0), model).plan
    assert plan.density(structure) == pytest.approx(0.596, abs=1e-3)

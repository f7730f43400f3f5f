"""What a plan reaches, and whether that is what the budget asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.api import Budget, BudgetKind
from benchmark.errors import BudgetMissedError, SpecError

if TYPE_CHECKING:
    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Structure


def reached(plan: Plan, structure: Structure, kind: BudgetKind) -> float:
    """Return the kept fraction of ``structure.prunable`` weights by the way of counting that ``kind`` names."""
    if kind == "prunable_nominal":
        return plan.density(structure)
    if kind == "prunable_stored":
        return plan.stored_density(structure)
    raise SpecError(
        f"budget kind {kind!r} is not decided on a plan of prunable weights; use prunable_nominal or _stored"
    )


def allowance(structure: Structure, budget: Budget, group_weights: int) -> float:
    """Return the allowed miss as a fraction: the tolerance, or half a group where the smallest group is larger."""
    return max(budget.tolerance, group_weights / 2 / structure.prunable)


def check_budget(plan: Plan, structure: Structure, budget: Budget, group_weights: int = 1) -> None:
    """Raise unless the plan meets the budget.

    ``group_weights`` is the size, in weights, of the smallest group that the rule removes (1: single weights).

    Raises:
        BudgetMissedError: names asked, reached, by how much, and the denominator.
    """
    if budget.kind == "none" or budget.keep is None:
        return
    got = reached(plan, structure, budget.kind)
    allowed = allowance(structure, budget, group_weights)
    if abs(got - budget.keep) > allowed:
        raise BudgetMissedError(
            f"budget {budget} missed: reached {got:.4f} of {structure.prunable:,} prunable weights, "
            f"off by {got - budget.keep:+.4f} (allowed {allowed:.4f}){_floor(plan, structure, budget.keep)}"
        )


def _floor(plan: Plan, structure: Structure, keep: float) -> str:
    """Return the reason where no rule of heads and neurons could keep so little."""
    least = sum(group.weights for group in structure.groups) / structure.prunable
    if keep >= least or any(stack.key in plan.kept for stack in structure.stacks):
        return ""
    return f"; one head and one neuron a layer, which always stay, are {least:.4f} of them"

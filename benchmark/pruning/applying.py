"""What a Prune does, in the harness, in ``compress`` and in the contract tests alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.pruning.budgets import check_budget
from benchmark.pruning.propagation import constants, propagated

if TYPE_CHECKING:
    import torch

    from benchmark.api import Rule
    from benchmark.whisper.plan import Plan
    from benchmark.whisper.view import View


@dataclass(frozen=True)
class Pruned:
    """The whole plan after a Prune, and what of it the rule decided (``plan`` has what died by it taken out too)."""

    plan: Plan
    decided: Plan


def prune_(rule: Rule, view: View, model: Any) -> Pruned:
    """Ask ``rule`` for a plan, let what is dead by it go too, and write what that changes of weights into ``model``.

    Only rewritten values and folded constants are written; zeros are the Masker's. ``model`` is the one that ``view``
    looks at. What died counts as gone: a rule whose parts die has to aim so that its budget is met after that.

    Raises:
        BudgetMissedError: the plan misses the rule's own budget.
        SpecError: the rule cannot decide, or its plan is not one of this model.
    """
    structure = view.structure
    decided = rule.decide(view)
    plan = view.plan.then(decided)
    plan.validate(structure)
    rewritten = rule.rewrite(view, decided)
    write_(model, rewritten)
    write_(model, constants(view, plan))
    whole = propagated(view, plan)
    check_budget(whole, structure, rule.budget, rule.smallest(structure))
    return Pruned(whole, decided)


def write_(model: Any, values: Mapping[str, torch.Tensor]) -> None:
    """Write values of parameters, by name, into a model."""
    import torch

    with torch.no_grad():
        for name, value in values.items():
            parameter = model.get_parameter(name)
            parameter.copy_(value.to(parameter))

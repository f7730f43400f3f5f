"""Rules that remove single weights: their plans are bit masks, counted as nominal and executed as dense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from benchmark.api import Budget, Rule
from benchmark.errors import SpecError

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.view import View

Scope = Literal["global", "layer"]


def asked(budget: Budget, rule: str) -> float:
    """Return the kept fraction of a budget.

    Raises:
        SpecError: the budget is ``none``; a rule without an operating point of its own needs one.
    """
    if budget.keep is None:
        raise SpecError(f"rule {rule} has no operating point of its own: give it a budget with a kept fraction")
    return budget.keep


def keep_best(view: View, scores: list[torch.Tensor], keep: float, scope: Scope) -> Plan:
    """Keep the highest-scored weights: exactly ``round(keep * size)`` over all matrices, or of each.

    ``scores`` has one tensor a matrix, in the order of the structure and of the matrix' shape. Weights that the plan
    so far has removed stay removed. Ties fall in the order of the flattened weights.
    """
    import torch

    from benchmark.whisper.plan import Plan

    matrices = view.structure.matrices
    alive = [
        torch.where(view.mask(matrix).cpu(), score.cpu(), -torch.inf).flatten()
        for matrix, score in zip(matrices, scores, strict=True)
    ]
    pools = [torch.cat(alive)] if scope == "global" else alive
    bits = torch.cat([_top(pool, round(keep * pool.numel())) for pool in pools])
    parts = bits.split([matrix.size for matrix in matrices])
    return Plan(masks={m.name: part.reshape(m.shape) for m, part in zip(matrices, parts, strict=True)})


def _top(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Return a bool tensor that marks the ``count`` highest scores above minus infinity."""
    import torch

    best = torch.sort(scores, descending=True, stable=True).indices[:count]
    bits = torch.zeros(scores.numel(), dtype=torch.bool)
    bits[best] = True
    return bits & (scores > -torch.inf)


class MagnitudeWeights(Rule):
    """Keep the weights of largest magnitude (Han et al. 2015), over the whole model or within each matrix."""

    scope: Scope = "global"

    def decide(self, view: View) -> Plan:
        """Rank by ``|w|``."""
        scores = [view.weight(matrix).abs() for matrix in view.structure.matrices]
        return keep_best(view, scores, asked(self.budget, "MagnitudeWeights"), self.scope)


class RandomWeights(Rule):
    """Keep weights drawn uniformly: the control that every other rule has to beat."""

    scope: Scope = "global"

    def decide(self, view: View) -> Plan:
        """Rank by a draw that depends on the cell's seed and the matrix' name alone."""
        import torch

        scores = [
            torch.rand(matrix.shape, generator=view.generator("random_weights", matrix.name))
            for matrix in view.structure.matrices
        ]
        return keep_best(view, scores, asked(self.budget, "RandomWeights"), self.scope)

"""Rules that remove single weights: their plans are bit masks, counted as nominal and executed as dense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.api import Budget, Rule
from benchmark.errors import SpecError
from benchmark.pruning.aiming import aimed
from benchmark.pruning.propagation import propagated

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Structure
    from benchmark.whisper.view import View

Scope = Literal["global", "layer"]
WeightScope = Literal["global", "layer", "erdos_renyi"]
FEW = 8
"""Rounds of ``keep_best``: each ranks and propagates all weights, and two or three are enough where any is needed."""


def asked(budget: Budget, rule: str) -> float:
    """Return the kept fraction of a budget.

    Raises:
        SpecError: the budget is ``none``; a rule without an operating point of its own needs one.
    """
    if budget.keep is None:
        raise SpecError(f"rule {rule} has no operating point of its own: give it a budget with a kept fraction")
    return budget.keep


def keep_best(view: View, scores: list[torch.Tensor], budget: Budget, scope: WeightScope, rule: str) -> Plan:
    """Keep the highest-scored weights: exactly ``round(keep * size)`` over all matrices, or of each.

    Where rows or columns die by it, so that more than half of the budget's tolerance is missed, as many more are kept
    as brings what is left back to the budget. With ``erdos_renyi`` each matrix keeps the share that ``erdos_renyi``
    gives it. ``scores`` has one tensor a matrix, in the order of the structure and of the matrix' shape. Weights that
    the plan so far has removed stay removed. Ties fall in the order of the flattened weights. ``rule`` is for errors.
    """
    import torch

    from benchmark.whisper.plan import Plan

    matrices, prunable, keep = view.structure.matrices, view.structure.prunable, asked(budget, rule)
    alive = [
        torch.where(view.mask(matrix).cpu(), score.cpu(), -torch.inf).flatten()
        for matrix, score in zip(matrices, scores, strict=True)
    ]
    pools = [torch.cat(alive)] if scope == "global" else alive

    def plan_at(aim: float) -> Plan:
        share = keep if aim == keep * prunable else aim / prunable
        shares = erdos_renyi([m.shape for m in matrices], share) if scope == "erdos_renyi" else [share] * len(pools)
        bits = torch.cat([top(pool, round(part * pool.numel())) for pool, part in zip(pools, shares, strict=True)])
        parts = bits.split([matrix.size for matrix in matrices])
        return Plan(masks={m.name: part.reshape(m.shape) for m, part in zip(matrices, parts, strict=True)})

    close = max(budget.tolerance / 2 * prunable, 1.0)
    return aimed(plan_at, lambda plan: _left(view, plan), keep * prunable, prunable, close=close, rounds=FEW)


def _left(view: View, plan: Plan) -> int:
    """Return the weights that are left of the plan so far and ``plan``, dead parts taken out."""
    return propagated(view, view.plan.then(plan)).nonzero(view.structure)


def erdos_renyi(shapes: list[tuple[int, int]], keep: float) -> list[float]:
    """Return the share of each matrix: in proportion to (rows + columns) / (rows * columns), at most all of it.

    So that ``keep`` of all weights stay (Mocanu et al. 2018; Evci et al. 2020, arXiv 1911.11134, section 3). What a
    full matrix cannot take goes to the others in the same proportion.
    """
    rows, columns = (np.array(values, dtype=float) for values in zip(*shapes, strict=True))
    size, raw = rows * columns, (rows + columns) / (rows * columns)
    full = np.zeros(len(shapes), dtype=bool)
    while True:  # each round fills at least one matrix more
        spread = (raw * size)[~full].sum()
        factor = (keep * size.sum() - size[full].sum()) / spread if spread else 0.0
        over = ~full & (factor * raw > 1)
        if not over.any():
            return [float(share) for share in np.where(full, 1.0, factor * raw)]
        full |= over


def top(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Return a bool tensor that marks the ``count`` highest scores above minus infinity; selection, no full sort."""
    import torch

    if count <= 0:
        return torch.zeros(scores.numel(), dtype=torch.bool)
    lowest = scores.kthvalue(scores.numel() - count + 1).values if count < scores.numel() else scores.min()
    above, ties = scores > lowest, scores == lowest
    bits = above | (ties & (ties.cumsum(0) <= count - above.sum()))
    return bits & (scores > -torch.inf)


class MagnitudeWeights(Rule):
    """Keep the weights of largest magnitude (Han et al. 2015), over the whole model or within each matrix."""

    scope: WeightScope = "global"

    def decide(self, view: View) -> Plan:
        """Rank by ``|w|``."""
        scores = [view.weight(matrix).abs() for matrix in view.structure.matrices]
        return keep_best(view, scores, self.budget, self.scope, "MagnitudeWeights")


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
        return keep_best(view, scores, self.budget, self.scope, "RandomWeights")


class RandomColumns(Rule):
    """Keep whole input columns drawn uniformly over all matrices; each keeps at least one.

    What dies with them counts as gone, so that fewer columns go than a count of columns alone would have it.
    """

    def smallest(self, structure: Structure) -> int:
        """Return the weights of the shortest column."""
        return min(matrix.shape[0] for matrix in structure.matrices)

    def decide(self, view: View) -> Plan:
        """Rank columns by a draw that depends on the cell's seed and the matrix' name alone."""
        import torch

        from benchmark.pruning.groups import keep_top
        from benchmark.whisper.plan import Plan

        matrices = view.structure.matrices
        left = [view.mask(matrix).cpu().sum(dim=0) for matrix in matrices]
        drawn = [torch.rand(m.shape[1], generator=view.generator("random_columns", m.name)) for m in matrices]
        scores = [score.where(count > 0, -torch.inf) for score, count in zip(drawn, left, strict=True)]
        sizes = [count.double() for count in left]

        def plan_at(aim: float) -> Plan:
            bits = keep_top(scores, sizes, aim)
            return Plan(masks={m.name: b.expand(m.shape).clone() for m, b in zip(matrices, bits, strict=True)})

        target, close = asked(self.budget, "RandomColumns") * view.structure.prunable, self.smallest(view.structure) / 2
        return aimed(plan_at, lambda plan: _left(view, plan), target, view.structure.prunable, close=close)

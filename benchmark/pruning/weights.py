"""Rules that remove single weights: their plans are bit masks, counted as nominal and executed as dense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.api import Budget, Rule
from benchmark.errors import SpecError

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Structure
    from benchmark.whisper.view import View

Scope = Literal["global", "layer"]
WeightScope = Literal["global", "layer", "erdos_renyi"]


def asked(budget: Budget, rule: str) -> float:
    """Return the kept fraction of a budget.

    Raises:
        SpecError: the budget is ``none``; a rule without an operating point of its own needs one.
    """
    if budget.keep is None:
        raise SpecError(f"rule {rule} has no operating point of its own: give it a budget with a kept fraction")
    return budget.keep


def keep_best(view: View, scores: list[torch.Tensor], keep: float, scope: WeightScope) -> Plan:
    """Keep the highest-scored weights: exactly ``round(keep * size)`` over all matrices, or of each.

    With ``erdos_renyi`` each matrix keeps the share that ``erdos_renyi`` gives it. ``scores`` has one tensor a matrix,
    in the order of the structure and of the matrix' shape. Weights that the plan so far has removed stay removed. Ties
    fall in the order of the flattened weights.
    """
    import torch

    from benchmark.whisper.plan import Plan

    matrices = view.structure.matrices
    alive = [
        torch.where(view.mask(matrix).cpu(), score.cpu(), -torch.inf).flatten()
        for matrix, score in zip(matrices, scores, strict=True)
    ]
    pools = [torch.cat(alive)] if scope == "global" else alive
    shares = erdos_renyi([m.shape for m in matrices], keep) if scope == "erdos_renyi" else [keep] * len(pools)
    bits = torch.cat([_top(pool, round(share * pool.numel())) for pool, share in zip(pools, shares, strict=True)])
    parts = bits.split([matrix.size for matrix in matrices])
    return Plan(masks={m.name: part.reshape(m.shape) for m, part in zip(matrices, parts, strict=True)})


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


def _top(scores: torch.Tensor, count: int) -> torch.Tensor:
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


class RandomColumns(Rule):
    """Keep whole input columns drawn uniformly over all matrices; each keeps at least one."""

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
        target = asked(self.budget, "RandomColumns") * view.structure.prunable
        bits = keep_top(scores, [count.double() for count in left], target)
        return Plan(masks={m.name: b.expand(m.shape).clone() for m, b in zip(matrices, bits, strict=True)})

"""A stored budget met by whole input columns: of compact matrices, and of fc2, whose columns are neurons."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmark.pruning.propagation import compact_from

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Matrix, Structure

PlanOf = Callable[[list["torch.Tensor"]], "Plan"]
"""Alive columns, a bool tensor a matrix, to the whole plan that carries them out."""


def fit_columns(
    structure: Structure, matrices: Sequence[Matrix], scores: Sequence[torch.Tensor], plan_of: PlanOf, target: float
) -> Plan:
    """Remove input columns from the lowest score up until ``target`` weights are stored.

    A matrix turns compact only from some share of dead columns on, which is a jump in what is stored. So this is done
    twice: once over all matrices, to see which ones turn compact; then over those (and fc2, whose columns are neurons)
    alone, each with at least the share of dead columns that it needs, so that the rest is met column by column.
    Every matrix keeps its best column. ``scores`` has one number a column, a tensor for each of ``matrices``; minus
    infinity: dead.
    """
    import torch

    protected = [_best_last(score) for score in scores]
    rough, _ = _search(structure, protected, plan_of, target, 0)
    ready, forced = [], 0
    for matrix, score in zip(matrices, protected, strict=True):
        if matrix.name in rough.columns:
            least = math.ceil(compact_from(matrix, rough) * matrix.shape[1])
            lowest = score.argsort(stable=True)[:least]
            changed = score.clone()
            changed[lowest] = -torch.inf
            ready.append(changed)
        else:
            ready.append(score if matrix.kind == "fc2" else torch.where(score > -torch.inf, torch.inf, score))
        forced += int((ready[-1] == -torch.inf).sum())
    return _search(structure, ready, plan_of, target, forced)[0]


def _best_last(score: torch.Tensor) -> torch.Tensor:
    import torch

    result = score.clone()
    result[score.argmax()] = torch.inf
    return result


def _search(
    structure: Structure, scores: Sequence[torch.Tensor], plan_of: PlanOf, target: float, least: int
) -> tuple[Plan, int]:
    """Return the plan nearest to ``target`` among those that remove the lowest columns, and how many those are."""
    import torch

    pool = torch.cat(list(scores))
    order = pool.argsort(stable=True)
    counts = [len(score) for score in scores]

    def removing(count: int) -> Plan:
        alive = torch.ones(len(pool), dtype=torch.bool)
        alive[order[:count]] = False
        return plan_of(list(alive.split(counts)))

    first, last = least, int((pool < torch.inf).sum())
    while first < last:  # the fewest columns that bring the plan to its target
        middle = (first + last) // 2
        if removing(middle).stored(structure) > target:
            first = middle + 1
        else:
            last = middle
    near = {count: removing(count) for count in {max(first - 1, least), first}}
    best = min(near, key=lambda count: (abs(near[count].stored(structure) - target), count))
    return near[best], best

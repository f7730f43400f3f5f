"""Heads and neurons by their largest weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmark.api import Budget, Fit, Method, Prune, Step
from benchmark.pruning.groups import GroupRule
from benchmark.registry import REGISTRY

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.structure import Group
    from benchmark.whisper.view import View


class Peaks(GroupRule):
    """Keep the heads and neurons with the largest L-infinity norm."""

    def scores(self, view: View, group: Group) -> torch.Tensor:
        """Return the largest ``|w|`` of each member over all its matrices, shape ``(group.count,)``."""
        import torch

        peaks = torch.zeros(group.count, dtype=torch.float64)
        for matrix in view.structure.matrices_of(group.key):
            along = view.weight(matrix).abs().amax(dim=1 - matrix.axis).cpu()
            peaks = peaks.maximum(along.reshape(group.count, matrix.width).amax(dim=1).double())
        return peaks


@REGISTRY.register("method", "peak_group")
class PeakGroup(Method):
    """Attention heads and FFN neurons whose largest weight is the smallest go, ranked within each kind.

    One large weight is enough to stay, whatever the others are: a contrast to norms that sum.
    """

    budgets = frozenset({"prunable_stored"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, prune once, fit."""
        before = self.before(self.config.split, total_steps)
        yield Fit(steps=before)
        yield Prune(rule=Peaks(budget=budget))
        yield Fit(steps=total_steps - before)

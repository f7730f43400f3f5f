"""The reference: the same training, nothing removed."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.api import Budget, Fit, Method, Step
from benchmark.registry import REGISTRY


@REGISTRY.register("method", "dense")
class Dense(Method):
    """Nothing is removed; the model gets the same training as every other cell.

    What a method loses is measured against this row, not against the model before training: otherwise the training
    alone would look like a merit of the method.

    Source: no paper; a reference. Cost: the training that all rows get, and nothing besides. Removes: nothing.
    """

    budgets = frozenset({"none"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Two Fits with the common split, so that the first is shared with every one-shot method."""
        before = self.before(self.config.split, total_steps)
        yield Fit(steps=before)
        yield Fit(steps=total_steps - before)

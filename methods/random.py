"""Random weights: the control of the mask block."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.api import Budget, Method, Step
from benchmark.pruning.weights import RandomWeights
from benchmark.registry import REGISTRY
from methods._oneshot import one_shot


@REGISTRY.register("method", "random")
class Random(Method):
    """Weights removed by a uniform draw over the whole model.

    The control of the mask block: a method that does not beat it has found nothing. Removes single weights (a bit
    mask), so nothing gets smaller or faster.
    """

    budgets = frozenset({"prunable_nominal"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, prune once, fit."""
        rule = RandomWeights(budget=budget)
        yield from one_shot(rule, self.before(self.config.split, total_steps), total_steps)

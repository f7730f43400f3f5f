"""Random heads and neurons: the control of the stored block."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.api import Budget, Method, Step
from benchmark.pruning.groups import RandomGroups
from benchmark.registry import REGISTRY
from methods._oneshot import one_shot


@REGISTRY.register("method", "random_structured")
class RandomStructured(Method):
    """Attention heads and FFN neurons removed by a uniform draw, each kind over the whole model.

    The control of the stored block. Every layer keeps at least one head and one neuron; the matrices get smaller.
    """

    budgets = frozenset({"prunable_stored"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, prune once, fit."""
        rule = RandomGroups(budget=budget)
        yield from one_shot(rule, self.before(self.config.split, total_steps), total_steps)

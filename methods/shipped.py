"""The model as it came: no training, nothing removed."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.api import Budget, Config, Method, Step
from benchmark.registry import REGISTRY


@REGISTRY.register("method", "shipped")
class Shipped(Method):
    """The model as it came, without any training: shows what the fine-tuning recipe alone does to it.

    Source: no paper; a reference. Cost: nothing, no training and no calibration. Removes: nothing.
    """

    Config = Config
    budgets = frozenset({"none"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """No step at all."""
        yield from ()

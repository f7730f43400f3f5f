"""Random weights: the control of the mask block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from benchmark.api import Budget, Method, MethodConfig, Rule, Step
from benchmark.pruning.weights import RandomColumns, RandomWeights
from benchmark.registry import REGISTRY
from benchmark.search import Search
from methods._oneshot import one_shot


class RandomConfig(MethodConfig):
    """What is drawn."""

    granularity: Annotated[Literal["weight", "column"], Search(usual=False)] = Field(
        default="weight", description="single weights or input columns"
    )


@REGISTRY.register("method", "random")
class Random(Method):
    """Weights, or whole input columns, removed by a uniform draw over the whole model.

    The control of the mask block: a method that does not beat it has found nothing. Heads and
    neurons: see random_structured. Removes single weights (a bit mask), so nothing gets smaller or faster; columns do
    where a compact Linear pays.

    Source: no paper; a control. Cost: the training that all rows get; no calibration. Removes: single weights, or
    input columns.
    """

    Config = RandomConfig
    budgets = frozenset({"prunable_nominal"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, prune once, fit."""
        rule: Rule = RandomWeights(budget=budget)
        if self.config.granularity == "column":
            rule = RandomColumns(budget=budget)
        yield from one_shot(rule, self.before(self.config.split, total_steps), total_steps)

"""Random heads and neurons: the control of the stored block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from benchmark.api import Budget, Method, MethodConfig, Step
from benchmark.pruning.groups import KINDS, Kinds, RandomGroups
from benchmark.pruning.weights import Scope
from benchmark.registry import REGISTRY
from benchmark.search import Search
from methods._oneshot import one_shot


class RandomStructuredConfig(MethodConfig):
    """Which parts may go."""

    groups: Kinds = Field(default=KINDS, description="kinds of groups that may go")
    scope: Annotated[Scope, Search(usual=False)] = Field(
        default="global", description="draw over the whole model, or within each layer"
    )
    round_to: int = Field(default=1, ge=1, description="every layer keeps a multiple of this many neurons")


@REGISTRY.register("method", "random_structured")
class RandomStructured(Method):
    """Attention heads and FFN neurons removed by a uniform draw, each kind over the whole model.

    The control of the stored block. Every layer keeps at least one head and one neuron; the matrices get smaller.

    Source: no paper; a control. Cost: the training that all rows get; no calibration. Removes: whole heads and neurons.
    """

    Config = RandomStructuredConfig
    budgets = frozenset({"prunable_stored"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, prune once, fit."""
        rule = RandomGroups(budget=budget, **self.config.model_dump(include={"groups", "scope", "round_to"}))
        yield from one_shot(rule, self.before(self.config.split, total_steps), total_steps)

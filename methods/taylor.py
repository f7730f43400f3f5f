"""Heads and neurons by the first-order change of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from benchmark.api import Budget, Calibrate, Fit, Method, MethodConfig, Prune, Step
from benchmark.pruning.activations import TaylorGroups
from benchmark.pruning.groups import KINDS, Kinds
from benchmark.pruning.weights import Scope
from benchmark.registry import REGISTRY
from benchmark.search import Search


class TaylorConfig(MethodConfig):
    """Which parts may go, how their worth is estimated, on how much speech."""

    groups: Kinds = Field(default=KINDS, description="kinds of groups that may go")
    scope: Annotated[Scope, Search(usual=False)] = Field(
        default="global", description="rank over the whole model, or within each layer"
    )
    estimate: Annotated[Literal["element", "group"], Search(usual=False)] = Field(
        default="element", description="sum of |g * w| over a group, or |sum of g * w|"
    )
    utterances: Annotated[int, Search(32, 512, log=True, usual=False)] = Field(
        default=128, ge=1, description="training utterances the gradient is taken over"
    )


@REGISTRY.register("method", "taylor")
class Taylor(Method):
    """Heads and neurons go whose removal changes the loss least, to first order.

    After Molchanov et al. 2019 (arXiv 1906.10771): gradient times weight, summed over a head or neuron; the gradient is
    the mean over training utterances (`utterances`; one forward and backward pass each, counted). Every layer keeps at
    least one of each; the matrices get smaller.

    Source: Molchanov et al. 2019 (its first-order criterion, with g * w there squared). Cost: the training that all
    rows get, and one forward and backward pass of each of the `utterances`. Removes: whole heads and neurons.
    """

    Config = TaylorConfig
    budgets = frozenset({"prunable_stored"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, calibrate, prune once, fit."""
        config: TaylorConfig = self.config
        before = self.before(config.split, total_steps)
        yield Fit(steps=before)
        yield Calibrate(utterances=config.utterances, statistics=("gradient",))
        rule = TaylorGroups(budget=budget, groups=config.groups, scope=config.scope, estimate=config.estimate)
        yield Prune(rule=rule)
        yield Fit(steps=total_steps - before)

"""Weights by magnitude, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from benchmark.api import Budget, Method, MethodConfig, Step
from benchmark.pruning.weights import MagnitudeWeights, WeightScope
from benchmark.registry import REGISTRY
from benchmark.search import Search
from methods._oneshot import one_shot


class MagnitudeConfig(MethodConfig):
    """How the ranking is done."""

    scope: Annotated[WeightScope, Search(usual=False)] = Field(
        default="global", description="rank over the model, in each matrix, or with Erdos-Renyi shares"
    )


@REGISTRY.register("method", "magnitude")
class Magnitude(Method):
    """The weights of smallest magnitude go, once (Han et al. 2015, arXiv 1506.02626).

    Ranked over the whole model (`scope: global`), within each matrix (`layer`), or there with the shares of a
    random graph (`erdos_renyi`; Evci et al. 2020, arXiv 1911.11134). Removes single weights (a bit mask), so nothing
    gets smaller or faster.

    Source: Han et al. 2015 (rank: |w|). Cost: the training that all rows get; no calibration. Removes: single weights.
    """

    Config = MagnitudeConfig
    budgets = frozenset({"prunable_nominal"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, prune once, fit."""
        rule = MagnitudeWeights(budget=budget, scope=self.config.scope)
        yield from one_shot(rule, self.before(self.config.split, total_steps), total_steps)

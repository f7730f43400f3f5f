"""Heads and neurons by their L1 norm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from benchmark.api import Budget, Method, MethodConfig, Step
from benchmark.pruning.groups import KINDS, Kinds, L1Groups
from benchmark.pruning.weights import Scope
from benchmark.registry import REGISTRY
from benchmark.search import Search
from methods._oneshot import one_shot


class L1GroupConfig(MethodConfig):
    """Which parts may go."""

    groups: Kinds = Field(default=KINDS, description="kinds of groups that may go")
    scope: Annotated[Scope, Search(usual=False)] = Field(
        default="global", description="rank over the whole model, or within each layer"
    )
    round_to: int = Field(default=1, ge=1, description="every layer keeps a multiple of this many neurons")


@REGISTRY.register("method", "l1_group")
class L1Group(Method):
    """Attention heads and FFN neurons with the smallest L1 norm go, ranked within each kind.

    After Li et al. 2017 (arXiv 1608.08710), carried over from filters to heads and neurons. Every layer keeps at least
    one of each; the matrices get smaller.

    Source: Li et al. 2017 (rank: sum of |w| over the member). Cost: the training that all rows get; no calibration.
    Removes: whole heads and neurons.
    """

    Config = L1GroupConfig
    budgets = frozenset({"prunable_stored"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, prune once, fit."""
        rule = L1Groups(budget=budget, **self.config.model_dump(include={"groups", "scope", "round_to"}))
        yield from one_shot(rule, self.before(self.config.split, total_steps), total_steps)

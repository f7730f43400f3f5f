"""A random redraw of another method's plan: the control of that method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from benchmark.api import Budget, Config, Method, Prune, Step
from benchmark.errors import SpecError
from benchmark.pruning.redraw import Redraw
from benchmark.registry import REGISTRY
from benchmark.search import Parameter


class RandomLikeConfig(Config):
    """Whose control this is. Split, loss and refill are the other's: give them in ``options``."""

    method: str = Field(default="sgl_adaptive", description="the method whose densities are redrawn")
    options: dict[str, Any] = Field(default_factory=dict, description="its options")


@REGISTRY.register("method", "random_like")
class RandomLike(Method):
    """The control of another method: its program, its densities in every matrix and layer, but drawn at random.

    A method that does not beat its own redraw found out how much to keep where, and nothing about which weights
    (Frankle et al. 2021, arXiv 2009.08576). The penalty of the other method holds here too.

    Source: the shuffled masks of arXiv 2009.08576. Cost: the training and calibration of the other method. Removes: as
    much as the other method does in every matrix, layer and group, of the same kinds.
    """

    Config = RandomLikeConfig
    budgets = frozenset({"none", "prunable_nominal", "prunable_stored"})

    def made_of(self) -> Sequence[Method]:
        """The other method."""
        config: RandomLikeConfig = self.config
        if config.method in (self.name, "dense", "shipped"):
            raise SpecError(f"random_like: {config.method!r} prunes nothing of its own; name the method to be redrawn")
        return (REGISTRY.get("method", config.method, **config.options),)

    def defaults(self, budget: Budget) -> dict[str, Any]:
        """Return those of the other method."""
        (other,) = self.made_of()
        return other.defaults(budget)

    def searchable(self, budget: Budget) -> list[Parameter]:
        """Return what can be turned in the other method."""
        (other,) = self.made_of()
        return [replace(one, path=("method", "options", *one.path[1:])) for one in other.searchable(budget)]

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """The other's steps, each Prune redrawn."""
        (other,) = self.made_of()
        if budget.kind not in other.budgets:
            known = ", ".join(sorted(other.budgets))
            raise SpecError(f"random_like: method {other.name!r} knows no budget {budget.kind!r}, but {known}")
        for step in other.steps(budget, total_steps):
            yield Prune(rule=Redraw(budget=step.rule.budget, rule=step.rule)) if isinstance(step, Prune) else step

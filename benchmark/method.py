"""The base of compression methods, and the switches that all of them share. No torch import.

Plug-ins find these names in ``benchmark.api``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from benchmark.errors import SpecError
from benchmark.plugin import Config, Plugin
from benchmark.search import Parameter, Search, parameters
from benchmark.steps import Budget, BudgetKind, Fit, Loss, Prune, Refill, Step


class MethodConfig(Config):
    """Options every method has."""

    split: Annotated[float, Search(0.2, 0.8)] = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of the training steps that is spent before the first Prune; 1: nothing is trained after it",
    )
    loss: Annotated[Loss, Search(usual=False)] = Field(
        default="ce", description="of all training: cross-entropy, or with the model as it came as a teacher besides"
    )
    refill: Annotated[bool, Search(usual=False)] = Field(
        default=False, description="train the zeros inside what is kept again, after pruning"
    )


class Method(Plugin):
    """A compression method: turns a budget and a number of training steps into a program."""

    Config: ClassVar[type[Config]] = MethodConfig
    budgets: ClassVar[frozenset[BudgetKind]]
    """Kinds of budget that the method can be held to."""

    @abstractmethod
    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Yield the steps; the Fits must add up to ``total_steps`` (or there is none at all). Pure."""

    def steps(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Yield the program under the switches that all methods share: what the harness carries out.

        ``loss`` goes into every Fit; ``refill`` puts a Refill before the first Fit after a Prune.

        Raises:
            SpecError: ``refill`` against a budget that counts zeros, or where nothing is trained after pruning.
        """
        loss, refill = getattr(self.config, "loss", "ce"), getattr(self.config, "refill", False)
        if refill and budget.kind == "prunable_nominal":
            raise SpecError(f"{self.name}: refill trains zeros again, and budget {budget} counts them; leave it off")
        pruned = filled = False
        for step in self.program(budget, total_steps):
            if isinstance(step, Fit):
                if step.steps == 0:
                    continue  # where all training comes before the Prune, none is left for after it
                if refill and pruned:
                    yield Refill(compact=budget.kind != "prunable_stored")
                    filled = True
                pruned = False
                yield step if loss == "ce" else step.model_copy(update={"loss": loss})
                continue
            pruned = pruned or isinstance(step, Prune)
            yield step
        if refill and not filled:
            raise SpecError(f"{self.name}: refill has no effect where no training follows a pruning; leave it off")

    def made_of(self) -> Sequence[Method]:
        """The methods that this one is made of, whose versions are part of its cells' identity; none by default."""
        return ()

    def defaults(self, budget: Budget) -> dict[str, Any]:
        """Return the values that options left out take under a budget, where that is not their own default."""
        return {}

    def searchable(self, budget: Budget) -> list[Parameter]:
        """Return the options that a study can turn under a budget, each with what holds when it is left out."""
        said = self.config.model_dump()
        values = {**said, **{name: value for name, value in self.defaults(budget).items() if said.get(name) is None}}
        return parameters(type(self.config), **values)

    @property
    def full_version(self) -> str:
        """The version, and those of the methods it is made of: what a cell's id holds."""
        inner = ",".join(f"{method.name}:{method.full_version}" for method in self.made_of())
        return f"{self.version}({inner})" if inner else self.version

    @staticmethod
    def before(split: float, total_steps: int) -> int:
        """Optimiser steps before the first Prune: at least one, and, but for ``split`` 1, one is left for after it."""
        if split == 1:
            return total_steps
        if total_steps < 2:
            raise SpecError(f"training.steps = {total_steps}: a method that prunes needs at least 2 (before, after)")
        return min(max(round(split * total_steps), 1), total_steps - 1)


class Finisher(Method):
    """A method whose work comes after all training, so that it can follow any other method (``compose``).

    By itself it trains like ``dense``, whose nodes it shares.
    """

    prunes: ClassVar[bool] = False
    """Whether it changes the number of prunable weights, which a budget counts."""

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Train as ``dense`` does, then finish."""
        before = self.before(self.config.split, total_steps)
        yield Fit(steps=before)
        yield Fit(steps=total_steps - before)
        yield from self.finish(budget)

    @abstractmethod
    def finish(self, budget: Budget) -> Iterator[Step]:
        """Yield the steps after training: Calibrate, Prune, Quantise. Pure."""

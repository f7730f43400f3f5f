"""Weights by magnitude times the norm of their input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from benchmark.api import Budget, Calibrate, Fit, Method, MethodConfig, Prune, Step
from benchmark.pruning.activations import WandaWeights
from benchmark.registry import REGISTRY
from benchmark.search import Search


class WandaConfig(MethodConfig):
    """What is compared with what, on how much speech."""

    compare: Annotated[Literal["output", "layer", "global"], Search(usual=False)] = Field(
        default="output", description="rank within the weights of one output, within a matrix, or over the model"
    )
    utterances: Annotated[int, Search(32, 512, log=True, usual=False)] = Field(
        default=128, ge=1, description="training utterances the inputs' norms are taken over"
    )


@REGISTRY.register("method", "wanda")
class Wanda(Method):
    """Weights of the smallest |w| times the norm of their input go, once (Sun et al. 2023, arXiv 2306.11695, eq. 1).

    The norms are those of the model just before pruning, over training utterances (`utterances`; one forward pass
    each, counted). Compared within each output, as there. That paper trains nothing afterwards; here every method
    gets the same training. Removes single weights (a bit mask), so nothing gets smaller or faster.

    Source: Sun et al. 2023, equation 1. Cost: the training that all rows get, and one forward pass of each of the
    `utterances`. Removes: single weights.
    """

    Config = WandaConfig
    budgets = frozenset({"prunable_nominal"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, calibrate, prune once, fit."""
        config: WandaConfig = self.config
        before = self.before(config.split, total_steps)
        yield Fit(steps=before)
        yield Calibrate(utterances=config.utterances, statistics=("input_square",))
        yield Prune(rule=WandaWeights(budget=budget, compare=config.compare))
        yield Fit(steps=total_steps - before)

"""Iterative magnitude pruning, with or without rewinding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from benchmark.api import Budget, Fit, Method, MethodConfig, Prune, Rewind, Step
from benchmark.errors import SpecError
from benchmark.pruning.weights import MagnitudeWeights, WeightScope
from benchmark.registry import REGISTRY
from benchmark.search import Search


class ImpConfig(MethodConfig):
    """The chain: how much a round keeps, how long it trains, and where it goes back to."""

    rate: Annotated[float, Search(0.6, 0.95)] = Field(
        default=0.85, gt=0, lt=1, description="share of the remaining weights that a round keeps"
    )
    round_share: Annotated[float, Search(0.02, 0.12)] = Field(
        default=0.06, gt=0, lt=1, description="share of all steps that a round trains"
    )
    scope: Annotated[WeightScope, Search(usual=False)] = Field(
        default="global", description="rank over the model, in each matrix, or with Erdos-Renyi shares"
    )
    after_prune: Annotated[Literal["continue", "rewind"], Search(usual=False)] = Field(
        default="continue", description="go on from the pruned weights, or from early ones"
    )
    rewind_at: Annotated[float, Search(0.2, 1.0, usual=False)] = Field(
        default=1.0,
        gt=0,
        le=1,
        description="how far into the training before the first Prune a rewind goes, as a share",
    )


@REGISTRY.register("method", "imp")
class Imp(Method):
    """Iterative magnitude pruning (Han et al. 2015; Frankle and Carbin 2019, arXiv 1803.03635).

    Rounds of pruning and training: each round keeps `rate` of what is left. `after_prune: rewind` restores weights and
    optimiser after each pruning to an earlier step: to the share `rewind_at` of the first training (Frankle et al.
    2020, arXiv 1912.05671); below 1 the schedule of the learning rate restarts there. A rewind gives no steps back: all
    cells train equally long. All budgets share one chain of rounds; a cell leaves it where its last pruning takes what
    its budget still needs.

    Source: Frankle and Carbin 2019 (rounds; rank |w|), Frankle et al. 2020 (rewinding). Cost: the training that all
    rows get, cut into rounds; no calibration. Removes: single weights (a bit mask), so nothing gets smaller or faster.
    """

    Config = ImpConfig
    budgets = frozenset({"prunable_nominal"})

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """(Fit, Prune[, Rewind]) x n, Fit."""
        config: ImpConfig = self.config
        if budget.keep is None:
            raise SpecError("method 'imp' needs a budget with a kept fraction")
        before = self.before(config.split, total_steps)
        each = max(1, round(config.round_share * total_steps))
        levels = rounds(budget.keep, config.rate)
        last = total_steps - before - each * (len(levels) - 1)
        if config.split == 1 and len(levels) > 1:
            raise SpecError(
                f"imp: split = 1 leaves no steps between the {len(levels)} rounds for keep {budget.keep:g}; lower "
                "split, or lower rate until one round does it"
            )
        if config.split == 1 and config.after_prune == "rewind":
            raise SpecError("imp: split = 1 leaves no steps to train after a rewind; lower split, or continue instead")
        if last < 1 and config.split < 1:
            raise SpecError(
                f"imp: {len(levels)} rounds for keep {budget.keep:g} need more than the {total_steps} training steps; "
                "lower split or round_share, lower rate, or train longer"
            )
        early = before
        if config.after_prune == "rewind":
            early = max(1, round(config.rewind_at * before))
        yield Fit(steps=early)
        if early < before:
            yield Fit(steps=before - early)
        for level in levels:
            reaches = Budget(kind=budget.kind, keep=level, tolerance=budget.tolerance)
            yield Prune(rule=MagnitudeWeights(budget=reaches, scope=config.scope))
            if config.after_prune == "rewind":
                yield Rewind(to_step=early)
            yield Fit(steps=each if level != levels[-1] else last)


def rounds(keep: float, rate: float) -> list[float]:
    """Return the kept fraction after each round: ``rate ** i``, and ``keep`` as the last.

    A last round that would take less than a quarter of a usual one is merged into the round before it.
    """
    full = math.log(keep) / math.log(rate)
    count = max(1, math.ceil(full - 0.25))
    return [rate**i for i in range(1, count)] + [keep]

"""Linear layers as two factors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from benchmark.api import Budget, Calibrate, Finisher, MethodConfig, Prune, Step
from benchmark.pruning.low_rank import LowRank
from benchmark.registry import REGISTRY
from benchmark.search import Search


class LowRankConfig(MethodConfig):
    """How much of the outputs is kept, where, measured on how much speech."""

    energy: Annotated[float, Search(0.99, 0.9999, usual=False)] = Field(
        default=0.9995, gt=0, le=1, description="share of the outputs' variance kept without a budget"
    )
    stacks: tuple[Literal["encoder", "decoder"], ...] = Field(
        default=("encoder", "decoder"), min_length=1, description="stacks whose layers are factorised"
    )
    utterances: Annotated[int, Search(32, 512, log=True, usual=False)] = Field(
        default=128, ge=1, description="training utterances the outputs are measured on"
    )


@REGISTRY.register("method", "low_rank")
class LowRankMethod(Finisher):
    """Linear layers become two smaller ones, along the principal components of their outputs.

    The idea of LiteASR (Kamahori et al. 2025, arXiv 2502.20583), there for the encoder: the outputs over a calibration
    set (one forward pass of `utterances` training utterances, counted) say which directions matter. A layer that would
    not get smaller stays as it is. After all training, and nothing is trained for it. Nothing is zeroed: in the stored
    block, the factors are what is counted.

    Source: Kamahori et al. 2025 (W becomes U U^T W, U the leading principal components of the outputs). Cost: the
    training that all rows get, and one forward pass of each of the `utterances`. Removes: directions of the outputs.
    """

    version = "2"
    Config = LowRankConfig
    prunes = True
    budgets = frozenset({"none", "prunable_stored"})

    def finish(self, budget: Budget) -> Iterator[Step]:
        """Measure outputs, factorise."""
        config: LowRankConfig = self.config
        yield Calibrate(utterances=config.utterances, statistics=("input_covariance",))
        yield Prune(rule=LowRank(budget=budget, energy=config.energy, stacks=config.stacks))

"""Whole layers, evenly spaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from benchmark.api import Budget, Method, MethodConfig, Step
from benchmark.errors import SpecError
from benchmark.pruning.coarse import KeepLayers
from benchmark.registry import REGISTRY
from benchmark.search import Parameter, Search
from methods._oneshot import one_shot


class LayerDropConfig(MethodConfig):
    """How deep the stacks stay."""

    encoder: Annotated[int | None, Search(1, 12, usual=False)] = Field(
        default=None, ge=1, description="encoder layers left without a budget; all when absent"
    )
    decoder: Annotated[int | None, Search(1, 12, usual=False)] = Field(
        default=1, ge=1, description="decoder layers left without a budget; all when absent"
    )
    stacks: tuple[Literal["encoder", "decoder"], ...] = Field(
        default=("encoder", "decoder"), min_length=1, description="stacks that a budget may cut"
    )


@REGISTRY.register("method", "layer_drop")
class LayerDrop(Method):
    """Whole layers of encoder and decoder go; those that stay are evenly spaced, first and last among them.

    The initialisation of Distil-Whisper (Gandhi et al. 2023, arXiv 2311.00430), without its long training. With a
    stored budget the depth of both stacks is chosen to meet it as nearly as whole layers can; without one, `encoder`
    and `decoder` say how many stay. The result is a stock Whisper with fewer layers.

    Source: Gandhi et al. 2023 (layers as far apart as can be). Cost: the training that all rows get; no calibration.
    Removes: whole layers.
    """

    Config = LayerDropConfig
    budgets = frozenset({"none", "prunable_stored"})

    def searchable(self, budget: Budget) -> list[Parameter]:
        """Return the options that a study can turn; a budget decides how many layers stay."""
        decided = {"encoder", "decoder"} if budget.keep is not None else set()
        return [one for one in super().searchable(budget) if one.name not in decided]

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Fit, drop, fit."""
        config: LayerDropConfig = self.config
        given = sorted({"encoder", "decoder"} & config.model_fields_set)
        if budget.keep is not None and given:
            raise SpecError(f"layer_drop: budget {budget} decides how many layers stay; leave out {', '.join(given)}")
        rule = KeepLayers(budget=budget, **config.model_dump(include={"encoder", "decoder", "stacks"}))
        yield from one_shot(rule, self.before(config.split, total_steps), total_steps)

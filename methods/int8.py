"""Dynamic int8 quantisation: a reference."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.api import Budget, Finisher, Quantise, Step
from benchmark.registry import REGISTRY


@REGISTRY.register("method", "int8")
class Int8(Finisher):
    """Linear layers in int8, by torch's dynamic quantisation: a reference row, not ranked among pruners.

    Weights are stored with one scale per output, activations are quantised while the model runs, on the CPU only. No
    weight is removed, so no parameter count falls: bytes and time do. Embedding, output projection, convolutions and
    norms stay in floating point.

    Source: no paper; torch's dynamic quantisation. Cost: the training that all rows get, and none for
    itself; no calibration. Removes: no weight, but bits of each.
    """

    budgets = frozenset({"none"})

    def finish(self, budget: Budget) -> Iterator[Step]:
        """Quantise."""
        yield Quantise(kind="int8")

"""An axis of error rates that span decades, or reach beyond 100 %, without cutting a point off."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from reports import _pareto_looks as styles

if TYPE_CHECKING:
    import numpy as np


def scale_of(score: np.ndarray, low: np.ndarray, high: np.ndarray) -> styles.Scale:
    """Return the axis of the Pareto pictures, its upper end raised to what is largest.

    Args:
        score: rates in per cent, shape ``(N,)``.
        low: lower ends of their intervals, NaN where there is none.
        high: upper ends.
    """
    import numpy as np
    import pandas as pd

    points = pd.DataFrame({"score": score, "low": low, "high": high}, dtype="float64").dropna(subset="score")
    scale = styles.scale(points)
    if points.empty:
        return scale
    most = float(np.nanmax(points.to_numpy()))
    if not scale.log:
        return dataclasses.replace(scale, ends=(0.0, 1.06 * most or 1.0))
    ticks = [*scale.ticks, *(tick for tick in (200, 500, 1000, 2000) if tick < most)]
    names = [*scale.names, *(f"{tick:g}" for tick in ticks[len(scale.ticks) :])]
    return dataclasses.replace(scale, ends=(scale.ends[0], 1.2 * most), ticks=ticks, names=names)

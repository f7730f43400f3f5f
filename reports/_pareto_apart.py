"""Where the points of a Pareto panel are drawn that would lie on one another: beside it, to the right.

A point on the front of all stays where it belongs, so none stands left of the front; what moves is beaten anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmark.store.front import non_dominated

if TYPE_CHECKING:
    import pandas as pd

    from reports import _pareto_data as data
    from reports._pareto_looks import Scale

_BARS = 0.014
"""Distance of two bars side by side, as a share of the panel's width."""
_MARKERS = 0.024
"""Distance of two points at one height: one covers less than half of the other."""
_ROOM = 0.6
"""Share of the distance between two budgets that the points of one may fill."""
_HALF = 0.014
"""Half of a marker's height, as a share of the panel's."""


def apart(shown: pd.DataFrame, cost: data.Cost, scale: Scale, worst: float) -> np.ndarray:
    """Return the places over the cost at which the points are drawn; shape ``(N,)``.

    Args:
        shown: the panel's points, in the order in which they stand side by side: ``score``, ``low``, ``high``, ``keep``
            and the column of the cost.
        cost: a measured one (not ``tied``) moves nothing.
        scale: the axis of the error rate.
        worst: the error on whose line all above it are drawn; it is on no front.
    """
    x, score = shown[cost.column].to_numpy(float), shown["score"].to_numpy(float)
    if not cost.tied or len(x) < 2:
        return x
    front, extent = _first_of_the_front(x, score, worst), _extent(shown, scale, worst)
    whole, room = float(x.max() - x.min()) or float(x.max()) or 1.0, _room(shown, cost)
    placed = _side_by_side(x, front, extent, whole)
    most = float((placed - x).max())
    return placed if most <= room else _side_by_side(x, front, extent, whole * room / most)


def _side_by_side(x: np.ndarray, front: np.ndarray, extent: np.ndarray, whole: float) -> np.ndarray:
    """Return each point's place: the first one from its own to the right that is free; the front's are taken."""
    placed, done = x.copy(), front.copy()
    low, middle, high = extent.T
    for at in sorted(np.flatnonzero(~front), key=lambda at: x[at]):  # stable: equal costs in the order of the methods
        beside = done & (low <= high[at]) & (high >= low[at])
        level = np.abs(middle[beside] - middle[at]) < 2 * _HALF
        taken, apart = placed[beside], whole * np.where(level, _MARKERS, _BARS)
        free = np.sort(np.append(x[at], (taken + apart)[taken + apart > x[at]]))
        placed[at] = next(one for one in free if (np.abs(taken - one) >= 0.999 * apart).all())
        done[at] = True
    return placed


def _first_of_the_front(x: np.ndarray, score: np.ndarray, worst: float) -> np.ndarray:
    """Return which points are on the front of all; of equal ones the first."""
    found, below = np.zeros(len(x), bool), np.flatnonzero(score < worst)
    best = below[non_dominated(x[below], score[below])]
    found[best[np.unique(np.column_stack([x[best], score[best]]), axis=0, return_index=True)[1]]] = True
    return found


def _room(shown: pd.DataFrame, cost: data.Cost) -> float:
    """Return how far a point may be moved, in units of the cost, so that it is not taken for one of the next budget."""
    budgets = np.sort(shown.groupby("keep")[cost.column].median())
    return _ROOM * float(np.diff(budgets).min()) if len(budgets) > 1 else np.inf


def _extent(shown: pd.DataFrame, scale: Scale, worst: float) -> np.ndarray:
    """Return what each point takes of the height with its bar and marker: low, middle, high; shape ``(N, 3)``.

    They are shares of the axis.
    """
    score = shown["score"]
    ends = np.column_stack([shown["low"].fillna(score), shown["high"].fillna(score), score])
    ends = ends.clip(scale.floor, worst)
    low, high = scale.ends
    if scale.log:
        ends, low, high = np.log(ends), float(np.log(low)), float(np.log(high))
    shares = (ends - low) / (high - low)
    return np.column_stack([shares.min(axis=1) - _HALF, shares[:, 2], shares.max(axis=1) + _HALF])

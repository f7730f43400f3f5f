"""Points of a Pareto panel side by side: none left of the front, none on another, none far from its budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from benchmark.store.frame import frame
from reports import _pareto_looks as looks
from reports._pareto_apart import apart
from reports._pareto_data import COSTS, WORST
from reports.pareto import draw
from tests.fake_runs import commit, make, ok_data, spec

COUNTED, MEASURED = COSTS["params_stored"], COSTS["latency"]


def _points(
    costs: list[float], scores: list[float], width: float = 0.5, keep: list[float] | None = None
) -> pd.DataFrame:
    rates = pd.Series(scores, dtype=float)
    keeps = [0.5] * len(costs) if keep is None else keep
    ends = {"low": (rates - width).clip(lower=0), "high": rates + width}
    return pd.DataFrame({"params_stored": costs, "latency": costs, "score": rates, "keep": keeps, **ends})


def _placed(points: pd.DataFrame) -> np.ndarray:
    return apart(points, COUNTED, looks.scale(points), WORST)


def _beaten(points: pd.DataFrame) -> list[bool]:
    """Return whether another point beats or equals each, by a naive loop; of equal ones the first is not beaten."""
    rows = list(points[["params_stored", "score"]].itertuples(index=False, name=None))
    return [
        score >= WORST
        or any(
            one <= cost and other <= score and ((one, other) != (cost, score) or place < at)
            for place, (one, other) in enumerate(rows)
        )
        for at, (cost, score) in enumerate(rows)
    ]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([7e5, 7.01e5, 1e6, 1.5e6]), st.integers(0, 300)), min_size=1, max_size=25))
def test_the_front_stays_and_the_rest_moves_to_the_right(found: list[tuple[float, int]]) -> None:
    points = _points([cost for cost, _ in found], [tenths / 2 for _, tenths in found])
    placed, x = _placed(points), points["params_stored"].to_numpy()
    beaten = np.array(_beaten(points))
    assert (placed >= x).all()
    assert (placed[~beaten] == x[~beaten]).all()
    equal = pd.DataFrame({"at": placed, "score": points["score"]})[beaten]
    assert not equal.duplicated().any()  # what was moved hides nothing


def test_bars_stand_side_by_side_only_where_they_would_meet() -> None:
    placed = _placed(_points([1e6, 1e6, 1e6, 2e6], [10.0, 10.5, 60.0, 5.0]))
    assert placed[0] == 1e6 < placed[1] < 1.1e6
    assert placed[2] == 1e6 and placed[3] == 2e6  # far above the others; alone


def test_many_equal_points_keep_to_their_budget() -> None:
    costs, keep = [1e6] * 30 + [2e6] * 30, [0.4] * 30 + [0.8] * 30
    placed = _placed(_points(costs, [5.0] * 60, keep=keep))
    assert placed[:30].max() < 1.7e6 and len(set(placed)) == 60
    assert placed[30] == placed[30:].min() and placed[30] >= 2e6


def test_what_is_measured_is_not_moved() -> None:
    points = _points([2.0, 2.0, 2.0], [5.0, 5.0, 5.0])
    assert (apart(points, MEASURED, looks.scale(points), WORST) == 2.0).all()


def _markers(ax: Axes) -> np.ndarray:
    """Return where the markers are seen, in units of the axes; shape ``(N, 2)``."""
    found = [one for one in ax.collections if isinstance(one, PathCollection) and one.get_zorder() >= 4]
    seen = np.concatenate([one.get_offset_transform().transform(np.asarray(one.get_offsets())) for one in found])
    return np.asarray(ax.transData.inverted().transform(seen))


def test_no_point_of_the_picture_stands_left_of_the_front(tmp_path: Path) -> None:
    run = make(tmp_path / "run", keeps=(0.8, 0.6))
    for method in ("taylor", "wanda"):
        commit(run, ok_data(spec(method, "prunable_stored", 0.6), stored=0.6), 0.1)
    figure = draw(frame(run, normalizer="identity"), [])
    panels = [ax for part in figure.subfigs for ax in part.axes if ax.axison]
    for ax in panels:
        front = next(line for line in ax.get_lines() if line.get_drawstyle() == "steps-post")
        corners = np.column_stack([front.get_xdata(), front.get_ydata()])[:-1]
        markers, width = _markers(ax), np.diff(ax.get_xlim())[0]
        for x, y in corners:  # each corner is a point
            assert (np.hypot(*((markers - (x, y)) / (width, 1)).T) < 1e-6).any()
        for x, y in markers:
            below = corners[corners[:, 0] <= x + 1e-6 * width, 1]
            assert len(below) and y >= below.min() * (1 - 1e-9) - 1e-9

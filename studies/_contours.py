"""An objective over pairs of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import FrozenTrial

from benchmark.figures import INK
from studies._canvas import MARKS, Scale, View, colours, dress_values, legend, mark, present, sheet
from studies._outcomes import Goal, kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.tri import Triangulation


def contour(view: View, goal: Goal, names: Sequence[str]) -> Figure:
    """Draw an objective over each pair of parameters: trials as points, colours between them."""
    from matplotlib.cm import ScalarMappable

    scales = [Scale.of(name, view.trials) for name in names]
    last = len(scales) - 1
    figure = sheet(f"{goal.title} over pairs of parameters: {view.name}", (2.6 + 2.5 * last, 1.7 + 2.4 * last))
    grid = figure.subplots(last, last, squeeze=False)
    norm, levels = _norm([goal.of(trial) for trial in view.valued])
    shades = colours(maximize=goal.maximize)
    for row, column in np.ndindex(last, last):
        ax, across, down = grid.item(row, column), scales[column], scales[row + 1]
        if column > row:
            ax.remove()
            continue
        _pair(ax, view, goal, (across, down), (norm, levels, shades))
        across.dress(ax.xaxis, named=row == last - 1)
        down.dress(ax.yaxis, named=column == 0)
        ax.tick_params(labelbottom=row == last - 1, labelleft=column == 0)
    kept = [grid.item(row, column) for row, column in np.ndindex(last, last) if column <= row]
    bar = figure.colorbar(ScalarMappable(norm, shades), ax=kept, shrink=0.9, aspect=30)
    dress_values(bar.ax.yaxis, goal, [goal.of(trial) for trial in view.valued])
    legend(figure, view, present(view), edge=False)
    return figure


def _pair(ax: Axes, view: View, goal: Goal, scales: tuple[Scale, Scale], paint: tuple[Any, Any, Any]) -> None:
    from matplotlib.cm import ScalarMappable

    across, down = scales
    norm, levels, shades = paint

    def place(some: Sequence[FrozenTrial]) -> tuple[list[FrozenTrial], np.ndarray, np.ndarray]:
        there = [trial for trial in some if across.name in trial.params and down.name in trial.params]
        x, y = (scale.at([trial.params[scale.name] for trial in there]) for scale in scales)
        return there, x, y

    ax.grid(visible=False)
    some, x, y = place(view.valued)
    mesh = None if across.choices or down.choices else plane(x, y, across.ends(), down.ends())
    if mesh is not None:
        ax.tricontourf(mesh, [goal.of(trial) for trial in some], levels=levels, norm=norm, cmap=shades, zorder=1)
    for look in ("infeasible", "complete"):
        some, x, y = place([trial for trial in view.valued if kind(trial) == look])
        own: dict[str, Any] = {"edgecolor": INK, "s": 30}
        if look == "complete":
            own["facecolor"] = ScalarMappable(norm, shades).to_rgba(np.array([goal.of(trial) for trial in some]))
        mark(ax, look, x, y, **own)
    for look in ("pruned", "infeasible", "failed"):
        _, x, y = place([trial for trial in view.valueless if kind(trial) == look])
        mark(ax, look, x, y, s=20)
    for look, chosen in (("best", view.best), ("default", [view.default] if view.default else [])):
        _, x, y = place(chosen)
        mark(ax, look, x, y, s=0.6 * MARKS[look]["s"])


def plane(x: np.ndarray, y: np.ndarray, wide: tuple[float, float], high: tuple[float, float]) -> Triangulation | None:
    """Return the triangles between points, made where both ranges are one long; None where they lie on a line."""
    from matplotlib.tri import Triangulation

    unit = np.column_stack([(x - wide[0]) / (wide[1] - wide[0] or 1), (y - high[0]) / (high[1] - high[0] or 1)])
    distinct = np.unique(unit.round(9), axis=0)
    if len(distinct) < 4 or np.linalg.matrix_rank(distinct - distinct.mean(axis=0), tol=1e-6) < 2:
        return None
    return Triangulation(x, y, Triangulation(unit[:, 0], unit[:, 1]).triangles)


def _norm(values: Sequence[float]) -> tuple[Any, np.ndarray]:
    """Return the colour scale of values, and a dozen levels of it: logarithmic where the axis would be."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = min(values), max(values)
    if low > 0 and high / low >= 8:
        return LogNorm(low, high), np.geomspace(low, high, 13)
    return Normalize(low, high), np.linspace(low, high, 13)

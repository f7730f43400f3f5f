"""The figures of a study, each drawn from a ``View``. Whether one can be drawn is asked in ``_figures``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import FrozenTrial

from benchmark.figures import FAINT, INK
from studies._canvas import (
    ACCENT,
    MARKS,
    Scale,
    View,
    dress_values,
    legend,
    legible,
    mark,
    present,
    rug,
    sheet,
    short,
)
from studies._outcomes import Goal, kind, of_kind
from studies._volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def history(view: View) -> Figure:
    """Draw each trial's value, and the best so far."""
    (goal,) = view.goals
    figure = sheet(f"Optimisation history: {view.name}", (8.6, 4.6))
    ax = figure.subplots()
    for look in ("complete", "infeasible"):
        some = [trial for trial in view.valued if kind(trial) == look]
        mark(ax, look, _numbers(some), [goal.of(trial) for trial in some])
    if view.feasible:
        values = np.array([goal.of(trial) for trial in view.feasible])
        best = np.maximum.accumulate(values) if goal.maximize else np.minimum.accumulate(values)
        x, y = [*_numbers(view.feasible), view.trials[-1].number], [*best, best[-1]]
        ax.plot(x, y, drawstyle="steps-post", color=ACCENT, linewidth=1.8, zorder=2)
    _default_line(ax, view, goal)
    _specials(ax, view, lambda trial: (trial.number, goal.of(trial)))
    rug(ax, view, lambda some: (list(some), _numbers(some)))
    _whole(ax)
    ax.set_xlabel("trial")
    dress_values(ax.yaxis, goal, [goal.of(trial) for trial in view.valued])
    lines: dict[str, Any] = {"best so far": {"color": ACCENT, "linewidth": 1.8}} if view.feasible else {}
    legend(figure, view, present(view), lines)
    return figure


def importance(view: View, found: Mapping[str, Mapping[str, float]], top: int) -> Figure:
    """Draw bars: one panel an aim, parameters by their importance for the first."""
    from matplotlib.ticker import MaxNLocator

    first = next(iter(found.values()))
    names = list(first)[::-1]
    size = (max(7.5, 2.4 + 3.1 * len(found)), 1.5 + 0.42 * len(names))
    figure = sheet(f"Parameter importance: {view.name}", size)
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for ax, (title, values) in zip(panels, found.items(), strict=True):
        shares = np.array([100 * values[name] for name in names])
        ax.barh(range(len(names)), shares, color="#5b84b1", height=0.66)
        for at, share in enumerate(shares):
            ax.annotate(f"{share:.0f} %", (share, at), (4, 0), textcoords="offset points", va="center", fontsize=9.5)
        ax.set_yticks(range(len(names)), [legible(short(name, 30)) for name in names])
        ax.set_xlim(0, 1.2 * max(shares.max(), 1))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.grid(visible=False, axis="y")
        ax.set_title(legible(title), loc="left", color="#555555")
    figure.supxlabel(
        f"share of the importance, % (PED-ANOVA, for the best tenth: here {top} of {len(view.feasible)} trials)",
        fontsize=9.5,
        color=INK,
    )
    return figure


def slices(view: View) -> Figure:
    """Draw each objective over each parameter; the darker, the later."""
    scales = [Scale.of(name, view.trials) for name in view.names]
    columns = min(4, len(scales))
    deep = -(-len(scales) // columns)
    rows = deep * len(view.goals)
    figure = sheet(f"Slices: {view.name}", (max(6.0, 0.8 + 2.7 * columns), 1.3 + 2.5 * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    for ax in grid.flat:
        ax.set_visible(False)
    for at, goal in enumerate(view.goals):
        for place, scale in enumerate(scales):
            row, column = at * deep + place // columns, place % columns
            ax = grid[row, column]
            ax.set_visible(True)
            _slice(ax, view, scale, goal)
            dress_values(ax.yaxis, goal, [goal.of(trial) for trial in view.valued], named=column == 0)
            if column:
                ax.tick_params(labelleft=False)
    legend(figure, view, present(view), shaded=True)
    return figure


def _slice(ax: Axes, view: View, scale: Scale, goal: Goal) -> None:
    def place(some: Sequence[FrozenTrial]) -> tuple[list[FrozenTrial], np.ndarray]:
        there = [trial for trial in some if scale.name in trial.params]
        x = scale.at([trial.params[scale.name] for trial in there])
        return there, x + _spread(there) if scale.choices else x

    for look in ("infeasible", "complete"):
        some, x = place([trial for trial in view.valued if kind(trial) == look])
        age = {"facecolor": _shades(_numbers(some), len(view.trials))} if look == "complete" else {}
        mark(ax, look, x, [goal.of(trial) for trial in some], **age)
    for look, chosen in (("best", view.best), ("default", [view.default] if view.default else [])):
        some, x = place([trial for trial in chosen if trial in view.valued])
        mark(ax, look, x, [goal.of(trial) for trial in some], s=0.6 * MARKS[look]["s"])
    rug(ax, view, place)
    scale.dress(ax.xaxis)
    if scale.choices and (len(scale.choices) > 3 or max(len(str(one)) for one in scale.choices) > 7):
        ax.tick_params(axis="x", labelrotation=25)


def looks(view: View) -> Figure:
    """Draw what the pruner saw of each trial on its way, and where it stopped one."""
    (goal,) = view.goals
    figure = sheet(f"What the pruner saw: {view.name}", (8.6, 4.6))
    ax = figure.subplots()
    seen = []
    for trial in view.trials:
        if not trial.intermediate_values:
            continue
        steps, rates = zip(*sorted(trial.intermediate_values.items()), strict=True)
        shown = [goal.scaled(rate) for rate in rates]
        seen += shown
        pruned = kind(trial) == "pruned"
        line: dict[str, Any] = {"color": "#5b84b1", "alpha": 0.55, "linewidth": 1.2, "zorder": 2}
        if pruned:
            line = {"color": FAINT, "linewidth": 0.9, "linestyle": (0, (3, 2)), "zorder": 1.5}
        if trial in view.best:
            line = {"color": ACCENT, "linewidth": 2.4, "zorder": 4}
        if trial is view.default:
            line = {"color": INK, "linewidth": 2.0, "zorder": 3.5}
        ax.plot(steps, shown, marker="." if len(steps) == 1 else None, **line)
        if pruned:
            mark(ax, "pruned", steps[-1:], shown[-1:], zorder=5)
    _whole(ax)
    ax.set_xlabel("path step (looks begin after the last Prune)")
    dress_values(ax.yaxis, goal, seen)
    log = " (log)" if ax.get_yscale() == "log" else ""
    ax.set_ylabel(f"{legible(goal.title)}, first {view.spec.looks.utterances} utterances, %{log}")
    lines: dict[str, Any] = {"ran to its end": {"color": "#5b84b1"}}
    lines |= {"default configuration": {"color": INK, "linewidth": 2.0}} if view.default else {}
    lines |= {"best": {"color": ACCENT, "linewidth": 2.4}} if view.best else {}
    legend(figure, view, [], lines | ({"stopped here": _stopped()} if of_kind(view.trials, "pruned") else {}))
    return figure


def front(view: View) -> Figure:
    """Draw the trials over each pair of objectives, the front on top."""
    pairs = list(combinations(view.goals, 2))[:6]
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = sheet(f"Pareto front: {view.name}", (max(7.0, 4.6 * columns), 1.0 + 4.0 * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    for ax in grid.flat[len(pairs) :]:
        ax.remove()
    for ax, (first, second) in zip(grid.flat, pairs, strict=False):
        across, up = (second, first)  # the error, which is named first, upwards
        for look in ("infeasible", "complete"):
            some = [trial for trial in view.valued if kind(trial) == look and trial not in view.best]
            mark(ax, look, [across.of(trial) for trial in some], [up.of(trial) for trial in some])
        if len(view.goals) == 2:
            _staircase(ax, across, up, view.best)
        _specials(ax, view, lambda trial, a=across, b=up: (a.of(trial), b.of(trial)))
        dress_values(ax.xaxis, across, [across.of(trial) for trial in view.valued])
        dress_values(ax.yaxis, up, [up.of(trial) for trial in view.valued])
    looks = [look for look in present(view) if look in ("complete", "infeasible", "default", "best")]
    legend(figure, view, looks)
    return figure


def volumes(view: View, found: Volume) -> Figure:
    """Draw how the hypervolume grew."""
    figure = sheet(f"Hypervolume of the front: {view.name}", (8.6, 4.2))
    ax = figure.subplots()
    shares = 100 * np.array(found.shares)
    ax.plot([*found.numbers, view.trials[-1].number], [*shares, shares[-1]], drawstyle="steps-post", color=ACCENT,
            linewidth=1.8)  # fmt: skip
    mark(ax, "complete", found.numbers, shares)
    rug(ax, view, lambda some: (list(some), _numbers(some)))
    _whole(ax)
    ax.set_xlabel("trial")
    ax.set_ylabel("hypervolume, % of the box")
    legend(figure, view, [look for look in present(view) if look not in ("default", "best")])
    return figure


# --- small things -------------------------------------------------------------------------------------------------


def _numbers(trials: Sequence[FrozenTrial]) -> np.ndarray:
    return np.array([trial.number for trial in trials], float)


def _specials(ax: Axes, view: View, place: Any) -> None:
    """Mark the best (or the front) and the default."""
    for look, chosen in (("best", view.best), ("default", [view.default] if view.default in view.valued else [])):
        points = np.array([place(trial) for trial in chosen if trial is not None], float).reshape(-1, 2)
        mark(ax, look, points[:, 0], points[:, 1])


def _default_line(ax: Axes, view: View, goal: Goal) -> None:
    if view.default in view.valued:
        assert view.default is not None
        ax.axhline(goal.of(view.default), color=INK, linewidth=0.9, linestyle=(0, (1, 3)), zorder=1.8)


def _staircase(ax: Axes, across: Goal, up: Goal, best: Sequence[FrozenTrial]) -> None:
    points = sorted((across.of(trial), up.of(trial)) for trial in best)
    step = "steps-pre" if across.maximize else "steps-post"
    ax.plot(*zip(*points, strict=True), drawstyle=step, color="#dcd3b8", linewidth=5, zorder=1)


def _whole(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))


def _spread(trials: Sequence[FrozenTrial]) -> np.ndarray:
    """Return small shifts, so that trials of one choice do not hide each other."""
    return 0.3 * ((_numbers(trials) * 0.618) % 1 - 0.5)


def _shades(numbers: np.ndarray, of: int) -> Any:
    import matplotlib as mpl

    return mpl.colormaps["Blues"](0.25 + 0.7 * numbers / max(of - 1, 1))


def _stopped() -> dict[str, Any]:
    pruned = MARKS["pruned"]
    return {"color": FAINT, "linestyle": (0, (3, 2)), "marker": pruned["marker"], "markersize": 6.5,
            "markerfacecolor": pruned["facecolor"], "markeredgecolor": pruned["edgecolor"]}  # fmt: skip

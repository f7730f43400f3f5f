"""The picture of speed by batch size: a panel a kept fraction of a block, a line an entry, dense the line at 1."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.figures import INK, STYLE
from reports._batches_data import Speeds
from reports._pareto_looks import GREY, look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12
_COLUMNS = 2
_WIDTH, _HEIGHT = 7.2, 3.9
"""Inches of a panel with its names."""
_PITCH = 0.052
"""Least distance of two names, as a part of a panel's height."""
MOST_NAMED = int(1 / _PITCH)
_LONGEST = 44
_TICKS = (
    (0.001, 0.01, 0.1, 1, 10, 100, 1000),
    (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100),
    (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70),
    (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5),
    (0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.35, 1.4, 1.45, 1.5, 1.55, 1.6),
)
"""Round speed-ups, from coarse to fine."""
_CAPTION = (
    "Bars: least and most of the seeds, whose geometric mean is the mark; of one seed, the quartiles of its repeats. "
    "Hollow: timed for fewer seeds than the same line elsewhere. Dense is the model as it came, timed in turn with "
    "each artefact. What was timed at one batch stands side by side there. The mask block keeps dense's shapes and is "
    "not drawn."
)


@dataclass(frozen=True)
class Panel:
    """The entries of one kept fraction, one row an entry and batch."""

    title: str
    rows: pd.DataFrame
    board: Speeds


def panels(found: Sequence[Speeds]) -> list[Panel]:
    """Return the panels of all boards: blocks in their order, large kept fractions first, no budget last."""
    made = []
    for one in found:
        parts = list(one.drawn.groupby(["block", "keep"], sort=False, dropna=False))
        for (block, keep), rows in sorted(parts, key=lambda part: part[0][0] == "reference"):
            kept = f"{block} block, {100 * float(str(keep)):g} % kept"
            named = "no budget: own operating point" if block == "reference" else kept
            if (entries := rows["entry"].nunique()) > MOST_NAMED:
                named += f" (named: the fastest {MOST_NAMED} of {entries})"
            made.append(Panel(f"{one.title}: {named}" if len(found) > 1 else named, rows, one))
    return made


def left_out(found: Sequence[Speeds]) -> str:
    """Return what is said of the panels that are too many; empty where all are drawn."""
    rest = len(panels(found)) - MOST_PANELS
    return f"{rest} more panels are not drawn: batches.md has all entries." if rest > 0 else ""


def draw(found: Sequence[Speeds], device: str) -> Figure:
    """Return the figure."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = panels(found)[:MOST_PANELS]
    names = dict.fromkeys(label for panel in drawn for label in panel.rows["label"])
    looks = {name: look(at) for at, name in enumerate(names)}
    columns = min(_COLUMNS, len(drawn))
    lines = -(-len(drawn) // columns)
    with mpl.rc_context(STYLE | {"font.size": 9, "axes.labelsize": 9, "axes.titlesize": 10}):
        figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * lines + 0.9), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for ax in axes[len(drawn) :]:
            ax.set_axis_off()
        for ax, panel in zip(axes, drawn, strict=False):
            same = [other for other in drawn if other.board is panel.board]
            _panel(ax, panel, _ends([other.rows for other in same]), looks)
        title = f"Speed-up against dense by batch size, on {device}"
        title += f": {found[0].title}" if len(found) == 1 else ""
        inches = _WIDTH * columns
        figure.suptitle(textwrap.fill(title, int(12 * inches)), fontsize=11, x=0.008, ha="left")
        caption = textwrap.fill(f"{_CAPTION} {left_out(found)}", int(17 * inches))
        figure.supxlabel(caption, x=0.008, ha="left", fontsize=8, color="#555555")
    return figure


def _ends(parts: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """Return the ends of the axis of speed-ups that all panels of a board share."""
    columns = ["speedup", "speedup_from", "speedup_to"]
    values = np.concatenate([[1.0], *(part[columns].to_numpy(float).ravel() for part in parts)])
    values = np.log(values[values > 0])
    low, high = values.min(), values.max()
    room = 0.06 * max(high - low, 0.1)
    return float(np.exp(low - room)), float(np.exp(high + room))


def _panel(ax: Axes, panel: Panel, ends: tuple[float, float], looks: dict[str, dict[str, Any]]) -> None:
    rows, table = panel.rows, panel.board.table
    batches = np.array(sorted(panel.board.drawn["batch"].unique()))
    gap = float(np.diff(np.log2(batches)).min()) if len(batches) > 1 else 1.0
    room = 2 ** (0.16 * gap + 0.04 * np.log2(batches[-1] / batches[0]))
    ax.set(xscale="log", yscale="log", xlim=(batches[0] / room, batches[-1] * room), ylim=ends, ylabel="speed-up")
    ax.axhline(1, color=INK, linewidth=1.1, zorder=1)
    named, others = _parted(rows)
    shifts = np.linspace(-0.16, 0.16, len(named)) * gap if len(named) > 1 else [0.0]
    ends_of = []
    for one, shift in zip(named, shifts, strict=True):
        x = one["batch"].to_numpy() * 2**shift
        _line(ax, x, one, looks[str(one["label"].iloc[0])])
        ends_of.append((float(x[-1]), float(one["speedup"].iloc[-1])))
    if not others.empty:
        _crowd(ax, others)
    labels = [str(one["label"].iloc[0]) for one in named]
    _names(ax, labels, ends_of, looks)
    ax.set_title(panel.title, loc="left")
    rates = table[table["method"].eq("dense")].groupby("batch")["rtfx"].first()
    ax.set_xticks(batches, [f"{batch}\n{rates[batch]:.0f}" if batch in rates else str(batch) for batch in batches])
    ax.set_xlabel("batch size" + ("; below it RTFx of dense" if len(rates) else ""))
    ticks = _ticks(ends)
    ax.set_yticks(ticks, ["dense 1×" if tick == 1 else f"{tick:g}×" for tick in ticks])
    ax.minorticks_off()
    ax.grid(axis="y", color="#eeeeee")


def _parted(rows: pd.DataFrame) -> tuple[list[pd.DataFrame], pd.DataFrame]:
    """Return the entries that get a look and a name, the fastest first, and the rows of the others."""
    order = rows.sort_values("speedup", ascending=False)["entry"].unique()[:MOST_NAMED]
    named = rows["entry"].isin(order)
    groups = dict(list(rows[named].sort_values("batch").groupby("entry")))
    return [groups[entry] for entry in order], rows[~named]


def _crowd(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw the entries that are too many for a look of their own, as one thin grey bundle."""
    from matplotlib.collections import LineCollection

    points = [one[["batch", "speedup"]].to_numpy(float) for _, one in rows.sort_values("batch").groupby("entry")]
    ax.add_collection(LineCollection(points, colors=GREY["color"], linewidths=0.5, zorder=1.5), autolim=False)


def _line(ax: Axes, x: np.ndarray, one: pd.DataFrame, style: dict[str, Any]) -> None:
    y = one["speedup"].to_numpy()
    few = one["seeds"].to_numpy() < one["seeds"].max()
    colour = style["color"]
    ax.plot(x, y, color=colour, linestyle=style["line"], linewidth=1.2, zorder=3)
    ax.vlines(x, one["speedup_from"], one["speedup_to"], color=colour, linewidth=0.9, alpha=0.7, zorder=2)
    for fewer, face in ((False, colour), (True, "white")):
        ax.scatter(x[few == fewer], y[few == fewer], s=26, marker=style["marker"], facecolors=face, edgecolors=colour,
                   linewidths=1.1, zorder=4)  # fmt: skip


def _names(
    ax: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]], looks: dict[str, dict[str, Any]]
) -> None:
    """Write names right of the panel behind their marks, each as near to the end of its line as the others let it."""
    from scipy.optimize import isotonic_regression

    order = np.argsort([y for _, y in ends], kind="stable")
    low, high = np.log(ax.get_ylim())
    wanted = (np.log([ends[at][1] for at in order]) - low) / (high - low)
    steps = _PITCH * np.arange(len(order))
    # Places a step apart that move the least in all: a regression of what is left when the steps are taken off.
    places = np.clip(isotonic_regression(wanted - steps).x, 0, 1 - steps[-1]) + steps
    for at, place in zip(order, places, strict=True):
        style, name = looks[names[at]], names[at]
        text = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        leader = {"arrowstyle": "-", "color": style["color"], "alpha": 0.8, "linewidth": 0.7, "linestyle": (0, (1, 2))}
        ax.annotate("", ends[at], (1.05, place), textcoords="axes fraction", annotation_clip=False, arrowprops=leader)
        ax.plot(1.05, place, style["marker"], color=style["color"], markersize=5, transform=ax.transAxes, clip_on=False)
        ax.annotate(text, (1.05, place), (6, 0), xycoords="axes fraction", textcoords="offset points", va="center",
                    fontsize=8, annotation_clip=False)  # fmt: skip


def _ticks(ends: tuple[float, float]) -> list[float]:
    """Return round values inside the ends, 1 among them, as many as can be read."""
    apart = (np.log(ends[1]) - np.log(ends[0])) / 16
    inside = [[tick for tick in ticks if ends[0] <= tick <= ends[1]] for ticks in _TICKS]
    fine = [ticks for ticks in inside if len(ticks) < 2 or np.diff(np.log(ticks)).min() >= apart]
    return max(fine, key=len, default=[1.0])

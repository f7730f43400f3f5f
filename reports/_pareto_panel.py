"""One panel of the Pareto picture: the front of all behind, each method's own front joined, bars, seeds, arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.figures import FAINT, INK
from benchmark.store.front import non_dominated, staircase
from reports import _pareto_data as data
from reports._pareto_apart import apart
from reports._pareto_looks import FRONT, GREY, Scale
from reports._pareto_outside import Outside

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    Looks = Mapping[str, Mapping[str, Any]]

_PALE = 0.35
"""Opacity of what another point of the same method beats."""


def draw_panel(ax: Axes, chart: data.Chart, panel: data.Panel, looks: Looks, scale: Scale) -> pd.DataFrame:
    """Draw one panel: the front behind, then each method's line, bars and markers, the references on top.

    Return its points, with the places over the cost at which they are drawn as ``at``.
    """
    cost, points = panel.cost, panel.shown(chart.points)
    grey = points["label"].map({name: bool(look.get("grey")) for name, look in looks.items()}).astype(bool)
    shown = points.assign(at=points[cost.column])
    shown.loc[~grey, "at"] = apart(points[~grey], cost, scale, data.WORST)
    ax.set_title(panel.title, loc="left", color="#555555", pad=7)
    ax.set_xlabel(chart.axis(cost) + (f"\n{chart.said_time}" if cost.column == "latency" else ""))
    ax.grid(color="#ececec", linewidth=0.8)
    ax.tick_params(length=0)
    if shown.empty:
        ax.text(0.5, 0.5, "no finished cell", transform=ax.transAxes, ha="center", color=FAINT)
        return shown
    _horizontal(ax, float(shown[cost.column].max()))
    _rest(ax, shown[grey], scale)
    for (label, block), rows in shown[~grey].groupby(["label", "block"], sort=False):
        _series(ax, rows.sort_values(cost.column), cost, looks[str(label)], scale, joined=block == panel.block)
    x, y = shown[cost.column].to_numpy(), shown["score"].to_numpy()
    edges = ax.get_xlim()
    steps_x, steps_y = staircase(x[y < data.WORST], np.maximum(y[y < data.WORST], scale.floor), edges[1])
    ax.plot(steps_x, steps_y, drawstyle="steps-post", color=FRONT, linewidth=6, zorder=1, solid_joinstyle="round")
    ax.set_xlim(edges)
    ax.annotate("better", (0.02, 0.02), (0.075, 0.09), xycoords="axes fraction", color=FAINT, fontsize="small",
                arrowprops={"arrowstyle": "->", "color": FAINT})  # fmt: skip
    return shown


def _rest(ax: Axes, rows: pd.DataFrame, scale: Scale) -> None:
    """Draw the entries of the methods that have no look of their own: grey dots, without bars and lines."""
    if len(rows):
        y = rows["score"].clip(scale.floor, data.WORST)
        ax.scatter(rows["at"], y, s=26, marker=".", color=GREY["color"], zorder=2, linewidths=0)


def draw_outside(ax: Axes, panel: data.Panel, outside: Sequence[Outside], scale: Scale) -> None:
    """Mark what other papers published: crosses with their source, joined to nothing."""
    for one in outside:
        x = one.cost(panel.cost.column)
        if x is None or one.error is None:
            continue
        y = min(max(one.error, scale.floor), data.WORST)
        ax.scatter([x], [y], s=70, marker="x", color=INK, linewidths=1.6, zorder=6)
        ax.annotate(one.short, (x, y), (6, 5), textcoords="offset points", fontsize="small", color=INK, style="italic")


def _horizontal(ax: Axes, largest: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    units = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))
    factor, prefix = next((unit for unit in units if largest >= unit[0]), (1.0, ""))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / factor:g}{prefix}"))
    ax.margins(x=0.08)


def _series(
    ax: Axes, rows: pd.DataFrame, cost: data.Cost, look: Mapping[str, Any], scale: Scale, *, joined: bool
) -> None:
    """Draw one method: its own front as a line (budgets only), bars, markers; what it beats itself is pale."""
    from matplotlib.collections import LineCollection

    x, score = rows["at"].to_numpy(), rows["score"].to_numpy()
    y = np.clip(score, scale.floor, data.WORST)
    best = non_dominated(rows[cost.column].to_numpy(), score)
    reference = bool(look.get("reference"))
    line = INK if reference else look["color"]
    down, up = np.nan_to_num(np.abs(np.clip(rows[["low", "high"]].to_numpy().T, scale.floor, data.WORST) - y))
    sideways = np.zeros((2, len(x)))
    if cost.column == "latency":
        sideways = np.nan_to_num(np.abs(rows[["latency_lo", "latency_hi"]].to_numpy().T - x))
    size = {"*": 260, "D": 56, ".": 30}.get(look["marker"], 60)
    edge = "white" if joined else INK  # a dark edge: no budget, the method's own operating point
    strong = np.where(best, 1.0, _PALE)
    bars = [
        [(place, middle - below), (place, middle + above)]
        for place, middle, below, above in zip(x, y, down, up, strict=True)
    ]
    bars += [
        [(place - left, middle), (place + right, middle)]
        for place, middle, left, right in zip(x, y, *sideways, strict=True)
    ]
    ax.add_collection(
        LineCollection(bars, colors=_faded(line, 0.85 * np.tile(strong, 2)), linewidths=1.3, zorder=3), autolim=False
    )
    ax.scatter(x, y, s=size, marker=look["marker"], color=_faded(look["color"], strong), zorder=4 if joined else 5,
               edgecolors=_faded(edge, strong), linewidths=1.0)  # fmt: skip
    if joined:
        ax.plot(x[best], y[best], color=line, linestyle=look["line"], linewidth=1.5, alpha=0.8, zorder=2)
    _seeds(ax, x, rows["own"], line, scale)
    ax.update_datalim(np.column_stack([np.concatenate([x - sideways[0], x + sideways[1]]), np.tile(y, 2)]))
    ax.autoscale_view(scaley=False)
    _arrows(ax, x, score, line)


def _faded(colour: str, strong: np.ndarray) -> list[tuple[float, float, float, float]]:
    """Return a colour at each opacity."""
    from matplotlib.colors import to_rgba

    return [to_rgba(colour, float(alpha)) for alpha in strong]


def _seeds(ax: Axes, x: np.ndarray, own: pd.Series, colour: str, scale: Scale) -> None:
    """Draw the seeds' own rates as short ticks, where there are several."""
    found = [(at, rate) for at, rates in zip(x, own, strict=True) if len(rates) > 1 for rate in rates]
    if found:
        places, rates = np.array(found).T
        ax.scatter(places, np.clip(rates, scale.floor, data.WORST), s=42, marker="_", color=colour, linewidths=1.1,
                   alpha=0.75, zorder=3)  # fmt: skip


def _arrows(ax: Axes, x: np.ndarray, score: np.ndarray, colour: str) -> None:
    """Draw an arrow and the number at what lies above the ceiling."""
    for at in np.flatnonzero(score > data.OVER):
        tail = (x[at], data.WORST)
        ax.annotate("", tail, xytext=(0, 26), textcoords="offset points", zorder=3,
                    arrowprops={"arrowstyle": "<-", "color": colour, "linewidth": 1.6, "shrinkB": 5})  # fmt: skip
        ax.annotate(f"{score[at]:.0f} %", tail, xytext=(6, 13), textcoords="offset points", va="center",
                    fontsize="small", color=colour)  # fmt: skip

"""The picture of seed spread: a row an entry, a ring a seed, a line for the mean, a bar for its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.figures import FAINT, INK
from reports._names import shortened
from reports._pareto_looks import Scale, put
from reports._spread_data import Spread, of_how_many
from reports._spread_scale import scale_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 40
"""Entries of a panel that are drawn, from the best."""
_RING, _BAR = "#2f5d8a", "#c77f2a"
_BLOCKS = ("reference", "mask", "stored")


def draw(found: Sequence[Spread]) -> Figure:
    """Return the figure: blocks side by side, kept fractions below each other, what has no budget last."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = [(at, *panel) for at, one in enumerate(found) for panel in _panels(one.entries)]
    blocks = sorted({block for _, block, _, _ in parts if block != "reference"}, key=_place) or ["reference"]
    lines = sorted({(at, -1.0 if keep is None else keep) for at, _, keep, _ in parts}, key=lambda x: (x[0], -x[1]))
    tall = [
        max(len(rows) for at, _, keep, rows in parts if (at, -1.0 if keep is None else keep) == line) for line in lines
    ]
    with mpl.rc_context({"font.size": 9, "text.color": INK}):
        size = (8.0 * len(blocks), sum(0.24 * min(rows, MOST_ROWS) + 0.8 for rows in tall) + 1.1)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        heights = [min(rows, MOST_ROWS) + 2 for rows in tall]
        axes = figure.subplots(len(lines), len(blocks), squeeze=False, height_ratios=heights)
        for ax in axes.flat:
            ax.set_axis_off()
        scales = [_scale(one) for one in found]
        for at, block, keep, rows in parts:
            column = 0 if block == "reference" else blocks.index(block)
            ax = axes[lines.index((at, -1.0 if keep is None else keep)), column]
            ax.set_axis_on()
            named = "no budget" if keep is None else f"{block} block, {100 * keep:g} % kept"
            title = f"{found[at].title}: {named}" if len(found) > 1 else named
            _panel(ax, rows, found[at].seeds, title, scales[at])
        figure.legend(handles=_handles(), loc="outside lower left", ncols=3, frameon=False)
        metrics = " / ".join(dict.fromkeys(one.metric.upper() for one in found))
        said = f"Spread over seeds: {metrics} on {found[0].split}, %; right: standard deviation of the seeds, points"
        said += f"\n{found[0].title}" if len(found) == 1 else ""
        figure.suptitle(said, fontsize=12, x=0.01, ha="left", parse_math=False)
    return figure


def _panels(entries: pd.DataFrame) -> Iterator[tuple[str, float | None, pd.DataFrame]]:
    """Yield block, kept fraction (None without a budget) and entries."""
    for (block, keep), rows in entries.groupby(["block", "keep"], sort=False, dropna=False):
        yield str(block), None if np.isnan(number := float(str(keep))) else number, rows


def _place(block: str) -> tuple[int, str]:
    return (_BLOCKS.index(block) if block in _BLOCKS else len(_BLOCKS), block)


def _scale(one: Spread) -> Scale:
    rates = 100 * one.seeds["rate"].to_numpy()
    mean, low, high = 100 * one.entries[["mean", "mean_lo", "mean_hi"]].to_numpy().T
    nothing = np.full(len(rates), np.nan)
    return scale_of(np.concatenate([mean, rates]), np.append(low, nothing), np.append(high, nothing))


def _panel(ax: Axes, rows: pd.DataFrame, seeds: pd.DataFrame, title: str, scale: Scale) -> None:
    from matplotlib.transforms import blended_transform_factory

    shown = rows.head(MOST_ROWS).reset_index(drop=True)
    places = np.arange(len(shown))
    put(ax, "x", scale)
    mean, low, high = 100 * shown[["mean", "mean_lo", "mean_hi"]].to_numpy().T
    low = np.where(low > scale.ends[0], low, scale.ends[0])  # a bar that a log axis cuts goes on to its edge
    several = shown["seeds"].to_numpy() > 1
    ax.hlines(places[several], low[several], high[several], color=_BAR, linewidth=7, alpha=0.45, zorder=2)
    ax.scatter(np.maximum(mean[several], scale.floor), places[several], marker="|", s=150, color=INK, linewidths=1.6,
               zorder=3)  # fmt: skip
    at = seeds["entry"].map({entry: place for place, entry in enumerate(shown["entry"])})
    ax.scatter(np.maximum(100 * seeds["rate"], scale.floor), at + _apart(seeds), marker="o", s=26, facecolors="none",
               edgecolors=_RING, linewidths=1.2, zorder=4)  # fmt: skip
    beside = blended_transform_factory(ax.transAxes, ax.transData)
    for place, row in zip(places.tolist(), shown.to_dict("records"), strict=True):
        ax.text(1.012, place, _said(row), transform=beside, va="center", fontsize=8, parse_math=False)
        if not row["seeds"]:
            why = shortened(" ".join((row["error"] or "MISSING").split()), 90)
            ax.text(0.012, place, why, transform=beside, va="center", fontsize=8, color="#8c3b4a", parse_math=False)
    ax.set_yticks(places, [shortened(label) for label in shown["label"]], parse_math=False)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_title(title + (f" (the first {MOST_ROWS} of {len(rows)})" if len(rows) > MOST_ROWS else ""), loc="left",
                 fontsize=10)  # fmt: skip
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(FAINT)
    ax.tick_params(length=0)
    ax.grid(axis="x", color="#e6e6e6")
    ax.grid(axis="y", color="#f3f3f3")
    ax.set_axisbelow(True)


def _apart(seeds: pd.DataFrame) -> pd.Series:
    """Return how far each ring is moved up or down, so that equal seeds do not hide each other."""
    groups = seeds.groupby("entry")["seed"]
    return 0.44 * ((groups.cumcount() + 0.5) / groups.transform("size") - 0.5)


def _said(row: dict[Any, Any]) -> str:
    """Return the standard deviation, and which seeds there are where it has not all."""
    told = [] if np.isnan(row["sd"]) else [f"{100 * row['sd']:.2f}"]
    if row["seeds"] != row["asked"] or row["seeds"] < 2:
        many = of_how_many(row["seeds"], row["asked"])
        told.append(f"{many} seed{'s' * (row['asked'] != 1)}")
    return ", ".join(told)


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D

    ring: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "markeredgecolor": _RING, "markersize": 5.5}
    mean: dict[str, Any] = {"marker": "|", "markeredgecolor": INK, "markeredgewidth": 1.6, "markersize": 11}
    return [
        Line2D([], [], linestyle="", label="one seed, the first on top", **ring),
        Line2D([], [], linestyle="", label="mean over seeds", **mean),
        Line2D([], [], color=_BAR, linewidth=7, alpha=0.45, label="its 95 % interval (seeds, and what is tested on)"),
    ]

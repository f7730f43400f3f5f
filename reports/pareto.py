"""Report ``pareto``: error against size and work, with intervals and the Pareto front, for slides."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api import Report
from benchmark.registry import REGISTRY
from benchmark.store.files import write_atomically
from benchmark.store.front import non_dominated
from reports import _content as content

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CEILING = 100.0
"""Per cent; worse points sit on this line with an arrow and their number: how bad a broken model is says little."""
_WIDTH = 15.0
"""Inches."""
_INK, _FAINT, _FRONT = "#222222", "#8a8a8a", "#dcd3b8"
_MARKERS = "osD^vPXhp*"


@dataclass(frozen=True)
class Panel:
    """What one panel shows: a block's cells over one cost."""

    block: str
    cost: str
    title: str
    axis: str


PANELS = (
    Panel("mask", "params_nominal", "Mask block: zeros in place", "non-zero parameters (nominal)"),
    Panel("stored", "params_stored", "Stored block: rows removed", "parameters as saved (stored)"),
    Panel("stored", "macs_first_token", "Stored block: rows removed", "MACs executed: a window up to its first token"),
)


@REGISTRY.register("report", "pareto")
class Pareto(Report):
    """`pareto.png` and `pareto.svg`: error against nominal parameters, stored parameters and executed MACs."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write both pictures.

        Raises:
            StoreError: nothing to report, or no scores in the frame.
        """
        out = Path(out)
        # drawn anew for each file: the layout depends on what a figure was rendered as before
        pictures = {kind: render(draw(frame), kind) for kind in ("png", "svg")}
        out.mkdir(parents=True, exist_ok=True)
        return [write_atomically(out / f"pareto.{kind}", picture) for kind, picture in pictures.items()]


def render(figure: Figure, kind: str) -> bytes:
    """Return the figure as a file's content; the same figure gives the same bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "prunebench"}):
        figure.savefig(buffer, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def draw(frame: pd.DataFrame) -> Figure:
    """Return the figure: a row of three panels a board."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    boards = content.boards(frame)
    rows = [_points(board) for board in boards]
    looks = _looks(rows)
    with mpl.rc_context(_STYLE):
        lines = -(-(len(looks) + 2) // _legend_columns(list(looks)))  # constrained layout takes them from the panels
        figure = Figure(figsize=(_WIDTH, 5.2 * len(boards) + 0.5 + 0.25 * lines), layout="constrained")
        FigureCanvasAgg(figure)
        parts = figure.subfigures(len(boards), 1, squeeze=False, hspace=0.06)[:, 0]
        for part, board, points in zip(parts, boards, rows, strict=True):
            axes = part.subplots(1, len(PANELS), sharey=True)
            for ax, panel in zip(axes, PANELS, strict=True):
                _panel(ax, panel, points, looks)
            _scale(axes[0], points)
            axes[0].set_ylabel(_score_name(board))
            part.suptitle(board.title, x=0.008, ha="left", fontsize=16, fontweight="bold", color=_INK)
        own = [points["block"].eq("reference") & ~points["label"].isin(list(_REFERENCES)) for points in rows]
        _legend(figure, looks, alone=any(found.any() for found in own))
    return figure


_STYLE: dict[Any, Any] = {
    "font.size": 11.5,
    "axes.titlesize": 12.5,
    "axes.labelsize": 11.5,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def _score_name(board: content.Board) -> str:
    return f"{board.metric.upper()} on {content.first_split(board.rows)}, % (95 % interval)"


def _points(board: content.Board) -> pd.DataFrame:
    """Return what is drawn of a board, in per cent; several seeds become their mean, with the widest bars."""
    rows = board.rows
    score = content.score_column(rows)
    rows = rows[rows["status"].eq("ok") & rows[score].notna()]
    costs = sorted({panel.cost for panel in PANELS})
    table = rows[["block", "label", "method", "keep", *costs]].assign(
        score=100 * rows[score], low=100 * rows[f"{score}_lo"], high=100 * rows[f"{score}_hi"]
    )
    table[costs] = table[costs].astype("float64")
    keys = ["block", "label", "method", "keep"]
    how = dict.fromkeys([*costs, "score"], "mean") | {"low": "min", "high": "max"}
    return table.groupby(keys, dropna=False, sort=False).agg(how).reset_index()


def _looks(rows: Sequence[pd.DataFrame]) -> dict[str, dict[str, Any]]:
    """Return a colour and marker per method, the same in every panel; the two references are drawn in ink."""
    import matplotlib as mpl
    import pandas as pd

    names = list(dict.fromkeys(pd.concat(rows).sort_values("block", key=_budgeted_first, kind="stable")["label"]))
    colours = mpl.color_sequences["petroff10"]  # chosen for colour-vision deficiencies, M. Petroff, arXiv 2107.02270
    looks: dict[str, dict[str, Any]] = {}
    for at, name in enumerate(name for name in names if name not in _REFERENCES):
        # The markers go round one further than the colours, so that no pair of the two comes twice.
        looks[name] = {"color": colours[at % 10], "marker": _MARKERS[(at + at // 10) % len(_MARKERS)]}
    return looks | {name: look for name, look in _REFERENCES.items() if name in names}


def _budgeted_first(block: pd.Series) -> pd.Series:
    return block.eq("reference")


_REFERENCES: dict[str, dict[str, Any]] = {
    "dense": {"color": _INK, "marker": "*", "reference": True},
    "shipped": {"color": "white", "marker": "D", "reference": True},
}


def _panel(ax: Axes, panel: Panel, points: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> None:
    """Draw one panel: the front behind, then each method's line, bars and markers, the references on top."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    shown = points[points["block"].isin([panel.block, "reference"]) & points[panel.cost].notna()]
    ax.set_title(panel.title, loc="left", color="#555555", pad=8)
    ax.set_xlabel(panel.axis)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.grid(color="#ececec", linewidth=0.8)
    ax.tick_params(length=0)
    if shown.empty:
        ax.text(0.5, 0.5, "no finished cell", transform=ax.transAxes, ha="center", color=_FAINT)
        return
    largest = shown[panel.cost].max()
    scale, prefix = next(
        pair for pair in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")) if largest >= pair[0]
    )
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g} {prefix}"))
    ax.margins(x=0.08)
    groups = list(shown.groupby(["label", "block"], sort=False))
    budgeted = [name for (name, block), _ in groups if block == panel.block]
    spread = min(5.0, 40 / max(len(budgeted), 1))
    for (name, block), rows in groups:
        # cells of one budget have one size: a shift of some points keeps their bars apart
        tied = block == panel.block and panel.cost.startswith("params")
        shift = spread * (budgeted.index(name) - (len(budgeted) - 1) / 2) if tied else 0.0
        look = looks[str(name)] | ({} if block == panel.block else {"alone": True})
        _series(ax, rows.sort_values(panel.cost), panel.cost, look, shift)
    _front_line(ax, shown[panel.cost].to_numpy(), shown["score"].to_numpy())
    ax.annotate("better", (0.02, 0.02), (0.075, 0.09), xycoords="axes fraction", color=_FAINT, fontsize=10.5,
                arrowprops={"arrowstyle": "->", "color": _FAINT})  # fmt: skip


def _front_line(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw the staircase between what is reached and what is not, up to the right edge."""
    import numpy as np

    best = non_dominated(x, y) & (y < CEILING)
    if not best.any():
        return
    order = np.argsort(x[best])
    edges = ax.get_xlim()
    steps_x, steps_y = np.append(x[best][order], edges[1]), np.append(y[best][order], y[best].min())
    ax.plot(steps_x, steps_y, drawstyle="steps-post", color=_FRONT, linewidth=6, zorder=1, solid_joinstyle="round")
    ax.set_xlim(edges)


def _series(ax: Axes, rows: pd.DataFrame, cost: str, look: dict[str, Any], shift: float) -> None:
    """Draw one method: a line (budgets only), bars, markers, and arrows at what lies above the ceiling."""
    import numpy as np
    from matplotlib.transforms import ScaledTranslation

    x, score = rows[cost].to_numpy(), rows["score"].to_numpy()
    y = np.minimum(score, CEILING)
    reference = bool(look.get("reference"))
    line = _INK if reference else look["color"]
    figure = ax.get_figure(root=True)
    move = ax.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)  # type: ignore[union-attr]
    bars = np.nan_to_num(np.abs(np.minimum(rows[["low", "high"]].to_numpy().T, CEILING) - y))
    ax.errorbar(x, y, yerr=bars, fmt="none", ecolor=line, elinewidth=1.5, capsize=0, zorder=3, transform=move)
    if not look.get("alone"):
        ax.plot(x, y, color=line, linewidth=1.6, alpha=0.7, zorder=2, transform=move)
    sizes = {"*": 300, "D": 60}.get(look["marker"], 66) if reference else 66
    edge = _INK if look.get("alone") else "white"  # a ring: no budget, the method's own operating point
    ax.scatter(x, y, s=sizes, marker=look["marker"], color=look["color"], zorder=5 if look.get("alone") else 4,
               edgecolors=edge, linewidths=1.1, transform=move)  # fmt: skip
    ax.update_datalim(np.column_stack([x, y]))  # a shifted artist does not count for the limits by itself
    ax.autoscale_view(scaley=False)
    for at in np.flatnonzero(score > CEILING):
        tail = (x[at], CEILING)
        ax.annotate("", tail, xycoords=move, xytext=(0, 30), textcoords="offset points", zorder=3,
                    arrowprops={"arrowstyle": "<-", "color": line, "linewidth": 1.8, "shrinkB": 5})  # fmt: skip
        ax.annotate(f"{score[at]:.0f} %", tail, xycoords=move, xytext=(7, 15), textcoords="offset points", va="center",
                    fontsize=10, color=line)  # fmt: skip


def _scale(ax: Axes, points: pd.DataFrame) -> None:
    """Choose a log axis where the scores span it, for then the good methods would lie on one another."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    if points.empty:
        return
    worst = points["score"].max()
    high = min(points["high"].fillna(points["score"]).max(), CEILING)
    low = max(points["low"].min(), points["score"].min() / 2)
    if not low > 0 or high / low < 5:
        ax.set_ylim(0, 1.2 * CEILING if worst > CEILING else 1.05 * high or 1)
        return
    ax.set_yscale("log")
    ax.set_ylim(low / 1.25, 1.75 * CEILING if worst > CEILING else 1.15 * high)
    ax.yaxis.set_major_locator(FixedLocator([0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend_columns(labels: Sequence[str]) -> int:
    """Return how many columns of the longest label the figure is wide enough for."""
    room = 11.5 * _WIDTH  # characters of the legend's size, about
    return max(1, min(len(labels), 12, int(room / (max(map(len, labels), default=0) + 8))))


def _legend(figure: Figure, looks: dict[str, dict[str, Any]], *, alone: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], linestyle="none" if look.get("reference") else "-", marker=look["marker"],
            color=_INK if look.get("reference") else look["color"], markerfacecolor=look["color"],
            markersize={"*": 15}.get(look["marker"], 8), markeredgecolor=_INK if look.get("reference") else "white",
            label=name,
        )
        for name, look in looks.items()
    ]  # fmt: skip
    handles.append(Line2D([], [], color=_FRONT, linewidth=6, label="Pareto front"))
    if alone:
        handles.append(Line2D([], [], linestyle="none", marker="o", markersize=8, color="white",
                              markeredgecolor=_INK, label="dark edge: no budget, own operating point"))  # fmt: skip
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=_legend_columns([str(handle.get_label()) for handle in handles]),
        frameon=False,
    )

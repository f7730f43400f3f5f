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
from reports import _content as content

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CEILING = 100.0
"""Per cent; worse points sit on this line with an arrow and their number: how bad a broken model is says little."""
_INK, _FAINT = "#222222", "#8a8a8a"
_MARKERS = "osD^vPXhp*"


@dataclass(frozen=True)
class Panel:
    """What one panel shows: a block's cells over one cost."""

    block: str
    cost: str
    title: str
    axis: str


PANELS = (
    Panel("mask", "params_nominal", "Mask block", "non-zero parameters (nominal)"),
    Panel("stored", "params_stored", "Stored block", "parameters as saved (stored)"),
    Panel("stored", "macs_first_token", "Stored block", "MACs executed: a window up to its first token"),
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
        figure = draw(frame)
        out.mkdir(parents=True, exist_ok=True)
        return [write_atomically(out / f"pareto.{kind}", render(figure, kind)) for kind in ("png", "svg")]


def render(figure: Figure, kind: str) -> bytes:
    """Return the figure as a file's content; the same figure gives the same bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "prunebench"}):
        figure.savefig(buffer, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def front(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return which points no other point beats: none is at most as large in both and smaller in one.

    Equal points do not beat each other, so ties stay on the front together.
    """
    import moocore
    import numpy as np

    points = np.column_stack([np.asarray(x, float), np.asarray(y, float)])
    found: np.ndarray = moocore.is_nondominated(points, keep_weakly=True)
    return found


def draw(frame: pd.DataFrame) -> Figure:
    """Return the figure: a row of three panels a board."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    boards = content.boards(frame)
    rows = [_points(board, frame) for board in boards]
    looks = _looks(rows)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(15, 5.1 * len(boards) + 0.9), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(boards), len(PANELS), squeeze=False, sharey="row")
        for line, board, points in zip(axes, boards, rows, strict=True):
            for ax, panel in zip(line, PANELS, strict=True):
                _panel(ax, panel, points, looks)
            _scale(line[0], points)
            line[0].set_ylabel(_score_name(frame))
            line[0].annotate(
                board.title, (0, 1.13), xycoords="axes fraction", fontsize=15, fontweight="bold", color=_INK
            )
        _legend(figure, looks)
    return figure


_STYLE: dict[str, Any] = {
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


def _score_name(frame: pd.DataFrame) -> str:
    split = (frame.attrs["splits"] or ["test"])[0]
    return f"{frame.attrs['metric'].upper()} on {split}, % (95 % interval)"


def _points(board: content.Board, frame: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn of a board, in per cent; several seeds become their mean, with the widest bars."""
    rows = board.rows
    score = content.score_column(frame)
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
    """Return a colour and marker per method, the same in every panel; references are drawn in ink."""
    import matplotlib as mpl
    import pandas as pd

    everything = pd.concat(rows)
    budgeted = everything[everything["block"] != "reference"]["label"].unique()
    colours = mpl.color_sequences["petroff10"]  # chosen for colour-vision deficiencies, M. Petroff, arXiv 2107.02270
    looks: dict[str, dict[str, Any]] = {
        name: {"color": colours[at % len(colours)], "marker": _MARKERS[at % len(_MARKERS)]}
        for at, name in enumerate(budgeted)
    }
    for at, name in enumerate(everything[everything["block"] == "reference"]["label"].unique()):
        looks.setdefault(name, {"color": _INK if at == 0 else "white", "marker": "*D"[min(at, 1)], "reference": True})
    return looks


def _panel(ax: Axes, panel: Panel, points: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> None:
    """Draw one panel: the front behind, then each method's line, bars and markers, then the references."""
    from matplotlib.ticker import EngFormatter

    shown = points[points["block"].isin([panel.block, "reference"]) & points[panel.cost].notna()]
    ax.set_title(panel.title, loc="left", color=_FAINT, pad=8)
    ax.set_xlabel(panel.axis)
    ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
    ax.grid(color="#e9e9e9", linewidth=0.8)
    if shown.empty:
        ax.text(0.5, 0.5, "no finished cell", transform=ax.transAxes, ha="center", color=_FAINT)
        return
    _front_line(ax, shown[panel.cost].to_numpy(), shown["score"].to_numpy())
    for name, rows in shown.groupby("label", sort=False):
        _series(ax, rows.sort_values(panel.cost), panel.cost, looks[str(name)])
    ax.margins(x=0.09)


def _front_line(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw the staircase between what is reached and what is not."""
    import numpy as np

    best = front(x, y) & (y < CEILING)
    order = np.argsort(x[best])
    ax.plot(x[best][order], y[best][order], drawstyle="steps-post", color="#c4c4c4", linewidth=5, zorder=1,
            solid_capstyle="round")  # fmt: skip


def _series(ax: Axes, rows: pd.DataFrame, cost: str, look: dict[str, Any]) -> None:
    import numpy as np

    x, score = rows[cost].to_numpy(), rows["score"].to_numpy()
    y = np.minimum(score, CEILING)
    reference = bool(look.get("reference"))
    line = _INK if reference else look["color"]
    bars = np.abs(np.minimum(rows[["low", "high"]].to_numpy().T, CEILING) - y)
    ax.errorbar(x, y, yerr=np.nan_to_num(bars), fmt="none", ecolor=line, elinewidth=1.4, capsize=3, zorder=3)
    if not reference:
        ax.plot(x, y, color=line, linewidth=1.6, alpha=0.75, zorder=2)
    sizes = {"*": 260, "D": 55}.get(look["marker"], 62) if reference else 62
    ax.scatter(x, y, s=sizes, marker=look["marker"], color=look["color"], zorder=5 if reference else 4,
               edgecolors=_INK if reference else "white", linewidths=1.1)  # fmt: skip
    for at in np.flatnonzero(score > CEILING):
        ax.annotate(f"{score[at]:.0f} %", (x[at], CEILING), xytext=(0, 17), textcoords="offset points", ha="center",
                    va="bottom", fontsize=9.5, color=line, annotation_clip=False,
                    arrowprops={"arrowstyle": "<-", "color": line, "linewidth": 1.4, "shrinkA": 0})  # fmt: skip


def _scale(ax: Axes, points: pd.DataFrame) -> None:
    """Choose a log axis where the scores span it, for then the good methods would lie on one another."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = points["low"].fillna(points["score"]).min(), min(points["score"].max(), CEILING)
    if not low > 0 or high / low < 5:
        ax.set_ylim(bottom=0)
        return
    ax.set_yscale("log")
    ax.set_ylim(low / 1.15, 1.15 * high)
    ax.yaxis.set_major_locator(FixedLocator([0.5, 1, 2, 5, 10, 20, 50, 100]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend(figure: Figure, looks: dict[str, dict[str, Any]]) -> None:
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
    handles.append(Line2D([], [], color="#c4c4c4", linewidth=5, label="Pareto front"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 10), frameon=False)

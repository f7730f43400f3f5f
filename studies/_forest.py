"""The effects of an ablation as a picture: a forest plot, one panel a point, the arms of a factor together."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.figures import INK, STYLE, render
from benchmark.store.files import write_atomically
from studies._effect_table import csv, difference, markdown, notes, show, title
from studies._effects import SIGNIFICANT

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "show", "write"]

_FAR = 20.0
"""Points beyond which a linear axis would press all small differences together."""
_LINE, _AROUND = 0.235, 1.05
"""Inches: the height of a row, and what a panel's title and axis take."""
_PLOT, _NUMBERS = 3.6, 2.0
"""Inches: the axis, and the numbers right of it."""
_BOLD, _LETTER, _INDENT = 0.082, 0.071, 0.18
"""Inches: a letter of a factor's name and of an arm's, left of the axis, and how much an arm stands in."""
_MARKS = (
    f"Filled: corrected p below {SIGNIFICANT}. Diamond: the same models, scored otherwise. ×: no result. Bar: 95 % "
    "interval."
)
_BAND = "#f3f3f0"
DPI = 160
"""Dots an inch of a study's pictures."""
_STYLE = STYLE | {"font.size": 10, "axes.labelsize": 10, "axes.spines.left": False}


def write(table: pd.DataFrame, out: Path) -> list[Path]:
    """Write the ablation as ``<name>.md``, ``.csv``, ``.png`` and ``.svg`` into a folder and return the paths."""
    stem = table.attrs["name"]
    # drawn anew for each file: a layout depends on what a figure was rendered as before
    pictures = {kind: render(draw(table), kind, DPI) for kind in ("png", "svg")}
    out.mkdir(parents=True, exist_ok=True)
    return [
        write_atomically(out / f"{stem}.md", markdown(table)),
        write_atomically(out / f"{stem}.csv", csv(table)),
        *(write_atomically(out / f"{stem}.{kind}", picture) for kind, picture in pictures.items()),
    ]


def draw(table: pd.DataFrame) -> Figure:
    """Return the figure: two panels a row, the arms from top to bottom in the order of the spec."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = [_Panel.of(table, str(point)) for point in table["point"].unique()]
    rows = [parts[at : at + 2] for at in range(0, len(parts), 2)]
    tall = [max(len(part.lines) for part in row) * _LINE + _AROUND for row in rows]
    names = max(part.names for part in parts)
    width = len(rows[0]) * (names + _PLOT + _NUMBERS)
    foot = [line for said in (*notes(table), _MARKS) for line in textwrap.wrap(said, round(13.5 * width))]
    below = 0.16 * len(foot) + 0.15
    height = sum(tall) + below + 0.5
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))  # laid out by hand: names and numbers stand outside the axes
        FigureCanvasAgg(figure)
        top = height - 0.5
        for row, room in zip(rows, tall, strict=True):
            for at, part in enumerate(row):
                deep = len(part.lines) * _LINE
                left = at * (names + _PLOT + _NUMBERS) + names
                box = (left / width, (top - 0.35 - deep) / height, _PLOT / width, deep / height)
                _draw_panel(figure.add_axes(box), part, names)
            top -= room
        figure.text(0.1 / width, 1 - 0.1 / height, title(table), fontsize=14, fontweight="bold", color=INK, va="top")
        look: dict[str, Any] = {"fontsize": 8, "color": "#555555", "va": "bottom", "linespacing": 1.35}
        figure.text(0.1 / width, 0.1 / height, "\n".join(foot), **look)
    return figure


# --- panels -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """A row of a panel: the heading of a group, or an arm (``row``) in it."""

    text: str
    group: int
    row: pd.Series | None = None


@dataclass(frozen=True)
class _Panel:
    """What one panel shows."""

    title: str
    lines: list[_Line]
    normalizer: str
    """The full method's."""

    @property
    def names(self) -> float:
        """Inches that the names need."""
        return 0.25 + max(
            len(line.text) * _BOLD if line.row is None else len(line.text) * _LETTER + _INDENT for line in self.lines
        )

    @classmethod
    def of(cls, table: pd.DataFrame, point: str) -> _Panel:
        """Return the panel of a point."""
        rows = table[table["point"] == point]
        full = rows[rows["what"] == "full"].iloc[0]
        said = f"full method {100 * full['rate']:.2f} %" if full["status"] == "ok" else f"full method {full['status']}"
        lines: list[_Line] = []
        for number, (heading, arms) in enumerate(_groups(table, rows, point)):
            lines.append(_Line(heading, number))
            lines += [_Line(text, number, row) for text, row in arms]
        return cls(f"{point}: {said}", lines, str(full["normalizer"]))


def _groups(table: pd.DataFrame, rows: pd.DataFrame, point: str) -> list[tuple[str, list[tuple[str, pd.Series]]]]:
    """Return headings and the arms below them: a group a factor, or main effects and combinations."""
    if table.attrs["design"] == "factorial":
        kinds = (("main", "main effects"), ("arm", "combinations"))
        return [(said, [(str(r["arm"]), r) for _, r in rows[rows["what"] == what].iterrows()]) for what, said in kinds]
    arms = rows[rows["what"] == "arm"]
    full = table.attrs["full"][point]
    return [
        (f"{factor}  (full: {full[factor]})", [(str(row["level"]), row) for _, row in some.iterrows()])
        for factor, some in arms.groupby("factor", sort=False)
    ]


def _draw_panel(ax: Axes, panel: _Panel, names: float) -> None:
    left = (0.1 - names) / _PLOT  # in widths of the axis
    ax.text(left, -1.1, panel.title, transform=ax.get_yaxis_transform(), fontsize=11, color=INK)
    ax.set_ylim(len(panel.lines) - 0.5, -0.5)
    ax.set_yticks([])
    for at, line in enumerate(panel.lines):
        if line.group % 2 == 0:
            ax.axhspan(at - 0.5, at + 0.5, color=_BAND, linewidth=0, zorder=0)
        _label(ax, at, line, left)
        if line.row is not None:
            _draw_arm(ax, at, line.row, other=str(line.row["normalizer"]) != panel.normalizer)
    _scale(ax, [line.row for line in panel.lines if line.row is not None])
    ax.axvline(0, color=INK, linewidth=0.9, zorder=1)


def _label(ax: Axes, at: int, line: _Line, left: float) -> None:
    """Write the name left of the panel, and the number right of it."""
    where = ax.get_yaxis_transform()
    heading = line.row is None
    look: dict[str, Any] = {"va": "center", "color": INK, "clip_on": False}
    weight = "bold" if heading else "normal"
    left += 0 if heading else _INDENT / _PLOT
    ax.text(left, at, line.text, transform=where, fontsize=9.5, fontweight=weight, **look)
    if line.row is not None and line.row["status"] == "ok" and not isnan(line.row["difference"]):
        ax.text(1.02, at, difference(line.row), transform=where, fontsize=8.5, **look)


def _draw_arm(ax: Axes, at: int, row: pd.Series, other: bool) -> None:
    """Draw the interval and its marker: filled where it is significant, a diamond where only the scores differ."""
    if row["status"] != "ok" or isnan(row["difference"]):
        look: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "color": INK}
        seeds, *_, message = str(row["reason"]).split(": ", 2)  # what kind of error it is stands in the table
        why = str(row["reason"]) if row["status"] == "ok" else f"{row['status']}, {seeds}: {message}"
        ax.text(0.02, at, "×", fontsize=12, **look)
        ax.text(0.06, at, textwrap.shorten(why, 90, placeholder=" ..."), fontsize=7.5, style="italic", **look)
        return
    ax.plot([100 * row["lo"], 100 * row["hi"]], [at, at], color=INK, linewidth=1.5, solid_capstyle="butt", zorder=2)
    filled = row["p_holm"] < SIGNIFICANT
    ax.plot(
        100 * row["difference"], at, marker="D" if other else "o", markersize=6, color=INK,
        markerfacecolor=INK if filled else "white", zorder=3,
    )  # fmt: skip


def _scale(ax: Axes, rows: Sequence[pd.Series]) -> None:
    """Set the axis: linear, or linear up to one point and logarithmic beyond where a difference is far out."""
    from matplotlib.ticker import FuncFormatter

    ends = [100 * float(row[end]) for row in rows for end in ("lo", "hi") if not isnan(row[end])]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    said = "difference to the full method, points"
    if max(-low, high) > _FAR:
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xticks([tick for tick in (-100, -10, -1, 0, 1, 10, 100) if 1.5 * low <= tick <= 1.5 * high])
        ax.set_xticks([], minor=True)
        ax.set_xlim(min(1.5 * low, -0.3), max(1.5 * high, 0.3))
        said += " (logarithmic beyond 1)"
    else:
        room = 0.06 * (high - low) or 0.5
        ax.set_xlim(low - room, high + room)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0"))
    ax.grid(axis="x", color="#e2e2e2", linewidth=0.7)
    ax.tick_params(length=0)
    ax.set_xlabel(f"← better   {said}   worse →", fontsize=9)

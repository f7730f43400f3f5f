"""Report ``pareto``: error against size, work and time, with intervals, fronts and hypervolumes; for papers and slides.

``pareto.png``, ``.svg`` and ``.pdf`` show the first boards, ``pareto.html`` all of them to look into.
"""

from __future__ import annotations

import textwrap
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from benchmark import api
from benchmark.figures import INK, STYLE, render
from benchmark.registry import REGISTRY
from benchmark.store.files import write_atomically
from reports import _pareto_data as data
from reports import _pareto_legend as legend
from reports import _pareto_looks as styles
from reports._pareto_outside import OURS, Outside, belonging, published

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH = 15.0
"""Inches of every picture."""
LARGE = 2
"""Boards up to which each has all of its panels; of more, each is one row of the three that matter most."""
MOST = 8
"""Boards in one picture; more are in ``pareto.html`` only, and the picture says so."""
_HEIGHT = {3: 5.3, 4: 3.9}
"""Inches of a row of panels, by panels a row."""
_CAPTION = (
    "Hypervolume: the share of the rectangle from nothing to the reference that a method's points dominate; in"
    " the mask block over non-zero parameters, in the stored block over parameters as saved. Joined: a method's"
    " own front; pale: beaten by another point of the same method. Dark edge: no budget, own operating point."
    " Bars: 95 % intervals; short ticks: single seeds. Points above 100 % stand on that line, with an arrow."
    " Points that would lie on one another stand side by side: those on the front of all where they belong, others"
    " to the right. Time: that of the model as it came, its median over all timings, divided by the speed to"
    " dense, measured in turn with it in one process (bars: quartiles)."
)


class ParetoConfig(api.Config):
    """Options of the report."""

    outside: Path = Field(default=OURS, description="file of published results; the format: reports/_pareto_outside.py")
    everywhere: bool = Field(default=False, description="draw them on boards of another model or corpus too")


@REGISTRY.register("report", "pareto")
class Pareto(api.Report):
    """`pareto.png`, `.svg`, `.pdf`, `.html`: error against nominal and stored size, bytes, MACs and measured time."""

    Config: ClassVar[type[api.Config]] = ParetoConfig
    together = "pareto"

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the pictures and the page.

        Raises:
            StoreError: nothing to report, or no scores in the frame.
            SpecError: the file of published results cannot be used.
        """
        from reports._pareto_interactive import charts_html

        out, config = Path(out), self.config
        assert isinstance(config, ParetoConfig)
        charts = data.charts(frame)
        kinds = ("png", "svg", "pdf")
        pictures: dict[str, bytes | str]
        if config == ParetoConfig():
            pictures = {kind: still(frame, kind) for kind in kinds}
        else:
            figure = draw_charts(charts, published(config.outside), everywhere=config.everywhere)
            pictures = {kind: render(figure, kind) for kind in kinds}
        pictures["html"] = charts_html(charts, full=True)
        out.mkdir(parents=True, exist_ok=True)
        return [write_atomically(out / f"pareto.{kind}", content) for kind, content in pictures.items()]


def still(frame: pd.DataFrame, kind: str) -> bytes:
    """Return a file's content of the picture without options; two reports show it, and it is drawn once a frame.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    if not _LAST or _LAST[0].of() is not frame:
        _LAST[:] = [_Drawn(weakref.ref(frame), draw(frame))]
    drawn = _LAST[0]
    if kind not in drawn.files:
        drawn.files[kind] = render(drawn.figure, kind)
    return drawn.files[kind]


@dataclass
class _Drawn:
    of: weakref.ref[pd.DataFrame]
    figure: Figure
    files: dict[str, bytes] = field(default_factory=dict)


_LAST: list[_Drawn] = []
"""What ``still`` drew last."""


def draw(frame: pd.DataFrame, outside: Sequence[Outside] | None = None, *, everywhere: bool = False) -> Figure:
    """Return the figure: a block of panels a board, its last cell the legend with the hypervolumes.

    Args:
        frame: of ``benchmark.store.frame.frame``, scored.
        outside: published results to mark; by default those that come with the project.
        everywhere: mark them on boards of another model or corpus too.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    return draw_charts(data.charts(frame), published() if outside is None else outside, everywhere=everywhere)


def draw_charts(charts: Sequence[data.Chart], outside: Sequence[Outside], *, everywhere: bool = False) -> Figure:
    """Return what ``draw`` does, of boards that are already taken apart."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn, left_out = charts[:MOST], charts[MOST:]
    columns = 3 if len(drawn) <= LARGE else 4
    looks = styles.looks(drawn, int(_HEIGHT[columns] / legend.PITCH) - 8)
    layouts = [_Layout(chart, columns, looks) for chart in drawn]
    caption = textwrap.wrap(_CAPTION, 220)
    if left_out:
        names = "; ".join(chart.title for chart in left_out)
        said = f"{len(left_out)} more boards are not drawn here but in pareto.html: {names}"
        caption += textwrap.wrap(textwrap.shorten(said, 720, placeholder=" …"), 220)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, sum(one.height for one in layouts) + 0.19 * len(caption)), layout="constrained")
        FigureCanvasAgg(figure)
        heights = [one.height for one in layouts]
        parts = figure.subfigures(len(drawn), 1, squeeze=False, hspace=0.03, height_ratios=heights)[:, 0]
        for part, layout in zip(parts, layouts, strict=True):
            layout.fill(part, belonging(layout.chart, outside, everywhere))
        figure.supxlabel("\n".join(caption), x=0.008, ha="left", fontsize=9, color="#555555")
        figure.draw_without_rendering()
        # From here on the places are fixed: a layout depends on what a figure is rendered as.
        figure.set_layout_engine("none")
        for layout in layouts:
            layout.label()
    return figure


class _Layout:
    """Where the panels and the legend of one board stand."""

    def __init__(self, chart: data.Chart, columns: int, looks: dict[str, dict[str, Any]]) -> None:
        self.chart, self.columns, self.looks = chart, columns, looks
        self.panels = chart.panels if columns == 3 else _three(chart.panels)
        self.lines = legend.lines(chart, looks)
        rows, over = -(-len(self.panels) // columns), -len(self.panels) % columns
        self.cells = over or columns
        """Cells that the legend has."""
        self.legend_width = WIDTH * self.cells / columns - 0.5
        self.legend_columns = legend.columns_for(self.legend_width, self.lines)
        if over:  # beside panels, it needs no more columns than that its lines find room
            most = int(_HEIGHT[columns] / legend.PITCH) - 2
            self.legend_columns = min(self.legend_columns, -(-len(self.lines) // most))
        self.heights = [_HEIGHT[columns]] * rows
        if not over:
            self.heights.append(legend.PITCH * (2 + -(-len(self.lines) // self.legend_columns)))
        self.height = sum(self.heights) + 0.45
        self.axes: list[Axes] = []
        self.drawn: list[pd.DataFrame] = []

    def fill(self, part: SubFigure, outside: Sequence[Outside]) -> None:
        """Draw the board into its part of the figure."""
        from reports._pareto_panel import draw_outside, draw_panel

        grid = part.add_gridspec(len(self.heights), self.columns, height_ratios=self.heights)
        scale = styles.scale(self.chart.points)
        for at, panel in enumerate(self.panels):
            row, column = divmod(at, self.columns)
            first = self.axes[0] if self.axes else None
            ax = part.add_subplot(grid[row, column], sharey=first)
            self.drawn.append(draw_panel(ax, self.chart, panel, self.looks, scale))
            draw_outside(ax, panel, outside, scale)
            if column:
                ax.tick_params(labelleft=False)
            else:
                ax.set_ylabel(self.chart.score)
            self.axes.append(ax)
        styles.put(self.axes[0], "y", scale)
        ax = part.add_subplot(grid[-1, self.columns - self.cells :])
        legend.draw_legend(ax, self.lines, self.legend_width, self.legend_columns)
        part.suptitle(self.chart.title, x=0.008, ha="left", fontsize=14, fontweight="bold", color=INK)

    def label(self) -> None:
        """Write the methods' names at the ends of their lines, where they are few and there is room."""
        from reports._pareto_labels import label_ends

        for ax, panel, drawn in zip(self.axes, self.panels, self.drawn, strict=True):
            label_ends(ax, panel, drawn, self.looks)


def _three(panels: Sequence[data.Panel]) -> list[data.Panel]:
    """Return the three panels that matter most, in their order: the main ones, then MACs and measured time."""
    ranks = {"macs_first_token": 1, "latency": 2}
    best = sorted(panels, key=lambda panel: 0 if panel.main else ranks.get(panel.cost.column, 3))[:3]
    return [panel for panel in panels if panel in best]

"""Report ``density``: where each method removes, as heat maps: layers down, kinds of matrix across."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api import Report
from benchmark.errors import NothingToReportError
from benchmark.figures import INK
from benchmark.markdown import plain
from benchmark.registry import REGISTRY
from reports import _content as content
from reports._density import densities
from reports._files import write_all
from reports._names import shortened

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4
MOST_PANELS = 32
_PARTS = ("self q", "self k", "self v", "self out", "cross q", "cross k", "cross v", "cross out", "fc1", "fc2")


@dataclass(frozen=True)
class Panel:
    """One entry: its table of shares, and which share is shown (that which its block is about)."""

    title: str
    share: str
    table: pd.DataFrame


@REGISTRY.register("report", "density")
class Density(Report):
    """`density.md`, `.csv`, `.png` and `.svg`: what is left of each matrix, at each block's tightest budget."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the files.

        Raises:
            NothingToReportError: no entry with a budget has a plan of an embedded model.
        """
        found = list(panels(frame))
        if not found:
            raise NothingToReportError(
                "density: no finished entry with a budget has a plan here (bundles without plans have none, and only "
                "embedded models are loaded for it)"
            )
        return write_all(out, "density", "\n".join(markdown(found)), csv(found), lambda: draw(found[:MOST_PANELS]))


def panels(frame: pd.DataFrame) -> Iterator[Panel]:
    """Yield the entries of each board and block at its tightest kept fraction, in the order of the table."""
    boards = content.boards(frame)
    for board in boards:
        for section in board.sections:
            rows = section.rows[section.rows["status"].eq("ok") & section.rows["keep"].notna()]
            for row in rows[rows["keep"].eq(rows["keep"].min())].to_dict("records"):
                table = densities(row)
                if table is not None:
                    where = f"{board.rows['corpus'].iloc[0]}: " if len(boards) > 1 else ""
                    title = f"{where}{row['label']}, {100 * row['keep']:g} % {section.block}"
                    yield Panel(title, "nominal" if section.block == "mask" else "stored", table)


def draw(found: Sequence[Panel]) -> Figure:
    """Return the figure: a panel an entry, the encoder's layers above the decoder's."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(found) // _COLUMNS)
    layers = len(found[0].table[["stack", "layer"]].drop_duplicates())
    with mpl.rc_context({"font.size": 9, "text.color": INK, "axes.labelcolor": INK}):
        height = rows * (1.3 + 0.3 * layers) + 0.9
        figure = Figure(figsize=(15, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, min(_COLUMNS, len(found)), squeeze=False)
        for ax in axes.flat[len(found) :]:
            ax.set_axis_off()
        for ax, panel in zip(axes.flat, found, strict=False):
            image = _panel(ax, panel)
        bar = figure.colorbar(image, ax=list(axes.flat), orientation="horizontal", fraction=0.02, pad=0.02, aspect=60)
        bar.set_label(
            "share of the dense matrix that is left, % (mask: not zero; stored: saved; factors may exceed 100)"
        )
        bar.outline.set_visible(False)
        said = "Where each method removes, at the tightest budget of its block (first seed)"
        figure.suptitle(said, fontsize=13, x=0.01, ha="left")
    return figure


def _panel(ax: Axes, panel: Panel) -> Any:
    """Draw one heat map with its numbers; cividis reads in grey and by the colour-blind."""
    import numpy as np

    table = panel.table.assign(row=panel.table["stack"].str[:3] + " " + panel.table["layer"].astype(str))
    grid = table.pivot_table(panel.share, "row", "part", sort=False).reindex(columns=list(_PARTS))
    values = 100 * grid.to_numpy(float)
    image = ax.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    ax.set_title(shortened(panel.title, 48), fontsize=9.5, loc="left", parse_math=False)
    ax.set_yticks(range(len(grid)), list(grid.index))
    ax.set_xticks(range(len(_PARTS)), [part.replace(" ", "\n") for part in _PARTS], fontsize=7.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if len(grid) <= 12:
        for at, column in zip(*np.nonzero(~np.isnan(values)), strict=True):
            share = values[at, column]
            light = "white" if share < 55 else INK
            ax.text(column, at, f"{share:.0f}", ha="center", va="center", fontsize=7, color=light)
    return image


def csv(found: Sequence[Panel]) -> str:
    """Return one line a matrix of each entry; shares as fractions."""
    import pandas as pd

    whole = pd.concat([panel.table.assign(entry=panel.title) for panel in found])
    return whole[["entry", "stack", "layer", "part", "nominal", "stored"]].to_csv(index=False, lineterminator="\n")


def markdown(found: Sequence[Panel]) -> Iterator[str]:
    """Yield the lines of ``density.md``: a row a layer, in per cent."""
    from reports.normalizers import table

    yield "# Where each method removes"
    yield ""
    yield (
        "The share of each dense matrix that is left, in per cent, at the tightest budget of each block; of several "
        "seeds, that of the first."
    )
    if len(found) > MOST_PANELS:
        yield f"The picture shows the first {MOST_PANELS} of {len(found)} entries."
    for panel in found:
        rows = panel.table.assign(row=panel.table["stack"] + " " + panel.table["layer"].astype(str))
        grid = rows.pivot_table(panel.share, "row", "part", sort=False).reindex(columns=list(_PARTS))
        texts = [
            [str(name), *(content.percent(v, 0, "").text for v in line)]
            for name, line in zip(grid.index, grid.to_numpy(), strict=True)
        ]
        yield from ("", f"## {plain(panel.title)} ({panel.share})", "", table([["layer", *_PARTS], *texts]))
    yield ""

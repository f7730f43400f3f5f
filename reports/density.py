"""Report ``density``: where each method removes, as heat maps: layers down, kinds of matrix across."""

from __future__ import annotations

from collections import Counter
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
from reports._density import Unknown, densities
from reports._files import write_all
from reports._names import LONGEST, shortened

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4
MOST_PANELS = 32
MOST_ENTRIES = 400
"""Entries whose plans are read; of more, those of tight budgets first."""
_TALLEST = 45.0
"""Inches of the picture."""
_PARTS = ("self q", "self k", "self v", "self out", "cross q", "cross k", "cross v", "cross out", "fc1", "fc2")
_FEW = 12
"""Layers up to which numbers stand in the fields."""


@dataclass(frozen=True)
class Panel:
    """One entry at one budget, and what is left of each matrix."""

    board: str
    entry: str
    label: str
    block: str
    keep: float
    table: pd.DataFrame
    before: str = ""
    """What a title needs where there are several boards."""

    @property
    def budget(self) -> str:
        """Kept fraction and block."""
        return f", {100 * self.keep:g} % {self.block}"

    @property
    def title(self) -> str:
        """What is written above the picture, as far as there is room: where, label, budget."""
        named = shortened(self.label, LONGEST - len(self.budget)) + self.budget
        return f"{shortened(self.before)}\n{named}" if self.before else named

    @property
    def share(self) -> str:
        """The share that is shown: that which its block is about."""
        return "nominal" if self.block == "mask" else "stored"

    @property
    def rows(self) -> int:
        """Layers of both stacks."""
        return len(self.table[["stack", "layer"]].drop_duplicates())


@REGISTRY.register("report", "density")
class Density(Report):
    """`density.md`, `.csv`, `.png` and `.svg`: what is left of each matrix; the picture at the tightest budgets."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the files.

        Raises:
            NothingToReportError: of no entry with a budget is it known where it removes.
        """
        found, lost = panels(frame)
        if not found:
            why = f": {'; '.join(lost)}" if lost else ""
            raise NothingToReportError(f"density: no finished entry with a budget has a plan here to read{why}")
        shown = drawn(found)
        return write_all(out, "density", "\n".join(markdown(found, lost)), csv(found), lambda: draw(shown))


def panels(frame: pd.DataFrame) -> tuple[list[Panel], list[str]]:
    """Return the entries with a budget in the order of the table, and what has to be said of those left out."""
    boards = content.boards(frame)
    asked = list(_asked(boards))
    tight = sorted(range(len(asked)), key=lambda at: not asked[at][1])
    found, why = [], Counter[str]()
    for at in sorted(tight[:MOST_ENTRIES]):
        board, _, row = asked[at]
        table = densities(row)
        if isinstance(table, Unknown):
            why[table.why] += 1
            continue
        about = (board.title, str(row["entry"]), str(row["label"]), str(row["block"]), float(row["keep"]))
        found.append(Panel(*about, table, _before(board, boards)))
    lost = [f"{count} of {len(asked)} entries are left out: {reason}" for reason, count in why.items()]
    if len(asked) > MOST_ENTRIES:
        lost.append(f"plans of {MOST_ENTRIES} of {len(asked)} entries were read, those of the tightest budgets first")
    return found, lost


def _asked(boards: Sequence[content.Board]) -> Iterator[tuple[content.Board, bool, dict[Any, Any]]]:
    """Yield the finished entries with a budget, and whether theirs is the tightest of their block."""
    for board in boards:
        for section in board.sections:
            rows = section.rows[section.rows["status"].eq("ok") & section.rows["keep"].notna()]
            for row in rows.to_dict("records"):
                yield board, row["keep"] == rows["keep"].min(), row


def _before(board: content.Board, boards: Sequence[content.Board]) -> str:
    """Return which model and corpus a board is about, as far as the others are about another."""
    told = [
        str(board.rows[what].iloc[0])
        for what in ("model", "corpus")
        if len({str(one.rows[what].iloc[0]) for one in boards}) > 1
    ]
    return " on ".join(told)


def drawn(found: Sequence[Panel]) -> list[Panel]:
    """Return what the picture shows: of each board and block the tightest budget that is known, as far as room is."""
    tightest: dict[tuple[str, str], float] = {}
    for panel in found:
        key = (panel.board, panel.block)
        tightest[key] = min(panel.keep, tightest.get(key, panel.keep))
    shown = [panel for panel in found if panel.keep == tightest[panel.board, panel.block]]
    return shown[: min(MOST_PANELS, _COLUMNS * max(1, int(_TALLEST / _height(shown))))]


def _height(shown: Sequence[Panel]) -> float:
    """Return the inches of a row of panels."""
    layers = max(panel.rows for panel in shown)
    return 1.3 + (0.3 if layers <= _FEW else 0.115) * layers


def draw(found: Sequence[Panel]) -> Figure:
    """Return the figure: a panel an entry, the encoder's layers above the decoder's."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(found) // _COLUMNS)
    columns = min(_COLUMNS, len(found))
    with mpl.rc_context({"font.size": 9, "text.color": INK, "axes.labelcolor": INK}):
        figure = Figure(figsize=(max(3.75 * columns, 7), rows * _height(found) + 0.9), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False)
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
    ax.set_title(panel.title, fontsize=9.5, loc="left", parse_math=False)
    few = len(grid) <= _FEW
    ax.set_yticks(range(len(grid)), list(grid.index), fontsize=9 if few else 6.5)
    ax.set_xticks(range(len(_PARTS)), [part.replace(" ", "\n") for part in _PARTS], fontsize=7.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if few:
        for at, column in zip(*np.nonzero(~np.isnan(values)), strict=True):
            share = values[at, column]
            light = "white" if share < 55 else INK
            ax.text(column, at, f"{share:.0f}", ha="center", va="center", fontsize=7, color=light)
    return image


def csv(found: Sequence[Panel]) -> str:
    """Return one line a matrix of each entry; shares as fractions."""
    import pandas as pd

    names = ["board", "entry", "label", "block", "keep"]
    whole = [panel.table.assign(**{name: getattr(panel, name) for name in names}) for panel in found]
    columns = [*names, "stack", "layer", "part", "nominal", "stored"]
    return pd.concat(whole)[columns].to_csv(index=False, lineterminator="\n")


def markdown(found: Sequence[Panel], lost: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of ``density.md``: a row a layer, in per cent."""
    from reports.normalizers import table

    shown = len(drawn(found))
    yield "# Where each method removes"
    yield ""
    yield (
        "The share of each dense matrix that is left, in per cent; of several seeds, that of the first. Nominal: "
        "weights that are not zero; stored: weights as saved. The picture shows each block's tightest budget, "
        f"{shown} of these {len(found)} entries."
    )
    if lost:
        yield from ("", *(f"- {plain(said)}." for said in lost))
    board = ""
    for panel in found:
        if panel.board != board:
            board = panel.board
            yield from ("", f"## {plain(board)}")
        rows = panel.table.assign(row=panel.table["stack"] + " " + panel.table["layer"].astype(str))
        grid = rows.pivot_table(panel.share, "row", "part", sort=False).reindex(columns=list(_PARTS))
        texts = [
            [str(name), *(content.percent(v, 0, "").text for v in line)]
            for name, line in zip(grid.index, grid.to_numpy(), strict=True)
        ]
        yield from (
            "",
            f"### {plain(panel.label + panel.budget)} ({panel.share})",
            "",
            table([["layer", *_PARTS], *texts]),
        )
    yield ""

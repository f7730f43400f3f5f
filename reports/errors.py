"""Report ``errors``: where errors come from: substitutions, deletions, insertions, and hypotheses of a wrong length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api import Report
from benchmark.errors import NothingToReportError
from benchmark.figures import INK
from benchmark.markdown import plain
from benchmark.registry import REGISTRY
from reports import _content as content
from reports import _room as room
from reports._files import write_all
from reports._names import shortened

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("substitutions", "deletions", "insertions")
COUNTED = (*KINDS, "length", "runaway", "empty")
_LOOKS = {"substitutions": ("#5b7ea6", ""), "deletions": ("#d9b55f", "///"), "insertions": ("#8c3b4a", "...")}


@REGISTRY.register("report", "errors")
class Errors(Report):
    """`errors.md`, `.csv`, `.png` and `.svg`: kinds of error, length of hypotheses, runaways, by method and budget."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the files.

        Raises:
            NothingToReportError: no finished entry with a budget.
        """
        boards, counted = content.boards(frame), counts(frame)
        found = [(board, table) for board in boards if (table := anatomy(board, counted))["keep"].notna().any()]
        if not found:
            raise NothingToReportError("errors: there is no finished cell with a budget")
        return write_all(
            out, "errors", "\n".join(markdown(found)), csv([table for _, table in found]),
            lambda: draw(drawn(found)),
        )  # fmt: skip


def drawn(found: Sequence[tuple[content.Board, pd.DataFrame]]) -> list[tuple[content.Board, pd.DataFrame]]:
    """Return what a picture has room for."""
    tables = room.fitting([table[table["keep"].notna()] for _, table in found])
    return [(board, table) for (board, _), table in zip(found, tables, strict=False)]


def counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row an entry: what is counted on the first split, summed over its finished cells, and how many."""
    frame = content.with_all_columns(frame)
    split = content.column(content.first_split(frame))
    named = {f"{split}_{what}": what for what in COUNTED}
    fine = frame[frame["status"].eq("ok") & frame[f"{split}_length"].fillna(0).gt(0)]
    groups = fine[["entry", *named]].rename(columns=named).groupby("entry")
    return groups.sum().astype("int64").assign(seeds=groups.size())


def anatomy(board: content.Board, counted: pd.DataFrame) -> pd.DataFrame:
    """Return one row a finished entry of a board, in its order; kinds of error are fractions of the reference's length.

    All are over the entry's finished seeds together, as its error rate is: ``length`` (the hypotheses' length over the
    references') too. ``runaway`` and ``empty`` count hypotheses, of ``seeds`` times the test set.

    Args:
        board: whose entries are asked for.
        counted: of ``counts``.
    """
    rows = board.rows
    fine = rows[rows["status"].eq("ok") & rows["entry"].isin(counted.index)]
    sums = counted.loc[fine["entry"]].set_axis(fine.index)
    shares = {kind: sums[kind] / sums["length"] for kind in KINDS}
    return fine[["entry", "block", "keep", "label"]].assign(
        **shares,
        error=sum(shares.values()),
        length=1 + shares["insertions"] - shares["deletions"],
        runaway=sums["runaway"],
        empty=sums["empty"],
        seeds=sums["seeds"],
        board=board.title,
    )


def draw(found: Sequence[tuple[content.Board, pd.DataFrame]]) -> Figure:
    """Return the figure: blocks side by side, kept fractions below each other, a bar an entry."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    parts = [(board, *panel) for board, table in found for panel in _panels(table)]
    blocks = list(dict.fromkeys(block for _, block, _, _ in parts))
    lines = [(board, keep) for board, _, keep, _ in parts]
    lines = [line for number, line in enumerate(lines) if line not in lines[:number]]
    tall = [max(len(t) for b, _, k, t in parts if (b, k) == line) for line in lines]
    with mpl.rc_context({"font.size": 9, "text.color": INK, "hatch.color": "white", "hatch.linewidth": 0.7}):
        size = (7.5 * len(blocks), sum(0.24 * rows + 0.75 for rows in tall) + 0.9)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(lines), len(blocks), squeeze=False, height_ratios=[rows + 2 for rows in tall])
        for ax in axes.flat:
            ax.set_axis_off()
        for board, block, keep, table in parts:
            ax = axes[lines.index((board, keep)), blocks.index(block)]
            ax.set_axis_on()
            several = f"{board.title}: " if len(found) > 1 else ""
            _bars(ax, table, f"{several}{block} block, {100 * keep:g} % kept")
        handles = [Patch(facecolor=colour, hatch=hatch, label=kind) for kind, (colour, hatch) in _LOOKS.items()]
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False)
        metric = found[0][0].metric.upper()
        seeds = ", over all seeds" if any(table["seeds"].max() > 1 for _, table in found) else ""
        said = f"Where errors come from: {metric} by kind, %{seeds}; right: hypotheses' length over references'"
        figure.suptitle(said, fontsize=12, x=0.01, ha="left")
    return figure


def _panels(table: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame]]:
    """Yield what has a budget: block, kept fraction, entries."""
    for (block, keep), rows in table[table["keep"].notna()].groupby(["block", "keep"], sort=False):
        yield str(block), float(str(keep)), rows


def _bars(ax: Axes, table: pd.DataFrame, title: str) -> None:
    import numpy as np

    places, left = np.arange(len(table)), np.zeros(len(table))
    for kind, (colour, hatch) in _LOOKS.items():
        share = 100 * table[kind].to_numpy()
        ax.barh(places, share, left=left, color=colour, hatch=hatch, height=0.72, linewidth=0)
        left += share
    for place, end, length, runaways in zip(places, left, table["length"], table["runaway"], strict=True):
        said = f"{length:.2f}" + (f", {runaways} runaway" if runaways else "")
        ax.annotate(said, (end, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(places, [shortened(label) for label in table["label"]], parse_math=False)
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.18 * left.max(), 1))
    ax.set_title(title, loc="left", fontsize=10, parse_math=False)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(length=0)
    ax.grid(axis="x", color="#e6e6e6")
    ax.set_axisbelow(True)


def csv(found: Sequence[pd.DataFrame]) -> str:
    """Return one line an entry; fractions of the reference's length, and counts of utterances."""
    import pandas as pd

    return pd.concat(found).to_csv(index=False, lineterminator="\n")


def markdown(found: Sequence[tuple[content.Board, pd.DataFrame]]) -> Iterator[str]:
    """Yield the lines of ``errors.md``."""
    from reports.normalizers import table as as_table

    yield "# Where errors come from"
    for board, table in found:
        yield from ("", f"## {plain(board.title)}", "")
        several = ["seeds"] if table["seeds"].max() > 1 else []
        texts = [["method", "block", "kept", *several, *(f"{kind} %" for kind in KINDS), "length", "runaway", "empty"]]
        for row in table.to_dict("records"):
            shares = [content.percent(row[kind], 2, "").text for kind in KINDS]
            heard = [content.count(row[what]).text for what in ("runaway", "empty")]
            kept = [content.percent(row["keep"], 0).text, *(content.count(row[what]).text for what in several)]
            texts.append([row["label"], row["block"], *kept, *shares, f"{row['length']:.2f}", *heard])
        yield as_table(texts, words=2)
    yield from (
        "",
        "- Kinds of error are in per cent of the reference's length, in the normaliser's unit, on the first split; of "
        "an entry with several seeds, all its finished seeds together, so that they add up to its error rate.",
        "- **Length**: units in the hypotheses over units in the references. **Runaway**: hypotheses that decoding had "
        "to cut. **Empty**: hypotheses without a word. Both are counted over all finished seeds.",
        *(f"- {line}" for line in room.unseen([table[table["keep"].notna()] for _, table in found])),
        "",
    )

"""Report ``table``: the leaderboard as Markdown for people, LaTeX for papers and CSV for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api import Report
from benchmark.markdown import plain
from benchmark.registry import REGISTRY
from benchmark.store.files import write_atomically
from reports import _content as content
from reports._latex import latex
from reports._marks import BEST, flags

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

_WIDEST = 40


@REGISTRY.register("report", "table")
class Table(Report):
    """`leaderboard.md` and `.tex` (blocks, references first, failures in place), `.csv` (entries), `cells.csv`."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the files.

        Raises:
            StoreError: nothing to report, or no scores in the frame.
        """
        out = Path(out)
        boards = content.boards(frame)
        out.mkdir(parents=True, exist_ok=True)
        return [
            write_atomically(out / "leaderboard.md", "\n".join(markdown(boards))),
            write_atomically(out / "leaderboard.tex", "\n".join([*latex(boards), ""])),
            write_atomically(out / "leaderboard.csv", csv(boards)),
            write_atomically(out / "cells.csv", frame.to_csv(index=False, lineterminator="\n")),
        ]

    def show(self, frame: pd.DataFrame, console: Console) -> None:
        """Print the same table in the terminal.

        Raises:
            StoreError: nothing to report, or no scores in the frame.
        """
        from reports.terminal import show

        show(frame, console)


def csv(boards: Sequence[content.Board]) -> str:
    """Return every column of the entries, in the order of the table; fractions and plain numbers."""
    import pandas as pd

    rows = pd.concat([board.rows for board in boards]).drop_duplicates("entry")
    return rows.to_csv(index=False, lineterminator="\n")


def markdown(boards: Sequence[content.Board]) -> Iterator[str]:
    """Yield the lines of ``leaderboard.md``."""
    yield "# Leaderboard"
    for board in boards:
        shown = board.columns
        yield from ("", f"## {plain(board.title)}", "")
        for section in board.sections:
            marks = flags(section.block, section.rows, content.score_column(section.rows))
            best = [BEST in marks.get(str(entry), "") for entry in section.rows["entry"]]
            yield from (f"### {plain(section.title)}", "", *grid(content.cells(section.rows, shown), shown, best), "")
        yield from (f"- {plain(note)}" for note in board.notes)
    yield from ("", "## What the columns mean", "", *(f"- {line}" for line in content.DEFINITIONS), "")


def grid(
    rows: Sequence[Sequence[content.Cell]], shown: Sequence[content.Column], bold: Sequence[bool] = ()
) -> list[str]:
    """Return a Markdown table, padded so that it reads well as plain text too; ``bold`` says which rows stand out."""
    told = [[plain(cell.text) for cell in row] for row in rows]
    told = [[f"**{text}**" for text in row] if at < len(bold) and bold[at] else row for at, row in enumerate(told)]
    texts = [[plain(column.name) for column in shown], *told]
    # the reason of a failure may stick out: it must not blow up its column in every other row
    widths = [max(3, *(len(row[at]) for row in texts if len(row[at]) <= _WIDEST)) for at in range(len(shown))]
    ruler = [":" + "-" * (w - 1) if c.words else "-" * (w - 1) + ":" for c, w in zip(shown, widths, strict=True)]
    padded = [
        [text.ljust(w) if c.words else text.rjust(w) for text, c, w in zip(row, shown, widths, strict=True)]
        for row in texts
    ]
    return [f"| {' | '.join(row)} |" for row in (padded[0], ruler, *padded[1:])]

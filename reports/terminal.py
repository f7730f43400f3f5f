"""The leaderboard in the terminal, by rich; the columns that matter least give way to a narrow window."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports import _content as content
from reports._marks import BEST, DOMINATED, flags

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table


def show(frame: pd.DataFrame, console: Console) -> None:
    """Print each board: a table with one part a block, then what one must know to read it.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    for board in content.boards(frame):
        console.print(_fitting(board, board.columns, console))
        for _, row in board.rows[board.rows["error"] != ""].iterrows():
            where = f"{row['label']} ({row['block']}, kept {content.percent(row['keep'], digits=0).text})"
            said, failed = " ".join(row["error"].split()), row["failed"] > 0
            text = f"FAILED {where}: {said}" if failed else f"{where}: {said}"
            console.print(text, style="red" if failed else "dim", highlight=False, markup=False)
        for note in board.notes:
            console.print(note, style="dim", highlight=False, markup=False)


def _fitting(board: content.Board, shown: Sequence[content.Column], console: Console) -> Table:
    """Return the widest table that the window holds."""
    shown = list(shown)
    while True:
        table = _table(board, shown)
        least = min(shown, key=lambda column: column.weight)
        if (
            console.measure(table, options=console.options.update(width=1000)).maximum <= console.width
            or least.weight >= content.ESSENTIAL
        ):
            return table
        shown.remove(least)


def _table(board: content.Board, shown: Sequence[content.Column]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(board.title), title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in shown:
        heading = escape("\n".join(textwrap.wrap(column.name, 10, break_long_words=False)))
        table.add_column(heading, justify="left" if column.words else "right", no_wrap=True, vertical="bottom")
    for section in board.sections:
        marks = flags(section.block, section.rows, content.score_column(section.rows))
        table.add_row("", f"[bold cyan]{escape(section.block)} block[/]")
        for (_, row), cells in zip(section.rows.iterrows(), content.cells(section.rows, shown), strict=True):
            texts = (escape(_brief(cell.text)) for cell in cells)
            table.add_row(*texts, style=_style(row["status"], marks.get(str(row["entry"]), "")))
    return table


def _style(status: str, mark: str) -> str | None:
    """Return how a row is printed: best of its budget bold, dominated ones dim, as is what has no result."""
    if status != "ok":
        return "red" if status == "failed" else "dim"
    return "bold" if BEST in mark else "dim" if DOMINATED in mark else None


def _brief(text: str) -> str:
    """Return what came of a cell without its reason, which is often long and stands below the table."""
    return text.partition(":")[0] if text.startswith(("FAILED: ", "MISSING: ", "stopped at step ")) else text

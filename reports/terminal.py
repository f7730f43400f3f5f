"""The leaderboard in the terminal, by rich; the columns that matter least give way to a narrow window."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from reports import _content as content
from reports._marks import BEST, DOMINATED, flags

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, JustifyMethod
    from rich.table import Table


_GAP = 2
"""Spaces between columns."""


def show(frame: pd.DataFrame, console: Console) -> None:
    """Print each board: a table with one part a block, then what one must know to read it.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    for board in content.boards(frame):
        console.print(_table(board, console.width))
        for _, row in board.rows[board.rows["error"] != ""].iterrows():
            where = f"{row['label']} ({row['block']}, kept {content.percent(row['keep'], digits=0).text})"
            said, failed = " ".join(row["error"].split()), row["failed"] > 0
            text = f"FAILED {where}: {said}" if failed else f"{where}: {said}"
            console.print(text, style="red" if failed else "dim", highlight=False, markup=False)
        for note in board.notes:
            console.print(note, style="dim", highlight=False, markup=False)


def _table(board: content.Board, width: int) -> Table:
    """Return the widest table that a window holds."""
    from rich.markup import escape
    from rich.table import Table

    names = ["\n".join(textwrap.wrap(column.name, 10, break_long_words=False)) for column in board.columns]
    rows = list(_rows(board))
    columns = zip_longest(names, *(texts for texts, _ in rows), fillvalue="")
    widths = [_width(texts) for texts in columns]
    shown = _fitting(board.columns, widths, width)
    table = Table(title=escape(board.title), title_justify="left", header_style="bold", box=None, pad_edge=False)
    for place in shown:
        justify: JustifyMethod = "left" if board.columns[place].words else "right"
        table.add_column(escape(names[place]), justify=justify, no_wrap=True, vertical="bottom")
    for texts, style in rows:
        if len(texts) < len(names):
            table.add_row("", f"[bold cyan]{escape(texts[1])}[/]")
        else:
            table.add_row(*(escape(texts[place]) for place in shown), style=style)
    return table


def _rows(board: content.Board) -> Iterator[tuple[list[str], str | None]]:
    """Yield the texts of each row with its style, and before each block its heading, in the second column."""
    for section in board.sections:
        marks = flags(section.block, section.rows, content.score_column(section.rows))
        yield ["", f"{section.block} block"], None
        filled = content.cells(section.rows, board.columns)
        for status, entry, cells in zip(section.rows["status"], section.rows["entry"], filled, strict=True):
            yield [_brief(cell.text) for cell in cells], _style(status, marks.get(str(entry), ""))


def _fitting(columns: Sequence[content.Column], widths: Sequence[int], width: int) -> list[int]:
    """Return the places of the columns that a window holds; the ones that matter least give way."""
    shown = list(range(len(columns)))
    while sum(widths[place] for place in shown) + _GAP * (len(shown) - 1) > width:
        least = min(shown, key=lambda place: columns[place].weight)
        if columns[least].weight >= content.ESSENTIAL:
            break
        shown.remove(least)
    return shown


def _width(texts: Sequence[str]) -> int:
    """Return how many columns of a terminal the longest line takes."""
    from rich.cells import cell_len

    return max(cell_len(line) for text in texts for line in text.splitlines() or [""])


def _style(status: str, mark: str) -> str | None:
    """Return how a row is printed: best of its budget bold, dominated ones dim, as is what has no result."""
    if status != "ok":
        return "red" if status == "failed" else "dim"
    return "bold" if BEST in mark else "dim" if DOMINATED in mark else None


def _brief(text: str) -> str:
    """Return what came of a cell without its reason, which is often long and stands below the table."""
    return text.partition(":")[0] if text.startswith(("FAILED: ", "MISSING: ", "stopped at step ")) else text

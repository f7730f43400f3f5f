"""The leaderboard in the terminal, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import _content as content

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


def show(frame: pd.DataFrame, console: Console) -> None:
    """Print each board: a table with one part a block, then what one must know to read it.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    from rich.markup import escape
    from rich.table import Table

    shown = [column for column in content.columns(frame) if column.short]
    for board in content.boards(frame):
        table = Table(title=escape(board.title), title_justify="left", header_style="bold", padding=(0, 1), box=None)
        for column in shown:
            name = escape(column.name.replace(" % [95 %]", " %"))
            table.add_column(name, justify="left" if column.words else "right", no_wrap=column.words)
        for section in board.sections:
            table.add_row(*["" for _ in shown])
            heading = ["" for _ in shown]
            heading[1] = f"[bold cyan]{escape(section.block)}[/]"
            table.add_row(*heading)
            for (_, row), cells in zip(section.rows.iterrows(), content.cells(section.rows, shown), strict=True):
                table.add_row(
                    *(escape(_brief(cell.text)) for cell in cells), style=None if row["status"] == "ok" else "red"
                )
        console.print(table)
        for _, row in board.rows[board.rows["status"] != "ok"].iterrows():
            where = f"{row['label']} ({row['block']}, kept {content.percent(row['keep'], digits=0).text})"
            console.print(f"[red]FAILED {escape(where)}: {escape(' '.join(row['error'].split()))}[/]", highlight=False)
        for note in board.notes:
            console.print(f"[dim]{escape(note.replace('`', ''))}[/]", highlight=False)


def _brief(text: str) -> str:
    """Return the word FAILED for a failure; its reason, often long, stands below the table."""
    return "FAILED" if text.startswith("FAILED") else text

"""Tables in the terminal, and in files and pipes, where a width of 80 would cut words for nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 160


def console() -> Console:
    """Return a console as wide as the terminal, or wide where there is none and ``COLUMNS`` does not say."""
    from rich.console import Console

    found = Console(highlight=False)
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=_WIDE)


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), whole: Sequence[str] = ()
) -> None:
    """Print rows of plain text; columns in ``right`` are right-aligned, those in ``whole`` are not wrapped."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in right else "left"
        table.add_column(escape(heading), justify=justify, no_wrap=heading in whole, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)

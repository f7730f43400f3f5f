"""Advice in the terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports import _recommend_text as text
from reports._cells import NOTHING, absent, percent
from reports._recommend_entries import front
from reports._recommend_export import Export
from reports._recommend_limits import Quantity

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from reports._recommend import Advice

_LISTED = 12
"""Entries of the front."""
_LABEL = 11


def say(console: Console, told: str, style: str | None = None, hang: int = 0) -> None:
    """Print a text as it is, with further lines indented by ``hang``."""
    width = max(console.width, 40)
    lines = textwrap.wrap(told, width, subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False)
    for line in lines or [""]:
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def show_choice(found: Advice, known: Sequence[Quantity], written: Export, console: Console) -> None:
    """Print the artefact to ship, the runner-up, how sure that is, and how it is exported."""
    second = "none: nothing else fits" if found.second is None else found.table["title"].iloc[found.second]
    say(console, f"{'Ship':{_LABEL}}{found.shipped['title']}", "bold green", hang=_LABEL)
    say(console, f"{'Runner-up':{_LABEL}}{second}", hang=_LABEL)
    fit = f"{found.fitting} of {len(found.table)} entries fit"
    say(console, f"{'Chosen':{_LABEL}}{found.aim.sentence}; {fit}", hang=_LABEL)
    console.print()
    console.print(_beside(found, known))
    console.print()
    say(console, "How sure", "bold")
    for line in text.sure_lines(found, found.sureness):
        say(console, f"  {line}", hang=4)
    console.print()
    say(console, "Export", "bold")
    for line in text.export_lines(found.shipped, written):  # never wrapped: it is copied
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _table(headings: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _beside(found: Advice, known: Sequence[Quantity]) -> Table:
    """Return the table of the two entries, quantity by quantity."""
    from rich.markup import escape

    places = [place for place in (found.first, found.second) if place is not None]
    limits = {one.quantity.key: one.text for one in found.limits}
    table = _table(("", "limit", *("ship", "runner-up")[: len(places)]))
    for one in known:
        values = [text.value(found.table, place, one) for place in places]
        if one.key in limits or any(told != NOTHING for told in values):
            table.add_row(escape(one.title), limits.get(one.key, ""), *map(escape, values))
    return table


def show_nothing(found: Advice, console: Console) -> None:
    """Print that nothing fits, and what comes nearest."""
    many = f"all {len(found.limits)} limits" if len(found.limits) > 1 else "the limit"
    if not found.limits:  # all that was asked for is an order that nothing has a place in
        say(console, f"Nothing fits: none of {len(found.table)} entries was timed", "bold red")
        return
    near = found.table.iloc[found.nearest]
    say(console, f"Nothing fits {many}: none of {len(found.table)} entries", "bold red")
    say(console, f"{'Nearest':{_LABEL}}{near['title']}, cell {near['cell']}", hang=_LABEL)
    console.print()
    console.print(_misses(found))
    if needed := text.looser(found):
        console.print()
        say(console, needed)


def _misses(found: Advice) -> Table:
    """Return, limit by limit, how many entries meet it, the best there is, and by how much the nearest misses it."""
    from rich.markup import escape

    table = _table(("", "limit", "met by", "best of all", "nearest", "misses by"))
    for one, met in zip(found.limits, found.met, strict=True):
        asked = one.quantity
        best = text.best_of_all(asked, found.table)
        written = NOTHING if math.isnan(best) else percent(best).text if asked.about_error else asked.text(best)
        near = text.value(found.table, found.nearest, asked)
        over = text.missing(one, float(asked.values(found.table)[found.nearest]))
        table.add_row(*map(escape, (asked.title, one.text, str(int(met.sum())), written, near, over)))
    return table


def show_front(table: pd.DataFrame, known: Sequence[Quantity], console: Console) -> None:
    """Print the entries that none beats in error and size."""
    from rich.markup import escape

    best = front(table)
    title = f"No limit given: {len(best)} of {len(table)} entries are beaten by none in both error and size"
    say(console, title, "bold")
    console.print()
    shown = [one for one in known if one.key in ("error", "size", "macs", "speedup")]
    listed = _table(("", *(one.title for one in shown)))
    listed.columns[0].no_wrap, listed.columns[0].overflow = False, "fold"
    for place in range(min(len(best), _LISTED)):
        row = best.iloc[place]
        texts = [text.value(best, place, one) if one.about_error else _bare(row, one) for one in shown]
        listed.add_row(escape(row["title"]), *map(escape, texts))
    console.print(listed)
    if len(best) > _LISTED:
        say(console, f"and {len(best) - _LISTED} larger ones")
    console.print()
    flags = {one.key: one.flag for one in shown}
    say(console, f"Say what must hold: {flags['error']} 12, {flags['size']} 100, any mix of limits (--help).")


def _bare(row: pd.Series, one: Quantity) -> str:
    return NOTHING if absent(row[one.column]) else one.text(float(row[one.column]))

"""Markdown in which no text of a record can become markup: it cannot leave its line, its table cell, or be HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Sequence

_MARKUP = re.compile(  # begins with all signs that may be markup, so that a search is quick
    r"[|`*~\\\[\]_#+-](?:(?<=[|`*~\\])"
    r"|(?<=\])(?=\()|(?<=^\[)"  # a bracket is markup only in a link, before a definition or a box to tick
    r"|(?<=_)(?:(?<![^\W_]_)|(?![^\W_]))"  # an underscore inside a word is none
    r"|(?<=^[-+])(?=[\s-]|$)|(?<=^#)(?=#*(?:\s|$))|(?<=\s#)(?=#*$))"  # lists, rules and headings
)
_NUMBERED = re.compile(r"(\d+)([.)])(?=\s|$)")
_BAR = re.compile(r"(?<!\\)\|")  # in tables a bar ends the cell even inside code
_TICKS = re.compile("`+")


def flat(text: object) -> str:
    """Return a text on one line; white space and control characters become single spaces."""
    said = str(text)
    if not said.isprintable():
        said = "".join(sign if sign.isprintable() else " " for sign in said)
    return " ".join(said.split())


def plain(text: object) -> str:
    """Return a text that Markdown shows as it is: in a line or a table, as a heading, as an entry of a list."""
    said = _MARKUP.sub(r"\\\g<0>", flat(text))
    if number := _NUMBERED.match(said):
        said = f"{number[1]}\\{said[number.end(1) :]}"
    return html.escape(said, quote=False)


def code(text: object) -> str:
    """Return a text as code, inside a line or a table: nothing in it is markup."""
    inside = flat(text)
    longest = max(map(len, _TICKS.findall(inside)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{inside}{space}{fence}" if inside else ""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[int] = (0,)) -> str:
    """Return a table; the columns at ``words`` are left-aligned. What stands in it must be ``plain`` or ``code``."""
    ruler = ["---" if at in words else "---:" for at in range(len(headings))]
    whole = ([_BAR.sub(r"\|", cell) for cell in row] for row in (headings, ruler, *rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in whole)

"""Markdown read by a parser that is not ours, and a text that tries to leave its place."""

from __future__ import annotations

from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

HOSTILE = "a|b`c`` <script>alert(1)</script> ![x](http://e.x/y) [l](u)\n---\nlicense: mit\n```\n# no \u202e heading"


def tokens(text: str) -> list[Token]:
    """Return all tokens of a text, those inside of paragraphs and cells among them."""

    def flat(found: list[Token]) -> Iterator[Token]:
        for token in found:
            yield token
            yield from flat(token.children or [])

    return list(flat(MarkdownIt("commonmark").enable("table").parse(text)))


def kinds(text: str) -> set[str]:
    """Return the kinds of all tokens of a text."""
    return {token.type for token in tokens(text)}


def tables(text: str) -> list[list[int]]:
    """Return the number of cells of each row, for each table."""
    found: list[list[int]] = []
    for token in tokens(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append(0)
        elif token.type in ("td_open", "th_open"):
            found[-1][-1] += 1
    return found

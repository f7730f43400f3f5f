"""``benchmark.markdown``: whatever a text holds, a parser that is not ours shows it as it is."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmark.markdown import flat, plain
from tests.markdown import HOSTILE

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PLACES = {
    "a line": "before {} after",
    "a paragraph": "{}",
    "a heading": "## {}",
    "a list": "- {}",
    "a table": "| a | b |\n| --- | --- |\n| {} | end |",
    "bold": "| a | b |\n| --- | --- |\n| **{}** | end |",
}
AROUND = {"a line": "before {} after", "a table": "a b {} end", "bold": "a b {} end"}
TEXTS = st.text(st.sampled_from(list("ab1 _*`~|\\[](){}<>#+-.:!&;=^'\"\n\tअ")), min_size=1, max_size=14)


def shown(text: str) -> tuple[str, set[str]]:
    """Return what a reader sees, and the kinds of what is inside the lines."""
    inline = [token for token in PARSER.parse(text) if token.type == "inline"]
    inner = [child for token in inline for child in token.children or []]
    return " ".join("".join(c.content for c in token.children or []) for token in inline), {c.type for c in inner}


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=200, deadline=None)
@example(HOSTILE)
@example("__init__")
@example("a_b_ _c __d")
@example("\\|")
@example("1. x")
@example("--- #")
@example("[a]: b")
@given(TEXTS)
def test_a_plain_text_is_shown_as_it_is(place: str, text: str) -> None:
    expected = flat(text)
    if not expected:
        return
    seen, kinds = shown(PLACES[place].format(plain(text)))
    assert " ".join(seen.split()) == AROUND.get(place, "{}").format(expected)
    assert kinds <= {"text", "text_special", *(("strong_open", "strong_close") if place == "bold" else ())}


def test_what_is_no_markup_is_left_alone() -> None:
    for text in ("0.1 [0.0, 0.2]", "imp[after_prune=rewind]", "+1.0 [−0.2, +0.4]", "1.5 M", "#1", "-1"):
        assert plain(text) == text

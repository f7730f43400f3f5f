"""The normaliser russian: what every normaliser promises, and what is its own."""

from __future__ import annotations

import pytest

from benchmark.api import Judged
from benchmark.registry import REGISTRY
from benchmark.text.contract import check_normalizer, check_speed

NAME = "russian"
PLUGIN = REGISTRY.lookup("normalizer", NAME)
GOLDEN = ("«Ёлка» — из-за 10 000 огней, т. е. 2,5 %, ещё не всё!", "елка из за 10000 огней т е 2,5 % еще не все")
SAME = [("Ёж", "ёж"), ("й", "и\u0306"), ("12 500 книг.", "12\u00a0500 книг")]
DISTINCT = [("й", "и"), ("объект", "обект"), ("мел", "мель"), ("3,14", "314"), ("10:30", "1030"), ("5 10", "510")]


def test_it_keeps_the_contract() -> None:
    check_normalizer(NAME)
    check_speed(NAME)


def test_golden_text() -> None:
    """A change here is a change of behaviour: raise the normaliser's version."""
    text, normalised = GOLDEN
    assert PLUGIN()(text) == normalised


@pytest.mark.parametrize("pair", PLUGIN.judged_pairs(), ids=str)
def test_what_was_judged(pair: Judged) -> None:
    normalizer = PLUGIN()
    assert pair.verdict in ("equal", "distinct")
    assert (normalizer(pair.left) == normalizer(pair.right)) is (pair.verdict == "equal")


@pytest.mark.parametrize(("one", "other", "rule"), PLUGIN.variant_pairs())
def test_spellings_of_one_word_are_equal_by_their_rule_alone(one: str, other: str, rule: str) -> None:
    assert PLUGIN()(one) == PLUGIN()(other)
    off = PLUGIN(**{rule: False})
    assert off(one) != off(other)
    assert f"{rule}=off" in off.signature()


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_is_not_heard_is_folded(one: str, other: str) -> None:
    assert PLUGIN()(one) == PLUGIN()(other)


@pytest.mark.parametrize(("one", "other"), DISTINCT)
def test_what_tells_words_apart_stays(one: str, other: str) -> None:
    assert PLUGIN()(one) != PLUGIN()(other)

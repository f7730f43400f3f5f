"""The rules of all scripts, one by one, and the contract that catches what breaks one."""

from __future__ import annotations

import unicodedata
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.api import Normalizer
from benchmark.registry import REGISTRY
from benchmark.text import contract
from benchmark.text.common import (
    COMMON,
    abbreviations_rule,
    compose,
    digits_rule,
    normal_form,
    program,
    punctuation_rule,
    spaced_numbers_rule,
)
from benchmark.text.rules import RuleBased, TextRule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,000", "1000"),
        ("1,000,000", "1000000"),
        ("1,00,000", "100000"),
        ("1,2,3", "1,2,3"),
        ("1,000,00", "1,000,00"),
        ("1.000", "1.000"),
        ("१,०००", "1000"),
        ("٣٫١٤ ١٬٠٠٠", "3.14 1000"),
        ("1,0000", "1,0000"),
    ],
)
def test_digits_with_a_decimal_point(text: str, expected: str) -> None:
    assert digits_rule().apply(text) == expected


def test_digits_with_a_decimal_comma() -> None:
    rule = digits_rule(",", ".\u202f", pairs=False)
    assert rule.apply("1.000,5 m 1\u202f000 m 3,14 31.12.2024 12.10.450") == "1000,5 m 1000 m 3,14 31.12.2024 12.10.450"
    assert rule.apply("2024 1.000") == "2024 1000"
    assert rule.apply("2024 10\u202f000") == "2024 10\u202f000"  # no group of spaces after another number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.14", "3.14"),
        (".5", ".5"),
        ("(.5)", ".5"),
        ("end.5", "end 5"),
        ("5.", "5"),
        ("1.2.3", "1 2 3"),
        (".5.5", "5 5"),
        ("...5", "5"),
        ("u.s.a.", "usa"),
        ("e\u0301.u.", "e\u0301u"),
        ("है.मैं", "है मैं"),
        ("好.吧", "好 吧"),
        ("don't", "dont"),
        ("don''t", "dont"),
        ("don`t", "dont"),
        ("'quoted'", "quoted"),
        ("aʼb ʼa", "ab a"),
        ("hawaiʻi hawai'i ʻo", "hawaii hawaii o"),
        ("col·lecció a·b l··l", "collecció a b l l"),
        ("$5%", "$ 5 %"),
        ("$ 5 %", "$ 5 %"),
        ("=\u0338", ""),
    ],
)
def test_punctuation(text: str, expected: str) -> None:
    said = punctuation_rule().apply(text)
    assert " ".join(said.split()) == expected
    assert punctuation_rule().apply(said) == said


def test_an_apostrophe_may_part() -> None:
    assert punctuation_rule(apostrophe="parts").apply("l’homme") == "l homme"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10 000", "10000"),
        ("10 \u202f000 000", "10000000"),
        ("1 000,5", "1000,5"),
        ("1 000 5", "1 000 5"),
        ("12 34", "12 34"),
        ("mp3 000", "mp3 000"),
        ("0,500 000", "0,500 000"),
        ("1 0000", "1 0000"),
    ],
)
def test_numbers_grouped_by_spaces(text: str, expected: str) -> None:
    assert spaced_numbers_rule().apply(text) == expected


def test_abbreviations_join_only_as_whole_words() -> None:
    rule = abbreviations_rule("z b", "i d r")
    assert rule.apply("z b i  d r az b z bc") == "zb idr az b z bc"


@given(st.text(st.sampled_from("ae\u0301\u0316\u0323\u0345\u0f71\u0f72\u0f73\u0f80\u093c\u094d\u3099क"), max_size=120))
def test_the_quick_normal_form_is_the_normal_form(text: str) -> None:
    run = "\u0301\u0316\u0f73" * 20 + text  # a long run of marks, which is what it sorts itself
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normal_form(form, text) == unicodedata.normalize(form, text)
        assert normal_form(form, run) == unicodedata.normalize(form, run)


@given(st.text(st.sampled_from("éèñüßçğıİşœАйёςάᾼ가각 .,'-1()%"), max_size=30))
@pytest.mark.parametrize("name", ["default", "french", "german", "spanish", "turkish"])
def test_both_encodings_of_a_text_become_one(name: str, text: str) -> None:
    normalizer = REGISTRY.get("normalizer", name)
    assert normalizer(unicodedata.normalize("NFC", text)) == normalizer(unicodedata.normalize("NFD", text))


def test_ligatures_are_letters() -> None:
    assert compose("ﬁn oﬃce ﬅ") == "fin office st"


def test_program_puts_rules_into_their_order() -> None:
    own = TextRule("own", True, "own", ("a", "b"), str)
    digits = digits_rule(",", ".")
    rules = program(digits, own)
    assert [rule.name for rule in rules] == [*(rule.name for rule in COMMON[:-1]), "own", "whitespace"]
    assert digits in rules


# --- the contract -------------------------------------------------------------------------------------------------


class _Broken(Normalizer):
    """A normaliser that breaks its promise in one way, which a subclass chooses for itself."""

    name: ClassVar[str] = "_broken"

    def __call__(self, text: str) -> str:
        return text


class _Raises(_Broken):
    def __call__(self, text: str) -> str:
        return text.encode().decode()


class _Grows(_Broken):
    def __call__(self, text: str) -> str:
        return text + "a"


class _Forgets(_Broken):
    def __call__(self, text: str) -> str:
        return "".join(char for char in text if char.isascii())


class _Counts(_Broken):
    calls = 0

    def __call__(self, text: str) -> str:
        _Counts.calls += 1
        return f"{_Counts.calls}"


class _NoString(_Broken):
    def __call__(self, text: str) -> str:
        return None  # type: ignore[return-value]


class _Silent(_Broken):
    def __call__(self, text: str) -> str:
        return "a" if any(map(str.isalnum, text)) else ""


class _Squares(_Broken):
    def __call__(self, text: str) -> str:
        return text if not any(text.count(text[place : place + 9]) < 0 for place in range(0, len(text), 4)) else ""


def _shout(text: str) -> str:
    return text.upper()


class _WrongExample(RuleBased):
    """A normaliser whose rule does not do what its example says, and nothing else."""

    name: ClassVar[str] = "_broken"
    program: ClassVar[tuple[TextRule, ...]] = (TextRule("case", True, "upper case", ("a", "B"), _shout),)


class _IdleExample(RuleBased):
    """A normaliser whose rule of judgement has an example that shows nothing at all."""

    name: ClassVar[str] = "_broken"
    program: ClassVar[tuple[TextRule, ...]] = (TextRule("case", True, "upper case", ("A", "A"), _shout, judged=True),)


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (_Raises, "raises UnicodeEncodeError"),
        (_Grows, "no fixed point"),
        (_Forgets, "nothing is left of"),
        (_Counts, "say different things of"),
        (_NoString, "returns NoneType"),
        (_Silent, "become the same"),
        (_WrongExample, "rule case makes 'a' and 'B' equal, it says"),
        (_IdleExample, "rule case does nothing to its examples"),
    ],
)
def test_the_contract_says_what_is_broken(monkeypatch: pytest.MonkeyPatch, plugin: type[Normalizer], said: str) -> None:
    REGISTRY.names("normalizer")
    monkeypatch.setitem(REGISTRY._plugins["normalizer"], "_broken", plugin)
    with pytest.raises(AssertionError, match=said):
        contract.check_texts("_broken")
        contract.check_rules("_broken")


def test_the_contract_sees_time_that_grows_with_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    REGISTRY.names("normalizer")
    monkeypatch.setitem(REGISTRY._plugins["normalizer"], "_broken", _Squares)
    with pytest.raises(AssertionError, match="more than 3 times"):
        contract.check_speed("_broken")

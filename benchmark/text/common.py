"""Rules that many languages share, ready to stand in a normaliser's program, and what they are built from. No torch.

Classes of characters come from Unicode properties (``unicodedata`` and the ``regex`` package), never from tables of
ours. The order in which the rules are meant to run, because then the result is a fixed point: joiners, case, digits,
punctuation, unicode, rules of the language, whitespace. ``program`` puts a language's own rules into that order.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

import regex

from benchmark.text.rules import TextRule

Decimal = Literal[".", ","]

SPOKEN = "%&+\u00b0\u00b1\u00d7\u00f7\u2030"
"""Signs that are read out, as signs of money are: percent, and, plus, degree, plus-minus, times, by, per mille."""

# --- display ------------------------------------------------------------------------------------------------------

# What steers the display and is not read: zero-width joiners and spaces, bidi marks, soft hyphens, variation selectors,
# tags, and what encloses the character before it (keycaps).
_DISPLAY = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Me}]")
_WIDE = re.compile("[\uff01-\uff5e\uffe0-\uffe6]")
_HALF = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | dict(
    zip(range(0xFFE0, 0xFFE7), "\u00a2\u00a3\u00ac\u00af\u00a6\u00a5\u20a9", strict=True)
)
# Ligatures that fonts make and that text from PDF files holds as characters: Latin and Armenian.
_LIGATURE = re.compile("[\ufb00-\ufb06\ufb13-\ufb17]")
_LETTERS_OF = {
    code: unicodedata.normalize("NFKC", chr(code)) for code in (*range(0xFB00, 0xFB07), *range(0xFB13, 0xFB18))
}

_MANY_MARKS = regex.compile(r"\p{M}{32,}+")


def drop_joiners(text: str) -> str:
    """Remove characters that only steer the display."""
    return str(_DISPLAY.sub("", text))


def fold_case(text: str) -> str:
    """Full width to half width, then lower case."""
    if _WIDE.search(text):
        text = text.translate(_HALF)
    return text.lower()


def normal_form(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
    """Return what ``unicodedata.normalize`` does, in a time that grows as the text does.

    That one sorts marks that follow each other by insertion, so a long run of them would take the square of its length.
    """
    return unicodedata.normalize(form, text if text.isascii() else _MANY_MARKS.sub(_in_order, text))


def _in_order(match: regex.Match[str]) -> str:
    """Sort a run of marks into canonical order, as a normal form does; marks of class 0 stay where they are."""
    run = "".join(unicodedata.normalize("NFD", mark) for mark in match.group())
    parts = itertools.groupby(run, lambda mark: unicodedata.combining(mark) > 0)
    return "".join("".join(sorted(part, key=unicodedata.combining) if moves else part) for moves, part in parts)


def compose(text: str) -> str:
    """Return the canonical composition, NFC, with ligatures (fi, ffl) as their letters."""
    if _LIGATURE.search(text):
        text = text.translate(_LETTERS_OF)
    return normal_form("NFC", text)


def squeeze_spaces(text: str) -> str:
    """Make every run of Unicode white space one space; none at the ends."""
    return " ".join(text.split())


# --- numbers ------------------------------------------------------------------------------------------------------

_OTHER_DIGIT = regex.compile(r"[\p{Nd}--[0-9]]", flags=regex.V1)


def ascii_digits(text: str) -> str:
    """Write the decimal digits of every script in ASCII."""
    return str(_OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match.group(), match.group())), text))


_ARABIC_SIGN = re.compile(r"(?<=\d)[\u066b\u066c](?=\d)")


def _grouped(groups: str, decimal: Decimal, pairs: bool) -> re.Pattern[str]:
    """Match a whole number in groups.

    Spaces look alike to readers and to the rules that follow, so what stands beside a number counts as a space of any
    kind does: a number in groups of spaces stands beside no other number, any other one may.
    """
    spaces = "".join(filter(str.isspace, groups))
    others = "".join(char for char in groups if char not in spaces)
    before, after = rf"(?<!\d)(?<!\d[{re.escape(others + decimal)}])", r"(?!\d)"
    kinds = []
    if others:
        sign = f"[{re.escape(others)}]"
        after += rf"(?!{sign}\d)"
        indian = rf"|[0-9]{{1,2}}(?P<pair>{sign})(?:[0-9]{{2}}(?P=pair))+[0-9]{{3}}" if pairs else ""
        kinds.append(rf"(?:[0-9]{{1,3}}(?P<sign>{sign})[0-9]{{3}}(?:(?P=sign)[0-9]{{3}})*{indian}){after}")
    if spaces:
        space = f"[{re.escape(spaces)}]"
        kinds.append(rf"(?<!\d\s)[0-9]{{1,3}}(?P<space>{space})[0-9]{{3}}(?:(?P=space)[0-9]{{3}})*{after}(?!\s\d)")
    return re.compile(rf"{before}(?:{'|'.join(kinds)})")


def digits_rule(decimal: Decimal = ".", groups: str = ",", pairs: bool = True) -> TextRule:
    """Return the rule ``digits``: all scripts in ASCII, and numbers without what groups their digits.

    Only whole groups count (1,000 and 1,00,000, not 1,2,3), and a colon or a stop between digits that is no decimal
    sign becomes a space by ``punctuation``, so that 10:30 is not 1030. Arabic's own decimal and group signs become
    those of the language.

    Args:
        decimal: the decimal sign, which stays.
        groups: characters that group digits by threes.
        pairs: whether groups of two may stand before the last three digits, as in India.
    """
    grouped = _grouped(groups, decimal, pairs)
    drop = str.maketrans("", "", groups)
    signs = {"\u066b": decimal, "\u066c": groups[0]}

    def apply(text: str) -> str:
        text = _ARABIC_SIGN.sub(lambda match: signs[match.group()], ascii_digits(text))
        return grouped.sub(lambda match: match.group().translate(drop), text)

    example = f"1{groups[0]}000{decimal}5"
    what = "digits of every script in ASCII, numbers without grouping: one number"
    return TextRule("digits", True, what, (example, f"1000{decimal}5"), apply)


# Runs after punctuation, because punctuation leaves spaces; not a piece of a longer list of numbers, nor of a word.
_SPACED = regex.compile(r"(?<![\p{L}\p{M}\p{N}.,]|\p{N}\s*)[0-9]{1,3}(?:\s++[0-9]{3})++(?!\s*\p{N})")
_SPACE = re.compile(r"\s+")


def spaced_numbers_rule(default: bool = True) -> TextRule:
    """Return the rule ``spaced_numbers``: digits grouped by spaces (10 000) are one number.

    The space may be of any kind, since readers cannot see which. Two numbers that stand side by side and look like
    groups (12, 100) become one as well, so this is a judgement, for languages that group by spaces.
    """
    return TextRule(
        "spaced_numbers", default, "digits grouped by spaces are one number: all kinds of space look alike",
        ("10 000", "10000"),
        lambda text: str(_SPACED.sub(lambda match: _SPACE.sub("", match.group()), text)), judged=True,
    )  # fmt: skip


# --- punctuation --------------------------------------------------------------------------------------------------

_PART = r"[\p{L}\p{M}\p{N}]"
# A single letter: with marks where there is case (é), else without, because one akshara can be a word that ends a
# sentence; none of scripts in which one character is a word.
_LETTER = r"(?:\p{LC}\p{M}*+|[\p{Lo}--\p{Han}--\p{Hangul}--\p{Hiragana}--\p{Katakana}](?!\p{M}))"
_INITIALS = regex.compile(rf"(?<!{_PART}){_LETTER}(?:\.{_LETTER})+(?!{_PART})", flags=regex.V1)
# All that is typed as an apostrophe, accents that stand alone too, and marks that are written inside a word: Armenian
# apostrophe, emphasis, exclamation and question; Hebrew geresh and gershayim. U+02BB (Hawaiian, Uzbek) and U+02BC count
# as letters in Unicode.
_LETTER_LIKE = "\u02bb\u02bc"
_APOSTROPHE = regex.compile(
    rf"(?<=[\p{{L}}\p{{M}}\p{{N}}--[{_LETTER_LIKE}]])"
    rf"['`\u00b4\u2018\u2019{_LETTER_LIKE}\uff07\u055a-\u055c\u055e\u05f3\u05f4]++(?=[\p{{L}}--[{_LETTER_LIKE}]])",
    flags=regex.V1,
)
_GEMINATE = re.compile("(?<=[lL])\u00b7(?=[lL])")  # Catalan's long l, one word: col·lecció
# Burmese words that Unicode counts among punctuation: locative, completed, aforementioned, genitive.
_WORDS = "\u104c-\u104f"
# What may stand before a number that begins with its decimal sign.
_BEFORE = rf"\s\d\p{{Ps}}\p{{Pi}}\p{{Pd}}\p{{Sc}}\p{{Sm}}{re.escape(SPOKEN)}"


def punctuation_rule(
    decimal: Decimal = ".", apostrophe: Literal["joins", "parts"] = "joins", keep: str = ""
) -> TextRule:
    """Return the rule ``punctuation``: marks and symbols to spaces, with what is combined with them.

    Stays: the decimal sign inside a number (and a point before one, .5), signs that are read out (as words of their
    own), and ``keep``. A stop between single letters goes (u.s.a. = usa).

    Args:
        decimal: the decimal sign.
        apostrophe: inside a word it either goes (don't = dont) or parts the word (l'homme = l homme).
        keep: further characters that stay.
    """
    spoken = rf"[\p{{Sc}}{re.escape(SPOKEN)}]"
    alone = regex.compile(rf"(?<=\S)(?={spoken})|(?<={spoken})(?=\S)")
    stays = rf"[{re.escape(SPOKEN + keep + decimal)}{_WORDS}]"
    marks = regex.compile(rf"[[\p{{P}}\p{{S}}{_LETTER_LIKE}]--[\p{{Sc}}]--{stays}]\p{{M}}*+", flags=regex.V1)
    sign = re.escape(decimal)
    lonely = regex.compile(rf"{sign}(?!\d)|" + (rf"(?<=[^{_BEFORE}]){sign}" if decimal == "." else rf"(?<!\d){sign}"))
    chain = re.compile(rf"(?<![\d{sign}])(?:{sign}\d++{sign}\d++|\d++{sign}\d++{sign}\d++)(?:{sign}\d++)*+")
    inside = "" if apostrophe == "joins" else " "

    def apply(text: str) -> str:
        if "." in text:
            text = _INITIALS.sub(lambda match: match.group().replace(".", ""), text)
        text = _GEMINATE.sub("", _APOSTROPHE.sub(inside, text))
        if decimal in text:
            text = lonely.sub(" ", text)
        text = marks.sub(" ", text)
        if decimal in text:
            text = chain.sub(lambda match: match.group().replace(decimal, " "), text)
        return str(alone.sub(" ", text))

    what = f"punctuation to a space, initials join, an apostrophe {apostrophe}: not spoken"
    example = ("l'air", "l air") if apostrophe == "parts" else ("well, u.s.a.", "well usa")
    return TextRule("punctuation", True, what, example, apply)


def abbreviations_rule(*spaced: str) -> TextRule:
    """Return the rule ``abbreviations``: listed ones with a space between their letters (z. B.) join as without (z.B.).

    Args:
        spaced: the abbreviations as ``punctuation`` leaves them, e.g. ``"z b"``; the first is the example.
    """
    longest_first = sorted(spaced, key=len, reverse=True)
    either = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest_first)
    pattern = re.compile(rf"(?<!\S)(?:{either})(?!\S)")
    first = spaced[0].split()
    return TextRule(
        "abbreviations", True, "listed abbreviations join, with a space after each stop or without: both are written",
        (". ".join(first) + ".", "".join(first)),
        lambda text: pattern.sub(lambda match: _SPACE.sub("", match.group()), text), judged=True,
    )  # fmt: skip


# --- the rules ----------------------------------------------------------------------------------------------------

JOINERS = TextRule(
    "joiners", True, "joiners, soft hyphens, bidi marks go: display only", ("co\u00adop", "coop"), drop_joiners
)
CASE = TextRule("case", True, "lower case, full width to half width: not spoken", ("Ｎew", "new"), fold_case)
DIGITS = digits_rule()
PUNCTUATION = punctuation_rule()
UNICODE = TextRule(
    "unicode", True, "canonical composition, no ligatures: one character, two encodings", ("e\u0301", "é"), compose
)
WHITESPACE = TextRule(
    "whitespace", True, "every run of white space to one space, none at the ends: not spoken",
    (" a\u00a0 b ", "a b"), squeeze_spaces,
)  # fmt: skip
COMMON = (JOINERS, CASE, DIGITS, PUNCTUATION, UNICODE, WHITESPACE)


def program(*rules: TextRule, first: Iterable[TextRule] = ()) -> tuple[TextRule, ...]:
    """Return ``COMMON`` with a language's own rules in it.

    A rule with the name of a common one takes its place; ``first`` comes before all others (encodings that need their
    joiners); every other rule comes after ``unicode`` and before ``whitespace``.
    """
    own = {rule.name: rule for rule in rules}
    common = [own.pop(rule.name, rule) for rule in COMMON]
    return (*first, *common[:-1], *own.values(), common[-1])


# --- classes of characters ----------------------------------------------------------------------------------------

# Blocks in which Unicode has put punctuation and symbols so far; looking at all code points would take 0.1 s.
_MARKED_BLOCKS = (range(0x20, 0x3400), range(0xA000, 0xAC00), range(0xF900, 0x20000))


def members(*categories: str) -> frozenset[str]:
    """Return the characters whose Unicode category starts with one of ``categories`` (in the blocks of marks)."""
    chars = (chr(code) for block in _MARKED_BLOCKS for code in block)
    return frozenset(char for char in chars if unicodedata.category(char).startswith(categories))


def char_class(chars: Iterable[str]) -> str:
    """Return a regular-expression class of ``chars``, written as ranges."""
    runs: list[list[int]] = []
    for code in sorted(map(ord, chars)):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "[" + "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in runs) + "]"

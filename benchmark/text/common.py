"""Rules that many languages share, ready to stand in a normaliser's program, and what they are built from. No torch.

Classes of characters come from Unicode properties (``unicodedata`` and the ``regex`` package), never from tables of
ours. The order in which the rules are meant to run, because then the result is a fixed point: joiners, case, digits,
punctuation, unicode, rules of the language, whitespace. ``program`` puts a language's own rules into that order.
"""

from __future__ import annotations

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


def drop_joiners(text: str) -> str:
    """Remove characters that only steer the display."""
    return str(_DISPLAY.sub("", text))


def fold_case(text: str) -> str:
    """Full width to half width, then lower case."""
    if _WIDE.search(text):
        text = text.translate(_HALF)
    return text.lower()


def compose(text: str) -> str:
    """Return the canonical composition, NFC."""
    return unicodedata.normalize("NFC", text)


def squeeze_spaces(text: str) -> str:
    """Make every run of Unicode white space one space; none at the ends."""
    return " ".join(text.split())


# --- numbers ------------------------------------------------------------------------------------------------------

_OTHER_DIGIT = regex.compile(r"[\p{Nd}--[0-9]]", flags=regex.V1)


def ascii_digits(text: str) -> str:
    """Write the decimal digits of every script in ASCII."""
    return str(_OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match.group(), match.group())), text))


def digits_rule(decimal: Decimal = ".", groups: str = ",") -> TextRule:
    """Return the rule ``digits``: all scripts in ASCII, and numbers without what groups their digits.

    Only whole groups count (1,000 and 1,00,000, not 1,2,3), and a colon or a stop between digits that is no decimal
    sign becomes a space by ``punctuation``, so that 10:30 is not 1030.

    Args:
        decimal: the decimal sign, which stays.
        groups: characters that group digits by threads of three (and by two before them, as in India).
    """
    sign = f"[{re.escape(groups)}]"
    either = f"[{re.escape(groups + decimal)}]"
    grouped = re.compile(
        rf"(?<!\d)(?<!\d{either})"
        rf"(?:[0-9]{{1,3}}(?:({sign})[0-9]{{3}})(?:\1[0-9]{{3}})*|[0-9]{{1,2}}(?:({sign})[0-9]{{2}})(?:\2[0-9]{{2}})*\2[0-9]{{3}})"
        rf"(?!\d)(?!{sign}\d)"
    )
    drop = str.maketrans("", "", groups)

    def apply(text: str) -> str:
        text = ascii_digits(text)
        return grouped.sub(lambda match: match.group().translate(drop), text)

    example = f"1{groups[0]}000{decimal}5"
    what = "digits of every script in ASCII, numbers without grouping: one number"
    return TextRule("digits", True, what, (example, f"1000{decimal}5"), apply)


# --- punctuation --------------------------------------------------------------------------------------------------

_PART = r"[\p{L}\p{M}\p{N}]"
_INITIALS = regex.compile(rf"(?<!{_PART})\p{{L&}}(?:\.\p{{L&}})+(?!{_PART})")
_APOSTROPHE = regex.compile(rf"(?<={_PART})['\u2018\u2019\u02bc\uff07](?=\p{{L}})")


def punctuation_rule(
    decimal: Decimal = ".", apostrophe: Literal["joins", "parts"] = "joins", keep: str = ""
) -> TextRule:
    """Return the rule ``punctuation``: marks and symbols to spaces.

    Stays: the decimal sign inside a number, signs that are read out (as words of their own), and ``keep``. A stop
    between single letters goes (u.s.a. = usa).

    Args:
        decimal: the decimal sign.
        apostrophe: inside a word it either goes (don't = dont) or parts the word (l'homme = l homme).
        keep: further characters that stay.
    """
    spoken = regex.compile(rf"[\p{{Sc}}{re.escape(SPOKEN)}]")
    marks = regex.compile(
        rf"[[\p{{P}}\p{{S}}]--[\p{{Sc}}]--[{re.escape(SPOKEN + keep)}]--[{re.escape(decimal)}]]", flags=regex.V1
    )
    sign = re.escape(decimal)
    lonely = re.compile(rf"{sign}(?!\d)|(?<!\d){sign}")
    chain = re.compile(rf"\d+(?:{sign}\d+){{2,}}")
    inside = "" if apostrophe == "joins" else " "

    def apply(text: str) -> str:
        if "." in text:
            text = _INITIALS.sub(lambda match: match.group().replace(".", ""), text)
        text = marks.sub(" ", _APOSTROPHE.sub(inside, text))
        if decimal in text:
            text = chain.sub(lambda match: match.group().replace(decimal, " "), lonely.sub(" ", text))
        return str(spoken.sub(r" \g<0> ", text))

    what = f"punctuation to a space, initials join, an apostrophe {apostrophe}: not spoken"
    example = ("l'air", "l air") if apostrophe == "parts" else ("well, u.s.a.", "well usa")
    return TextRule("punctuation", True, what, example, apply)


# --- the rules ----------------------------------------------------------------------------------------------------

JOINERS = TextRule(
    "joiners", True, "joiners, soft hyphens, bidi marks go: display only", ("co\u00adop", "coop"), drop_joiners
)
CASE = TextRule("case", True, "lower case, full width to half width: not spoken", ("Ｎew", "new"), fold_case)
DIGITS = digits_rule()
PUNCTUATION = punctuation_rule()
UNICODE = TextRule("unicode", True, "canonical composition: one character, two encodings", ("e\u0301", "é"), compose)
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

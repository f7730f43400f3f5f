"""Thai: signs in their order, no spaces that part no words; the unit is the character."""

from __future__ import annotations

import re
from typing import ClassVar

import regex

from benchmark.api import Unit
from benchmark.registry import REGISTRY
from benchmark.text.common import UNICODE, compose, program
from benchmark.text.rules import RuleBased, TextRule

_TONE = "[\u0e47-\u0e4e]"
_ABOVE_BELOW = "[\u0e31\u0e34-\u0e3a]"
_TONE_FIRST = re.compile(f"({_TONE}+)({_ABOVE_BELOW}+)")
_SARA_AM = re.compile("\u0e4d([\u0e48-\u0e4b]*)\u0e32")
_NIKHAHIT_FIRST = re.compile("\u0e4d([\u0e48-\u0e4b]+)(?!\u0e32)")
_REPEATED = re.compile(r"([\u0e31\u0e34-\u0e3a\u0e47-\u0e4e])\1+")
_SPACE = regex.compile(r"(?<=\p{Thai})\s++|(?<!\s)\s++(?=\p{Thai})")


def encodings(text: str) -> str:
    """Bring signs into their order (vowel before tone) and vowels typed in two pieces to one; repeated until stable."""
    before = None
    while text != before:
        before = text
        text = compose(text).replace("\u0e40\u0e40", "\u0e41")  # two e are the picture of ae
        text = _TONE_FIRST.sub(r"\2\1", text)
        text = _SARA_AM.sub("\\1\u0e33", text)  # nikhahit and aa are the picture of am
        text = _REPEATED.sub(r"\1", text)
    return text


def spaces(text: str) -> str:
    """Remove spaces beside Thai letters: they part phrases, not words, and nobody speaks them."""
    return str(_SPACE.sub("", text))


@REGISTRY.register("normalizer", "thai")
class Thai(RuleBased):
    """Thai text for character error rates: Thai puts no spaces between words, so characters are counted.

    Folds: Thai digits, case of Latin words, punctuation, spaces beside Thai letters (they part phrases), and encodings
    that look the same: tone before vowel, nikhahit + aa for am, two e for ae, repeated signs.
    Keeps: every letter, vowel and tone; the sign of repetition ๆ and of abbreviation ฯ, which are read.
    Source: own rules after the Unicode Standard, chapter 16.1.
    """

    languages: ClassVar[tuple[str, ...]] = ("th",)
    unit: ClassVar[Unit] = "char"
    program: ClassVar[tuple[TextRule, ...]] = program(
        TextRule(
            "unicode", UNICODE.default, "signs in their order, vowels in one piece, nothing twice: encodings",
            ("น\u0e49\u0e4d\u0e32", "น\u0e49\u0e33"), encodings,
        ),
        TextRule("spaces", True, "no spaces beside Thai letters: they part no words", ("ต่าง ๆ กัน", "ต่างๆกัน"), spaces),
    )  # fmt: skip

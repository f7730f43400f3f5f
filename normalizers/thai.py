"""Thai: signs in their order, no spaces that part no words; the unit is the character, or the word of a segmenter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

import regex

from benchmark.api import Unit
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.text.common import CASE, DIGITS, JOINERS, PUNCTUATION, UNICODE, WHITESPACE, compose, normal_form
from benchmark.text.rules import RuleBased, TextRule

_TONE = "[\u0e48-\u0e4b]"
_TWO_E = re.compile("\u0e40\u0e40")  # the picture of ae
_LATE_VOWEL = re.compile("([\u0e47-\u0e4e]+)([\u0e31\u0e34-\u0e3a]+)")
_SARA_AM = re.compile(f"\u0e4d({_TONE}*)\u0e32")  # nikhahit and aa are the picture of am
_LATE_TONE = re.compile(f"([\u0e30\u0e32\u0e33\u0e45]+)({_TONE}+)")
# The long sign of aa belongs to ru and lu alone (ฤๅ); elsewhere it is aa.
_LONG_SIGN = re.compile("(?<![\u0e24\u0e26])\u0e45")
_REPEATED = re.compile("([\u0e31\u0e34-\u0e3a\u0e47-\u0e4e])\\1+")
_BESIDE = regex.compile(r"[\p{Thai}\p{M}\s]++")
_THAI = regex.compile(r"\p{Thai}")
_POINT = re.compile(r"\.\d")
_RUN = regex.compile(r"\p{Thai}++")


def encodings(text: str) -> str:
    """Bring signs into their order and vowels typed in two pieces to one; repeated until stable."""
    before, text = None, compose(text)
    while text != before:
        before = text
        text = _TWO_E.sub("\u0e41", text)
        text = _LATE_VOWEL.sub(r"\2\1", text)
        text = _SARA_AM.sub("\\1\u0e33", text)
        text = _LATE_TONE.sub(r"\2\1", text)
        text = _LONG_SIGN.sub("\u0e32", text)
        text = normal_form("NFC", _REPEATED.sub(r"\1", text))
    return text


def spaces(text: str) -> str:
    """Remove spaces beside Thai letters: they part phrases, not words, and nobody speaks them.

    A space before a number that begins with its point (.5) stays, else that point would be a stop.
    """
    return str(_BESIDE.sub(_joined, text))


def _joined(match: regex.Match[str]) -> str:
    run: str = match.group()
    if not _THAI.search(run):
        return run
    point = run[-1].isspace() and _POINT.match(match.string, match.end())
    return "".join(run.split()) + (" " if point else "")


def segment(text: str) -> str:
    """Put a space between the words that PyThaiNLP's newmm finds; what is not Thai stays as it is."""
    words = segmenter()
    joined = spaces(text)
    if joined != text:  # the rule of spaces is off: signs that were apart may form one letter now
        joined = encodings(joined)
    return str(_RUN.sub(lambda match: f" {' '.join(words(match.group()))} ", joined))


def segmenter() -> Callable[[str], list[str]]:
    """Return the function that cuts Thai text into words.

    Raises:
        SpecError: the library is not installed.
    """
    try:
        from pythainlp.tokenize.newmm import segment as newmm
    except ImportError:
        raise SpecError(
            "options of 'thai': segment needs the package pythainlp: pip install prunebench[thai]"
        ) from None
    words: Callable[[str], list[str]] = newmm
    return words


@REGISTRY.register("normalizer", "thai")
class Thai(RuleBased):
    """Thai text for character error rates: Thai puts no spaces between words, so characters are counted.

    Folds: Thai digits, case of Latin words, punctuation, spaces beside Thai letters (they part phrases), and encodings
    that look the same: tone before or after its vowel, nikhahit + aa for am, two e for ae, repeated signs.
    Keeps: every letter, vowel and tone; the signs of repetition ๆ and of abbreviation ฯ as they are written, because
    only a segmenter could say what ๆ repeats.
    With ``segment`` words are counted, as PyThaiNLP's dictionary (extra ``thai``) cuts the text without its spaces; an
    error inside a word can move the cuts beside it, so such rates compare only under one version of that library.
    Source: own rules after the Unicode Standard, chapter 16.1, and the order of signs of WTT 2.0 (TIS 620).
    """

    languages: ClassVar[tuple[str, ...]] = ("th",)
    unit: ClassVar[Unit] = "char"
    program: ClassVar[tuple[TextRule, ...]] = (
        JOINERS,
        CASE,
        DIGITS,
        PUNCTUATION,
        TextRule("spaces", True, "no spaces beside Thai letters: they part no words", ("ต่าง ๆ กัน", "ต่างๆกัน"), spaces),
        TextRule(  # after spaces, because signs that were apart are now in one run
            "unicode", UNICODE.default, "signs in their order, vowels in one piece, nothing twice: encodings",
            ("น\u0e49\u0e4d\u0e32", "น\u0e49\u0e33"), encodings,
        ),
        TextRule(
            "segment", False, "spaces between words by a library, and words as the unit: a choice of task",
            ("ผมรักคุณ", "ผม รัก คุณ"), segment,
        ),
        WHITESPACE,
    )  # fmt: skip

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        if getattr(self.config, "segment", False):
            segmenter()  # a missing library is an error now, not at the first text
            self.unit = "word"  # type: ignore[misc]  # of this instance; the class says what holds without options

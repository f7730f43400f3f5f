"""Thai: signs in their order, no spaces that part no words; the unit is the character, or the word of a segmenter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import ClassVar

import regex

from benchmark.api import Unit
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.text.common import CASE, DIGITS, JOINERS, PUNCTUATION, UNICODE, WHITESPACE, compose, normal_form
from benchmark.text.rules import RuleBased, TextRule

_TWO_E = re.compile("\u0e40\u0e40")  # the picture of ae
# Signs above and below, and the vowels that follow a letter: a, aa, am, the long sign of aa.
_SIGNS = regex.compile(r"[\p{M}\u0e30\u0e32\u0e33\u0e45]{2,}+|\u0e45")
_ABOVE_BELOW = frozenset("\u0e31\u0e34\u0e35\u0e36\u0e37\u0e38\u0e39\u0e3a")
_OVER_THEM = frozenset("\u0e47\u0e48\u0e49\u0e4a\u0e4b\u0e4c\u0e4d\u0e4e")
_THAI_SIGNS = _ABOVE_BELOW | _OVER_THEM
_FOLLOWING = frozenset("\u0e30\u0e32\u0e33\u0e45")
_AA, _AM, _LONG, _NIKHAHIT = "\u0e32", "\u0e33", "\u0e45", "\u0e4d"
_BESIDE = regex.compile(r"[\p{Thai}\p{M}\s]++")
_THAI = regex.compile(r"\p{Thai}")
_POINT = re.compile(r"\.\d")
_RUN = regex.compile(r"[\p{Thai}--\p{Nd}]++", flags=regex.V1)


def encodings(text: str) -> str:
    """Bring signs into their order, each once, and vowels typed in two pieces to one."""
    return normal_form("NFC", str(_SIGNS.sub(_in_order, _TWO_E.sub("\u0e41", compose(text)))))


def _in_order(match: regex.Match[str]) -> str:
    """Order a run of signs: vowels above and below, what stands over them, other scripts' marks, vowels that follow.

    All at once and not by swapping neighbours, which would take the square of the run's length.
    """
    signs = match.group()
    below = sorted(_ABOVE_BELOW.intersection(signs), key=_canonical)
    over = sorted(_OVER_THEM.intersection(signs), key=_canonical)
    others = [sign for sign in signs if unicodedata.category(sign)[0] == "M" and sign not in _THAI_SIGNS]
    after = [sign for sign in signs if sign in _FOLLOWING]
    # The long sign of aa belongs to ru and lu alone (ฤๅ); after other letters it is aa.
    letter = match.string[max(match.start() - 1, 0) : match.start()]
    keeps_long = after[:1] == [_LONG] and (letter in "ฤฦ" or not _THAI.match(letter))
    after = [_LONG if keeps_long and place == 0 else _AA if sign == _LONG else sign for place, sign in enumerate(after)]
    if after[:1] == [_AA] and _NIKHAHIT in over:  # together the picture of am
        over.remove(_NIKHAHIT)
        after[0] = _AM
    return "".join((*below, *over, *others, *after))


def _canonical(sign: str) -> tuple[int, str]:
    return unicodedata.combining(sign), sign


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

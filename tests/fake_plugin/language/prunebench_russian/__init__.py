"""Russian: ё and е, the decimal comma, numbers grouped by spaces."""

from __future__ import annotations

from functools import cache
from typing import ClassVar
from unicodedata import normalize

from benchmark.api import Judged
from benchmark.registry import REGISTRY
from benchmark.text.common import ascii_digits, program, punctuation_rule, spaced_numbers_rule
from benchmark.text.rules import RuleBased, TextRule, table

HOME = "prunebench_russian"


@cache
def _kept() -> frozenset[str]:
    return frozenset(row["spelling"] for row in table(HOME, "russian_yo.tsv"))


def yo(word: str) -> str:
    """Write ё as е, as most print does, but in words that would be read as others."""
    return word if word in _kept() else normalize("NFC", word.replace("ё", "е"))  # a breve may have stood on it


DIGITS = TextRule("digits", True, "digits of every script in ASCII: one number", ("١٢", "12"), ascii_digits)
YO = TextRule("yo", True, "ё to е, but for listed words: print has no dots", ("ещё", "еще"), yo, "word", judged=True)


@REGISTRY.register("normalizer", "russian")
class Russian(RuleBased):
    """Russian text for word error rates: ё is е but for listed words, 10 000 is 10000, the comma is decimal.

    Folds: what is folded in every script, ё to е (ещё = еще, and also всё = все, which print tells apart by the
    sentence alone), digits grouped by spaces.
    Keeps: ё where е would be read as another word (нёбо / небо, мёл / мел), й, ъ and ь, the decimal comma.
    Source: own rules after the Rules of Russian Orthography of 1956, paragraph 10, which asks for ё only where a word
    would be read wrongly.
    """

    languages: ClassVar[tuple[str, ...]] = ("ru",)
    program: ClassVar[tuple[TextRule, ...]] = program(DIGITS, punctuation_rule(decimal=","), YO, spaced_numbers_rule())

    @classmethod
    def judged_pairs(cls) -> tuple[Judged, ...]:
        """Pairs that a reader of Russian has judged."""
        return tuple(Judged(**row) for row in table(HOME, "russian_judged.tsv"))

    @classmethod
    def variant_pairs(cls) -> tuple[tuple[str, str, str], ...]:
        """Spellings of one word or number."""
        return tuple((row["left"], row["right"], row["rule"]) for row in table(HOME, "russian_variants.tsv"))

"""German: sharp s and double s, words with two spellings, the decimal comma."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

from benchmark.registry import REGISTRY
from benchmark.text.common import (
    abbreviations_rule,
    compose,
    digits_rule,
    program,
    punctuation_rule,
    spaced_numbers_rule,
)
from benchmark.text.rules import RuleBased, TextRule, table


@cache
def _pairs() -> frozenset[str]:
    return frozenset(row["word"] for row in table("normalizers", "german_eszett_pairs.tsv"))


def eszett(word: str) -> str:
    """Write ß as ss, but in words that only it tells from another."""
    return word if word in _pairs() else compose(word.replace("ß", "ss"))


@cache
def _variants() -> dict[str, str]:
    return {row["spelling"]: row["kept_as"] for row in table("normalizers", "german_variants.tsv")}


def variants(word: str) -> str:
    """Bring a listed word with two dictionary spellings to one."""
    return _variants().get(word, word)


@REGISTRY.register("normalizer", "german")
class German(RuleBased):
    """German text for word error rates: ss for ß where it is the same word.

    Folds: case, grouped numbers (1.000, 1'000, 1 000), spaced abbreviations (z. B. = z.B.), a short list of words with
    two accepted spellings (Delphin = Delfin), and ß to ss (Straße = Strasse in Switzerland, daß = dass before 1996),
    but not in listed words (Maße, measures / Masse, mass).
    Keeps: umlauts (schon / schön; ae, oe, ue are not folded: Poesie, Israel, neue), the decimal comma, compounds as
    they are written.
    Source: own rules after the Amtliche Regelung der deutschen Rechtschreibung (2018), sections 25, 26 and 32.
    """

    languages: ClassVar[tuple[str, ...]] = ("de",)
    program: ClassVar[tuple[TextRule, ...]] = program(
        digits_rule(decimal=",", groups=".\u00a0\u202f'’", pairs=False),
        punctuation_rule(decimal=","),
        TextRule(
            "eszett",
            True,
            "ß to ss, but for listed pairs: Swiss and older spelling",
            ("Straße", "Strasse"),
            eszett,
            "word",
            judged=True,
        ),
        TextRule(
            "variants",
            True,
            "listed words with two accepted spellings: the same word",
            ("Delphin", "Delfin"),
            variants,
            "word",
            judged=True,
        ),
        abbreviations_rule(
            "z b", "d h", "u a", "i d r", "z t", "u u", "s o", "s u", "o ä", "v a", "e v", "i a", "n chr"
        ),
        spaced_numbers_rule(),
    )

"""German: sharp s and double s, the decimal comma."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

from benchmark.registry import REGISTRY
from benchmark.text.common import compose, digits_rule, program, punctuation_rule
from benchmark.text.rules import RuleBased, TextRule, table


@cache
def _pairs() -> frozenset[str]:
    return frozenset(row["word"] for row in table("normalizers", "german_eszett_pairs.tsv"))


def eszett(word: str) -> str:
    """Write ß as ss, but in words that only it tells from another."""
    return word if word in _pairs() else compose(word.replace("ß", "ss"))


@REGISTRY.register("normalizer", "german")
class German(RuleBased):
    """German text for word error rates: ss for ß where it is the same word.

    Folds: case, grouped numbers (1.000), and ß to ss (Straße = Strasse in Switzerland, daß = dass before 1996), but for
    listed words (Maße, measures / Masse, mass).
    Keeps: umlauts (schon / schön; ae, oe, ue are not folded: Poesie, Israel, neue), the decimal comma, compounds as
    they are written.
    Source: own rules after the Amtliche Regelung der deutschen Rechtschreibung (2018), sections 25 and 26.
    """

    languages: ClassVar[tuple[str, ...]] = ("de",)
    program: ClassVar[tuple[TextRule, ...]] = program(
        digits_rule(decimal=",", groups=".\u00a0\u202f'’"),
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
    )

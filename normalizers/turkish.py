"""Turkish: dotted and dotless i, the circumflex that few write, the apostrophe before suffixes."""

from __future__ import annotations

import re
from functools import cache
from typing import ClassVar

from benchmark.registry import REGISTRY
from benchmark.text.common import CASE, compose, digits_rule, fold_case, program, punctuation_rule
from benchmark.text.rules import RuleBased, TextRule, table

_DOTTED = re.compile("[Iİi]\u0307+")
_PLAIN = {"â": "a", "î": "i", "û": "u"}
_CIRCUMFLEX = re.compile("(î)[\u0302\u0307]*|([âû])\u0302*")  # a second one would compose again


def turkish_case(text: str) -> str:
    """Lower case as Turkish has it: I to ı and İ to i; the i with two dots that other lower-casing leaves, to i.

    Composed before, because an I and a dot after it are an İ.
    """
    text = _DOTTED.sub("i", compose(text)).replace("İ", "i").replace("I", "ı")
    return compose(_DOTTED.sub("i", fold_case(text.replace("\uff29", "ı"))))


@cache
def _kept() -> tuple[frozenset[str], tuple[str, ...]]:
    rows = table("normalizers", "turkish_circumflex_stems.tsv")
    return (
        frozenset(row["stem"] for row in rows if row["kind"] == "word"),
        tuple(row["stem"] for row in rows if row["kind"] == "stem"),
    )


def circumflex(word: str) -> str:
    """Leave out the circumflex, but in words that only it tells from another."""
    words, stems = _kept()
    if word in words or word.startswith(stems):
        return word
    return compose(_CIRCUMFLEX.sub(lambda match: _PLAIN[match[1] or match[2]], word))


@REGISTRY.register("normalizer", "turkish")
class Turkish(RuleBased):
    """Turkish text for word error rates: I is ı and İ is i, whatever the computer's language.

    Folds: case, the apostrophe before the suffixes of names (İstanbul'da = İstanbulda), grouped numbers (1.000), the
    circumflex that TDK prescribes in some words and many leave out (rüzgâr = rüzgar).
    Keeps: ı and i, ö and o, ğ, ş, ç; the decimal comma; the circumflex of words that mean something else without it
    (kâr, profit / kar, snow), with all their suffixes.
    Source: own rules after the spelling guide of the Türk Dil Kurumu; Unicode's SpecialCasing for i.
    """

    languages: ClassVar[tuple[str, ...]] = ("tr",)
    program: ClassVar[tuple[TextRule, ...]] = program(
        TextRule(
            "case",
            CASE.default,
            "lower case as in Turkish, I to ı, İ to i: not spoken",
            ("ISPARTA İzmir", "ısparta izmir"),
            turkish_case,
        ),
        digits_rule(decimal=",", groups=".\u00a0\u202f", pairs=False),
        punctuation_rule(decimal=","),
        TextRule(
            "circumflex",
            True,
            "no circumflex, but for listed stems: a habit of writing",
            ("rüzgâr", "rüzgar"),
            circumflex,
            "word",
            judged=True,
        ),
    )

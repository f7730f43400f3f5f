"""Spanish: the accents that the Academy dropped in 2010, ordinals, the decimal comma."""

from __future__ import annotations

import re
from functools import cache
from typing import ClassVar

from benchmark.registry import REGISTRY
from benchmark.text.common import digits_rule, program, punctuation_rule
from benchmark.text.rules import RuleBased, TextRule, table

_ORDINAL = re.compile(r"(?<=\d)\.(?=[ºª])")


def ordinals(text: str) -> str:
    """Write an abbreviated ordinal without its stop."""
    return _ORDINAL.sub("", text)


@cache
def _variants() -> dict[str, str]:
    return {row["spelling"]: row["kept_as"] for row in table("normalizers", "spanish_variants.tsv")}


def accents_2010(word: str) -> str:
    """Leave out the accents that the orthography of 2010 left out."""
    return _variants().get(word, word)


@REGISTRY.register("normalizer", "spanish")
class Spanish(RuleBased):
    """Spanish text for word error rates: accents stay, but for those that the orthography of 2010 gave up.

    Folds: case, inverted marks with all punctuation, grouped numbers (1.000), the stop of ordinals (1.º = 1º), and
    sólo, guión, éste and their like (solo, guion, este).
    Keeps: every other accent (él / el, sí / si, té / te, hablo / habló), ñ, ü, the decimal comma.
    Source: own rules after the Ortografía de la lengua española (RAE and ASALE, 2010).
    """

    languages: ClassVar[tuple[str, ...]] = ("es",)
    program: ClassVar[tuple[TextRule, ...]] = program(
        digits_rule(decimal=",", groups=".\u00a0\u202f"),
        punctuation_rule(decimal=","),
        TextRule(
            "accents_2010",
            True,
            "sólo, guión, éste without accent, as since 2010: both are written",
            ("sólo", "solo"),
            accents_2010,
            "word",
            judged=True,
        ),
        first=(TextRule("ordinals", True, "no stop in ordinals: display only", ("1.º", "1º"), ordinals),),
    )

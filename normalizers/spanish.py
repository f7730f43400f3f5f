"""Spanish: the accents that the Academy dropped in 2010, ordinals, words with two spellings, the decimal sign."""

from __future__ import annotations

import re
from functools import cache
from typing import ClassVar, Literal, cast

from pydantic import Field

from benchmark.api import Config
from benchmark.registry import REGISTRY
from benchmark.text.common import abbreviations_rule, digits_rule, program, punctuation_rule, spaced_numbers_rule
from benchmark.text.rules import RuleBased, TextRule, table

_ORDINAL = re.compile(r"(?<=[0-9])[.\uff0e](?=[ºª]|er(?![^\W_]))")
_SPACES = "\u00a0\u202f"


class SpanishConfig(Config):
    """The sign that countries differ in."""

    decimal: Literal["comma", "point"] = Field(
        default="comma",
        description="the decimal sign; the other one groups: comma (3,14 and 1.000) or point (3.14 and 1,000, Mexico)",
    )


def ordinals(text: str) -> str:
    """Write an abbreviated ordinal without its stop."""
    return _ORDINAL.sub("", text)


@cache
def _listed(name: str) -> dict[str, str]:
    return {row["spelling"]: row["kept_as"] for row in table("normalizers", name)}


def accents_2010(word: str) -> str:
    """Leave out the accents that the orthography of 2010 left out."""
    return _listed("spanish_variants.tsv").get(word, word)


def variants(word: str) -> str:
    """Bring a listed word with two dictionary spellings to one."""
    return _listed("spanish_spellings.tsv").get(word, word)


_NUMBERS = {
    "comma": (digits_rule(",", "." + _SPACES, pairs=False), punctuation_rule(",")),
    "point": (digits_rule(".", "," + _SPACES, pairs=False), punctuation_rule(".")),
}


@REGISTRY.register("normalizer", "spanish")
class Spanish(RuleBased):
    """Spanish text for word error rates: accents stay, but for those that the orthography of 2010 gave up.

    Folds: case, inverted marks with all punctuation, grouped numbers (1.000, 1 000), the stop of ordinals (1.º = 1º),
    spaced abbreviations (a. m. = a.m.), sólo, guión, éste and their like (solo, guion, este), and a short list of words
    with two spellings that are said alike (setiembre = septiembre).
    Keeps: every other accent (él / el, sí / si, té / te, hablo / habló), ñ, ü, the decimal sign; words whose two
    spellings are said differently (video / vídeo).
    Source: own rules after the Ortografía de la lengua española (RAE and ASALE, 2010).
    """

    Config: ClassVar[type[Config]] = SpanishConfig
    languages: ClassVar[tuple[str, ...]] = ("es",)
    program: ClassVar[tuple[TextRule, ...]] = program(
        *_NUMBERS["comma"],
        TextRule(
            "accents_2010", True, "sólo, guión, éste without accent, as since 2010: both are written",
            ("sólo", "solo"), accents_2010, "word", judged=True,
        ),
        TextRule(
            "variants", True, "listed words with two spellings that are said alike: the same word",
            ("setiembre", "septiembre"), variants, "word", judged=True,
        ),
        abbreviations_rule("a m", "p m", "p ej", "a c", "d c", "ee uu", "s m"),
        spaced_numbers_rule(),
        first=(TextRule("ordinals", True, "no stop in ordinals: display only", ("1.º", "1º"), ordinals),),
    )  # fmt: skip

    def chosen(self) -> tuple[TextRule, ...]:
        """Return the rules with the numbers of the chosen decimal sign."""
        own = {rule.name: rule for rule in _NUMBERS[cast(SpanishConfig, self.config).decimal]}
        return tuple(own.get(rule.name, rule) for rule in self.program)

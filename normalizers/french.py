"""French: elision, ligatures, the spellings of 1990."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

from benchmark.registry import REGISTRY
from benchmark.text.common import compose, digits_rule, program, punctuation_rule
from benchmark.text.rules import RuleBased, TextRule, table

_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})


def ligatures(text: str) -> str:
    """Write œ and æ as two letters; a mark that stood on one composes with the last."""
    return compose(text.translate(_LIGATURES))


@cache
def _variants() -> dict[str, str]:
    return {row["spelling"]: row["kept_as"] for row in table("normalizers", "french_variants.tsv")}


def variants(word: str) -> str:
    """Bring a listed word with two dictionary spellings to one."""
    return _variants().get(word, word)


@REGISTRY.register("normalizer", "french")
class French(RuleBased):
    """French text for word error rates: elided words part, ligatures are two letters.

    Folds: case, the apostrophe of elision to a space (l'homme = l homme), œ and æ to oe and ae (sœur = soeur), numbers
    grouped by no-break spaces, and a short list of words with two spellings since 1990 (évènement = événement).
    Keeps: accents (a / à, ou / où, du / dû), the decimal comma.
    Source: own rules; the variants are from the Rectifications de l'orthographe (Journal officiel, 6 December 1990).
    """

    languages: ClassVar[tuple[str, ...]] = ("fr",)
    program: ClassVar[tuple[TextRule, ...]] = program(
        digits_rule(decimal=",", groups="\u00a0\u202f"),
        punctuation_rule(decimal=",", apostrophe="parts"),
        TextRule("ligatures", True, "œ and æ to two letters: keyboards have none", ("sœur", "soeur"), ligatures),
        TextRule(
            "variants",
            True,
            "listed words with two spellings since 1990: the same word",
            ("évènement", "événement"),
            variants,
            "word",
            judged=True,
        ),
    )

"""French: elision, ligatures, the spellings of 1990."""

from __future__ import annotations

import re
from functools import cache
from typing import ClassVar

from benchmark.registry import REGISTRY
from benchmark.text.common import compose, digits_rule, program, punctuation_rule, spaced_numbers_rule
from benchmark.text.rules import RuleBased, TextRule, table

_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})
_PLAIN = {"î": "i", "û": "u"}
_CIRCUMFLEX = re.compile("([îû])\u0302*")  # a second one would compose again
# The simple past and the subjunctive, which keep theirs (nous fîmes, il fallût, il vînt).
_TENSES = re.compile(r".*(?:[îû](?:t|mes|tes)|în(?:t|mes|tes))", re.DOTALL)


def ligatures(text: str) -> str:
    """Write œ and æ as two letters; a mark that stood on one composes with the last."""
    return compose(text.translate(_LIGATURES))


@cache
def _words() -> dict[str, str]:
    return {row["word"]: row["what"] for row in table("normalizers", "french_circumflex_words.tsv")}


def circumflex(word: str) -> str:
    """Leave out the circumflex on i and u, as the spelling of 1990 does, but where it tells words or tenses apart."""
    if "î" not in word and "û" not in word:
        return word
    what = _words().get(word) or ("keeps" if _TENSES.fullmatch(word) else "drops")
    return word if what == "keeps" else compose(_CIRCUMFLEX.sub(lambda match: _PLAIN[match[1]], word))


@cache
def _variants() -> dict[str, str]:
    return {row["spelling"]: row["kept_as"] for row in table("normalizers", "french_variants.tsv")}


def variants(word: str) -> str:
    """Bring a listed word with two dictionary spellings to one."""
    return _variants().get(word, word)


@REGISTRY.register("normalizer", "french")
class French(RuleBased):
    """French text for word error rates: elided words part, ligatures are two letters, the spellings of 1990 fold.

    Folds: case, the apostrophe of elision to a space (l'homme = l homme), œ and æ to oe and ae (sœur = soeur), numbers
    grouped by spaces (10 000), the circumflex on i and u where the spelling of 1990 has none (connaître = connaitre),
    and a short list of words with two spellings (évènement = événement).
    Keeps: accents (a / à, ou / où), the circumflex of du / dû, sur / sûr, fut / fût and all of â, ê, ô; the decimal
    comma.
    Source: own rules after the Rectifications de l'orthographe (Journal officiel, 6 December 1990).
    """

    languages: ClassVar[tuple[str, ...]] = ("fr",)
    program: ClassVar[tuple[TextRule, ...]] = program(
        digits_rule(decimal=",", groups="\u00a0\u202f", pairs=False),
        punctuation_rule(decimal=",", apostrophe="parts"),
        TextRule("ligatures", True, "œ and æ to two letters: keyboards have none", ("sœur", "soeur"), ligatures),
        TextRule(
            "circumflex", True, "no circumflex on i and u but where it tells words apart: the spelling of 1990",
            ("connaître", "connaitre"), circumflex, "word", judged=True,
        ),
        TextRule(
            "variants", True, "listed words with two spellings since 1990: the same word",
            ("évènement", "événement"), variants, "word", judged=True,
        ),
        spaced_numbers_rule(),
    )  # fmt: skip

"""Arabic: presentation forms, Persian code points, tatweel, vowel marks, the seats of hamza."""

from __future__ import annotations

from typing import ClassVar

import regex

from benchmark.registry import REGISTRY
from benchmark.text.common import UNICODE, program
from benchmark.text.rules import RuleBased, TextRule
from normalizers import _arabic

_PERSIAN_YEH = regex.compile(r"ی(?=(\p{M}*+[\p{L}&&\p{Arabic}])?)", flags=regex.V1)
_ALEF = regex.compile(r"[اأإآٱ](\p{M}*+)")
_HAMZA = regex.compile(r"([ؤئء])(\p{M}*+)")
_WITHOUT = {"ؤ": "و", "ئ": "ي"}
_SEATED = str.maketrans("", "", "\u0653\u0654\u0655")  # madda, hamza above and below


def persian_letters(text: str) -> str:
    """Write the letters of Persian keyboards as Arabic's; their yeh has no dots where no letter follows it."""
    return str(_PERSIAN_YEH.sub(lambda match: "ي" if match[1] else "ى", text)).replace("ک", "ك")


def alefs(text: str) -> str:
    """Write alef without its hamza, madda or wasla, composed or not."""
    return str(_ALEF.sub(lambda match: "ا" + match[1].translate(_SEATED), text))


def alef_maqsura(text: str) -> str:
    """Write yeh with its dots; a hamza behind it may compose."""
    return _arabic.encodings(text.replace("ى", "ي")) if "ى" in text else text


def hamzas(text: str) -> str:
    """Write waw and yeh without their hamza, and leave out the hamza that stands alone."""
    return str(
        _HAMZA.sub(lambda match: _WITHOUT[match[1]] + match[2].translate(_SEATED) if match[1] in _WITHOUT else "", text)
    )


@REGISTRY.register("normalizer", "arabic")
class Arabic(RuleBased):
    """Arabic text for word error rates: without vowel marks, and alef without its hamza, as most people write.

    Folds: presentation forms, letters of Persian keyboards, tatweel, digits, punctuation, vowel marks (hardly ever
    written, and when, for learners), and أ إ آ ٱ to ا (much everyday writing leaves the hamza out, إسلام = اسلام).
    Keeps: ى and ي, ة and ه, ؤ and ئ, all of which tell frequent words apart (على, on / علي, Ali; كتابة,
    writing / كتابه, his book; سؤال, question). Switches fold each of the three. Persian, which tells آ from ا, is no
    part of it.
    Source: own rules after the Unicode Standard, chapter 9.2. Most transcripts have no vowel marks (Aldarmaki and
    Ghannam 2023, arXiv 2302.14022). The Open Universal Arabic ASR Leaderboard (arXiv 2412.13788, its ``eval.py``) folds
    vowel marks and alefs too, leaves ى and ة alone, and folds every hamza, which is ``hamzas`` here.
    """

    languages: ClassVar[tuple[str, ...]] = ("ar",)
    program: ClassVar[tuple[TextRule, ...]] = program(
        TextRule(
            "unicode", UNICODE.default, "canonical composition, hamza over dotless yeh is ئ: one letter, two encodings",
            ("ى\u0654", "ئ"), _arabic.encodings,
        ),
        TextRule(
            "vowel_marks", True, "no vowel marks: hardly ever written", ("كِتَابٌ", "كتاب"), _arabic.vowel_marks,
            judged=True,
        ),
        TextRule(
            "alefs", True, "أ إ آ ٱ to ا: hamza on alef is a habit of writing", ("أحمد", "احمد"), alefs, judged=True,
        ),
        TextRule(
            "alef_maqsura", False, "ى to ي at any place: some write one for the other, but على is not علي",
            ("مصطفى", "مصطفي"), alef_maqsura, judged=True,
        ),
        TextRule(
            "hamzas", False, "ؤ to و, ئ to ي, no ء: some leaderboards do, but سؤال is not سوال",
            ("مسؤول", "مسوول"), hamzas, judged=True,
        ),
        TextRule(
            "ta_marbuta", False, "ة to ه: some leave out its dots, but كتابة is not كتابه", ("مدرسة", "مدرسه"),
            lambda text: text.replace("ة", "ه"), judged=True,
        ),
        first=(
            TextRule(
                "presentation_forms", True, "letters by their place and ligatures to plain letters: encodings",
                ("\ufefb", "لا"), _arabic.presentation_forms,
            ),
            TextRule(
                "persian_letters", True, "ک to ك, ی to ي or ى: other keyboards, the same look in the word",
                ("کتابی", "كتابى"), persian_letters,
            ),
            TextRule(
                "tatweel", True, "no tatweel: it stretches a word on the page", ("كتـــاب", "كتاب"),
                lambda text: text.replace("\u0640", ""),
            ),
        ),
    )  # fmt: skip

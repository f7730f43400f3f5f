"""Arabic: presentation forms, tatweel, vowel marks, the seats of hamza on alef."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar

from benchmark.registry import REGISTRY
from benchmark.text.common import program
from benchmark.text.rules import RuleBased, TextRule

_PRESENTED = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]+")
_PERCENT = str.maketrans("٪", "%")
# Short vowels, tanwin, shadda, sukun, superscript alef, the marks of recitation; not madda and hamza.
_VOWEL_MARKS = re.compile(
    "[\u064b-\u0652\u0656-\u065f\u0670\u0610-\u061a\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)
_ALEFS = str.maketrans(dict.fromkeys("أإآٱ", "ا"))


def presentation_forms(text: str) -> str:
    """Write letters in the shapes of their place in a word, and ligatures, as plain letters."""
    return _PRESENTED.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text).translate(_PERCENT)


def vowel_marks(text: str) -> str:
    """Leave out vowel marks; what they stood between may compose anew."""
    return unicodedata.normalize("NFC", _VOWEL_MARKS.sub("", text))


def alefs(text: str) -> str:
    """Write alef without its hamza, madda or wasla."""
    text = text.translate(_ALEFS)
    composed = unicodedata.normalize("NFC", text)  # another hamza may have stood behind the first
    while composed != text:
        text = composed.translate(_ALEFS)
        composed = unicodedata.normalize("NFC", text)
    return text


@REGISTRY.register("normalizer", "arabic")
class Arabic(RuleBased):
    """Arabic text for word error rates: without vowel marks, and alef without its hamza, as most people write.

    Folds: presentation forms, tatweel, digits, punctuation, vowel marks (hardly ever written, and when, for learners),
    and أ إ آ ٱ to ا (the seat of hamza is left out in much everyday writing, إسلام = اسلام).
    Keeps: ى and ي, ة and ه, ؤ and ئ, all of which tell frequent words apart (على, on / علي, Ali; كتابة,
    writing / كتابه, his book). Two switches fold the first two, as some leaderboards do.
    Source: own rules after the Unicode Standard, chapter 9.2. Most written Arabic and most of its transcripts have no
    vowel marks (Aldarmaki and Ghannam 2023, arXiv 2302.14022).
    """

    languages: ClassVar[tuple[str, ...]] = ("ar",)
    program: ClassVar[tuple[TextRule, ...]] = program(
        TextRule(
            "tatweel", True, "no tatweel: it stretches a word on the page", ("كتـــاب", "كتاب"),
            lambda text: text.replace("\u0640", ""),
        ),
        TextRule(
            "vowel_marks", True, "no vowel marks: hardly ever written", ("كِتَابٌ", "كتاب"), vowel_marks, judged=True,
        ),
        TextRule(
            "alefs", True, "أ إ آ ٱ to ا: hamza on alef is a habit of writing", ("أحمد", "احمد"), alefs, judged=True,
        ),
        TextRule(
            "alef_maqsura", False, "ى to ي at any place: some write one for the other, but على is not علي",
            ("مصطفى", "مصطفي"), lambda text: text.replace("ى", "ي"), judged=True,
        ),
        TextRule(
            "ta_marbuta", False, "ة to ه: some leave out its dots, but كتابة is not كتابه", ("مدرسة", "مدرسه"),
            lambda text: text.replace("ة", "ه"), judged=True,
        ),
        first=(
            TextRule(
                "presentation_forms", True, "letters by their place and ligatures to plain letters: encodings",
                ("\ufefb", "لا"), presentation_forms,
            ),
        ),
    )  # fmt: skip

"""Hindi: fold what readers accept as one word, keep what distinguishes words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from benchmark.api import Judged
from benchmark.registry import REGISTRY
from benchmark.text.common import fold_case, squeeze_spaces
from benchmark.text.rules import RuleBased, TextRule, table
from normalizers import _hindi_text as texts
from normalizers import _hindi_words as words

PROGRAM = (
    TextRule("joiners", True, "joiners, soft hyphens, BOMs, bidi marks go: display only",
             ("शक्\u200cति", "शक्ति"), texts.joiners),
    TextRule("case", True, "Latin in lower case, full width to half width: not spoken",
             ("Mobile फोन", "mobile फोन"), fold_case),
    TextRule("digits", True, "Devanagari digits to ASCII, 1,00,000 without commas, 10:30 in two: one number",
             ("१,००,०००", "100000"), texts.digits),
    TextRule("punctuation", True, "punctuation to a space; initials join; visargas typed as colons: not spoken",
             ("है।वह", "है वह"), texts.punctuation),
    TextRule("unicode", True, "NFC, nukta after its consonant, vowels in one piece, no repeated marks: encodings",
             ("प\u095dना", "पढ\u093cना"), texts.encodings),
    TextRule("nasal", True, "nasal before a stop of its own row to anusvara: both spellings are accepted",
             ("हिन्दी", "हिंदी"), words.nasal, "word", judged=True),
    TextRule("chandrabindu", True, "chandrabindu to anusvara, but for listed pairs: newspapers drop it",
             ("हाँ", "हां"), words.chandrabindu, "word", judged=True),
    TextRule("nukta_loans", True, "no nukta on क ख ग ज फ, but for listed pairs: a habit of writing",
             ("ज\u093cरूर", "जरूर"), words.nukta_loans, "word", judged=True),
    TextRule("glide", True, "ये यी at a word's end to ए ई, but for roots in y: both are standard",
             ("गये", "गए"), words.glide, "word", judged=True),
    TextRule("variants", True, "listed words with two dictionary spellings: the same word",
             ("दुःख", "दुख"), words.variants, "word", judged=True),
    TextRule("number_words", False, "digits to Hindi words by a library, never words to digits: a choice of task",
             ("15", "पंद्रह"), words.number_words, "word", again=True),
    TextRule("whitespace", True, "every run of white space to one space, none at the ends: not spoken",
             ("  हाल\u00a0 चाल ", "हाल चाल"), squeeze_spaces),
)  # fmt: skip


@REGISTRY.register("normalizer", "hindi")
class Hindi(RuleBased):
    """Hindi text for word error rates; every rule has a switch, and the result is a fixed point.

    Folds: display characters, Latin case, digits of both scripts, punctuation, encodings of one word, and four habits
    of spelling: the homorganic nasal (हिन्दी = हिंदी), chandrabindu (हाँ = हां), the nukta of loans (ज़रूर = जरूर) and the
    glide (गये = गए); besides, a short list of words with two dictionary spellings (दुःख = दुख).
    Keeps: vowel length, aspiration, retroflexes (ड़ is not ड), virama, visarga, candra o, श/ष/स, and listed pairs that
    only a folded sign tells apart (हँस / हंस, राज़ / राज, गायें / गाएं).
    Number words: ``number_words=on`` writes digits as Hindi words (15 = पंद्रह) in both texts, so that digits and words
    become equal. Words to digits is not offered: it has to guess where a number ends (दो तीन: 2 3, or two or three) and
    what is one (एक: 1, or a), and no light library does it (text2num has no Hindi, word2number-i18n reads English
    words for it, the grammars of nemo_text_processing need OpenFst).
    Source: own rules after the orthography of standard Hindi; the word lists with glosses are in ``normalizers/data``.
    """

    version: ClassVar[str] = "2"
    languages: ClassVar[tuple[str, ...]] = ("hi",)
    program: ClassVar[tuple[TextRule, ...]] = PROGRAM

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        if getattr(self.config, "number_words", False):
            words.speaker()  # a missing library is an error now, not at the first number

    @classmethod
    def judged_pairs(cls) -> Sequence[Judged]:
        """Merges over a word list that a reader judged one by one, and pairs that must stay distinct."""
        rows = table("normalizers", "hindi_judged.tsv")
        return [Judged(row["rule"], row["left"], row["right"], row["verdict"]) for row in rows]

    @classmethod
    def variant_pairs(cls) -> Sequence[tuple[str, str, str]]:
        """Spellings of one word that must become equal."""
        return [(row["left"], row["right"], row["rule"]) for row in table("normalizers", "hindi_variant_pairs.tsv")]

"""Scripts of South Asia but Hindi: one encoding to a word, and nothing that is heard is lost."""

from __future__ import annotations

from typing import ClassVar

from benchmark.registry import REGISTRY
from benchmark.text.common import CASE, DIGITS, JOINERS, PUNCTUATION, UNICODE, WHITESPACE
from benchmark.text.rules import RuleBased, TextRule
from normalizers import _indic


@REGISTRY.register("normalizer", "indic")
class Indic(RuleBased):
    """Scripts of South Asia but Hindi: every encoding of a word is one, and what is heard stays.

    For Bengali, Gujarati, Kannada, Malayalam, Marathi, Nepali, Odia, Punjabi, Tamil, Telugu and Urdu.
    Folds: encodings that look the same (chillu and khanda ta with joiners, eyelash ra, nukta after a vowel sign, vowels
    in two pieces, Arabic letters in Urdu), visargas typed as colons, dandas, digits of each script, the homorganic
    nasal where readers take anusvara for the same word (હિન્દી = હિંદી), tippi and bindi, Malayalam's two signs of au
    and two forms of nta, Urdu's vowel marks.
    Keeps: everything that is heard: vowel length, aspiration, nukta, addak, chandrabindu, chillus. One joiner goes that
    could be heard: Bengali র‍্য (ra with ya-phala) becomes র্য, as many type it; no two words are known to differ so.
    Source: own rules after the Unicode Standard, chapter 12 (its "do not use" tables are ``data/indic_sequences.tsv``),
    and chapter 9.2 for Urdu. The indic-nlp-library is no part of it: its normalisers are not idempotent, and it brings
    pandas and a documentation builder along.
    """

    languages: ClassVar[tuple[str, ...]] = ("bn", "gu", "kn", "ml", "mr", "ne", "or", "pa", "ta", "te", "ur")
    program: ClassVar[tuple[TextRule, ...]] = (
        TextRule(
            "letters", True, "letters that need their joiner (chillu, khanda ta, eyelash ra), Urdu's for Arabic's",
            ("ന\u0d4d\u200d", "ൻ"), _indic.letters,
        ),
        JOINERS,
        CASE,
        DIGITS,
        TextRule(
            "visarga", True, "a colon between letters of an Indic script is a visarga typed badly",
            ("দু:খ", "দুঃখ"), _indic.visarga,
        ),
        PUNCTUATION,
        TextRule(
            "unicode", UNICODE.default, "NFC, nukta after its consonant, vowels in one piece: encodings of one word",
            ("ড়া", "ডা\u09bc"), _indic.encodings,
        ),
        TextRule(
            "vowel_marks", True, "Urdu without short vowels, shadda and their like: hardly ever written",
            ("اُردُو", "اردو"), _indic.vowel_marks, judged=True,
        ),
        TextRule(
            "nasal", True, "nasal before a stop of its own row to anusvara: both spellings are accepted",
            ("હિન્દી", "હિંદી"), _indic.nasal, "word", judged=True,
        ),
        TextRule(
            "tippi", True, "Gurmukhi tippi and bindi by the vowel before them: one sound, never two words",
            ("ਪਂਜਾਬ", "ਪੰਜਾਬ"), _indic.tippi, judged=True,
        ),
        TextRule(
            "au_sign", True, "Malayalam ൌ to ൗ: the same vowel before and after the reform of writing",
            ("പൌരൻ", "പൗരൻ"), _indic.au_sign, judged=True,
        ),
        TextRule(
            "nta", True, "Malayalam ൻറ to ന്റ: two forms of one conjunct",
            ("എൻറെ", "എന്റെ"), _indic.nta, judged=True,
        ),
        WHITESPACE,
    )  # fmt: skip

"""The rules of ``hindi`` that see one word: accepted spellings of the same word, and the pairs that are none."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from benchmark.errors import SpecError
from benchmark.text.rules import table
from normalizers._hindi_text import ANUSVARA, NUKTA, VIRAMA

# Each row: the nasal of a row of stops, before a stop of that row. A nukta on the stop makes no difference. A syllable
# has to stand before it, because the anusvara sits on one.
_ROWS = (("ङ", "कखगघ"), ("ञ", "चछजझ"), ("ण", "टठडढ"), ("न", "तथदध"), ("म", "पफबभ"))
_CHANDRABINDU = "\u0901"
_HOMORGANIC = re.compile(
    f"(?<=[\u0904-\u0939\u093c\u093e-\u094c\u0972-\u097f])[{_CHANDRABINDU}{ANUSVARA}]*"
    f"(?:{'|'.join(f'{nose}{VIRAMA}(?=[{stops}])' for nose, stops in _ROWS)})"
)
_NASALISED = re.compile(f"{ANUSVARA}*{_CHANDRABINDU}[{_CHANDRABINDU}{ANUSVARA}]*")
_LOAN_NUKTA = re.compile(f"(?<=[कखगजफ]){NUKTA}+")
# After a vowel or a consonant's inherent a (so not after a virama), at the end or before the endings of the future.
_GLIDE = re.compile(
    "(?<=[\u0904-\u0914\u0915-\u0939\u093c\u093e-\u094c\u0972\u0979-\u097f])य(?:([ेी])([\u0901\u0902]?)$"
    "|(े)([\u0901\u0902]?)(?=(?:गा|गे|गी)$))"
)
# After an inherent a, a final yi belongs to a root (विनयी, करुणामयी) in all but a few words.
_ROOT_YI = re.compile("[\u0915-\u0939\u0958-\u095f\u0979-\u097f]\u093c?यी$")
_FULL_VOWEL = {"े": "ए", "ी": "ई"}


@cache
def spellings(name: str) -> dict[str, str]:
    """Return a list of exact words as a map from spelling to what stands for it."""
    return {row["spelling"]: row["kept_as"] for row in table("normalizers", name)}


@cache
def roots() -> tuple[frozenset[str], tuple[str, ...], frozenset[str], tuple[str, ...]]:
    """Return words and endings whose y belongs to the root, then words and endings that look like those and fold."""
    rows = table("normalizers", "hindi_glide_roots.tsv")
    words, endings, forms, verbs = (
        tuple(row["spelling"] for row in rows if row["kind"] == kind) for kind in ("word", "ending", "form", "verb")
    )
    return frozenset(words), endings, frozenset(forms), verbs


def nasal(word: str) -> str:
    """Write a nasal before a stop of its own row as anusvara."""
    return _HOMORGANIC.sub(ANUSVARA, word) if VIRAMA in word else word


def chandrabindu(word: str) -> str:
    """Write chandrabindu as anusvara, but for listed minimal pairs."""
    if _CHANDRABINDU not in word:
        return word
    return spellings("hindi_chandrabindu_pairs.tsv").get(word) or _NASALISED.sub(ANUSVARA, word)


def nukta_loans(word: str) -> str:
    """Leave out the nukta of loans, but for listed minimal pairs."""
    if NUKTA not in word:
        return word
    return spellings("hindi_nukta_pairs.tsv").get(word) or _LOAN_NUKTA.sub("", word)


def glide(word: str) -> str:
    """Write a glide before a final e or i as the vowel alone, but for roots that end in y."""
    if "य" not in word:
        return word
    words, endings, forms, verbs = roots()
    if word in words:
        return word
    if (word.endswith(endings) or _ROOT_YI.search(word)) and word not in forms and not word.endswith(verbs):
        return word
    return _GLIDE.sub(lambda match: _FULL_VOWEL[match[1] or match[3]] + (match[2] or match[4] or ""), word)


def variants(word: str) -> str:
    """Bring a listed word with two dictionary spellings to one."""
    return spellings("hindi_variants.tsv").get(word, word)


# --- numbers ------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(?<![A-Za-z0-9.])(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![A-Za-z0-9.])")  # not a part of mp3
_NO_ENDING = re.compile("[^\u0904-\u0939\u0958-\u0961\u0972-\u097f]")
_LONGEST = 9  # digits; a longer number has no name in the library


@cache
def speaker() -> Callable[[str], str]:
    """Return the library's function from a number in digits to Hindi words.

    Raises:
        SpecError: the library is not installed.
    """
    try:
        from indic_numtowords import num2words
    except ImportError:
        raise SpecError("options of 'hindi': number_words needs the package indic-numtowords: pip install it") from None
    return cache(lambda number: str(num2words(number, lang="hi")))


def _spoken(match: re.Match[str]) -> str:
    say = speaker()
    whole, point, fraction = match.group().partition(".")
    # Codes and telephone numbers (a leading zero, or too long) are said digit by digit, as fractions are.
    single = len(whole) > _LONGEST or (len(whole) > 1 and whole[0] == "0")
    words = [say(digit) for digit in whole] if single or not whole else [say(whole)]
    if point:
        words += ["दशमलव", *map(say, fraction)]
    # An ending stays on its number (10वीं), everything else is a word of its own (₹10, 10%).
    before = " " if match.start() else ""
    after = " " if _NO_ENDING.match(match.string, match.end()) else ""
    return before + " ".join(words) + after


def number_words(word: str) -> str:
    """Write numbers in words."""
    return _NUMBER.sub(_spoken, word)

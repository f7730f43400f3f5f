"""The rules of ``hindi`` that see a whole text: joiners, digits, punctuation, encodings.

They come before the rules of words (``_hindi_words``), because they decide where a word ends and how it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from benchmark.text.common import SPOKEN, char_class, drop_joiners, members, normal_form
from benchmark.text.rules import table

VIRAMA, NUKTA, ANUSVARA, VISARGA = "\u094d", "\u093c", "\u0902", "\u0903"

_CONSONANT = "[\u0915-\u0939\u0958-\u095f\u0978-\u097f]"
_VOWEL = "[\u0904-\u0914\u0960\u0961\u0972-\u0977]"
_MATRA = "[\u093a\u093b\u093e-\u094c\u094e\u094f\u0955-\u0957\u0962\u0963]"
_NASAL_SIGN = "[\u0900-\u0903]"
_MARKS = "\u0900-\u0903\u093a\u093b\u093e-\u094f\u0955-\u0957\u0962\u0963"  # without the nukta
# ``\w`` of re knows no vowel signs, so a part of a word is spelled out; it counts the apostrophe U+02BC as a letter.
_WORD = rf"(?:[^\W_\u02bc]|[{_MARKS}{NUKTA}\u0951-\u0954\u0300-\u036f])"

# --- joiners ------------------------------------------------------------------------------------------------------

# Eyelash ra is written with a joiner (र्‍य) or with the letter rra (ऱ्य); only before ya and ha.
_EYELASH = re.compile(f"(?:\u0931|र{NUKTA}){VIRAMA}(?=[यह])")
_RA = "र" + VIRAMA


def joiners(text: str) -> str:
    """Remove what only steers the display, and write eyelash ra as the plain cluster."""
    return _EYELASH.sub(_RA, drop_joiners(text))


# --- digits -------------------------------------------------------------------------------------------------------

_DEVANAGARI_DIGIT = re.compile("[०-९]")
_TO_ASCII = {ord("०") + digit: str(digit) for digit in range(10)}
_GROUPED = re.compile(  # 1,00,000 and 100,000, and no piece of a longer list of numbers
    r"(?<!\d)(?<!\d[,.])(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3})(?!\d)(?!,\d)"
)
_CLOCK = re.compile(r"(?<=\d):(?=\d)")


def digits(text: str) -> str:
    """Write Devanagari digits in ASCII, take the commas out of grouped numbers, part 10:30."""
    if _DEVANAGARI_DIGIT.search(text):
        text = text.translate(_TO_ASCII)
    if "," in text:
        text = _GROUPED.sub(lambda match: match.group().replace(",", ""), text)
    return _CLOCK.sub(" ", text)


# --- punctuation --------------------------------------------------------------------------------------------------

_QUOTE = "['`\u00b4\u2018\u2019\u02bc]"  # what is typed as an apostrophe
_SOME_QUOTE = re.compile(_QUOTE)
_APOSTROPHE = re.compile(rf"{_QUOTE}(?<={_WORD}.){_QUOTE}*+(?=(?!\d){_WORD})")
# A word between quotation marks whose postposition follows at once (‘राम’ने): the second mark is no apostrophe.
_QUOTED = re.compile(rf"(?<!{_WORD})(?:['`]({_WORD}++)['\u00b4]|\u2018([^\u2018\u2019]*+)\u2019)")
# A visarga stands after a letter or vowel sign, before a letter; never after virama, anusvara or another visarga.
_SYLLABLE_END = "[\u0904-\u0939\u093c\u093e-\u094c\u0958-\u0961\u0972-\u097f]"
_COLON_INSIDE = re.compile(rf"(?<={_SYLLABLE_END}):(?={_CONSONANT}|{_VOWEL})")
_COLON_AFTER = re.compile(rf"(?<!{_WORD})([{_MARKS}{NUKTA}\u0904-\u0939\u0958-\u0961\u0972-\u097f]+):(?!{_WORD})")
# A stop is decimal before a digit, when a digit or nothing stands before it.
_FULL_STOP = re.compile(r"\.(?!\d)|(?<=[^\s\d])\.")
_CHAIN = re.compile(r"\.?\d+(?:\.\d+)+")


@cache
def _initials() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Letters with a stop and perhaps a space after each, and letters with stops between them.

    A letter is a single akshara, the name of a Latin letter, or a Latin letter. Words that are one akshara long are
    none, and titles are none at the beginning.
    """
    consonant = f"{_CONSONANT}{NUKTA}?"
    akshara = f"(?:{_VOWEL}|(?:{consonant}{VIRAMA}){{0,3}}{consonant}{_MATRA}?){_NASAL_SIGN}?"
    names = _either(row["name"] for row in table("normalizers", "hindi_letter_names.tsv"))
    short = table("normalizers", "hindi_short_words.tsv")
    ordinary = _either(row["word"] for row in short if row["kind"] == "word")
    titles = _either(row["word"] for row in short if row["kind"] == "title")
    unit = rf"(?:(?!{ordinary}(?!{_WORD}))(?:{names}|{akshara}|[A-Za-z])(?!{_WORD}))"
    first = rf"(?<!{_WORD})(?!{titles}(?!{_WORD})){unit}"
    stop = "[.\u0970]"
    return re.compile(rf"{first}{stop}(?:\s*{unit}{stop})+{unit}?"), re.compile(rf"{first}(?:{stop}{unit})+")


def _either(words: Iterable[str]) -> str:
    """Return an expression for any of ``words``, in both encodings of a nukta, with anusvara or chandrabindu."""
    longest_first = "|".join(sorted(words, key=len, reverse=True)).replace(ANUSVARA, f"[\u0901{ANUSVARA}]")
    return "(?:" + longest_first.replace("फ़", "(?:फ़|\u095e)").replace("ज़", "(?:ज़|\u095b)") + ")"


def _join_letters(text: str) -> str:
    spaced, tight = _initials()
    text = spaced.sub(lambda match: _NO_STOP.sub("", match.group()) + " ", text)
    return tight.sub(lambda match: _NO_STOP.sub("", match.group()), text)


_NO_STOP = re.compile(r"[.\u0970\s]+")


@cache
def _spoken() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A sign that is spoken, and where one touches something: it is a word of its own."""
    sign = char_class(members("Sc") | set(SPOKEN))
    return re.compile(sign), re.compile(rf"(?<=\S)(?={sign})|(?<={sign})(?=\S)")


@cache
def _marks() -> re.Pattern[str]:
    """Punctuation and unspoken symbols; not the stop, which may be decimal, nor signs of money, which are spoken."""
    return re.compile(char_class((members("P", "S") | {"\u02bc"}) - members("Sc") - set(SPOKEN) - {"."}))


@cache
def _visarga_words() -> frozenset[str]:
    return frozenset(row["word"] for row in table("normalizers", "hindi_visarga_words.tsv"))


def _visarga(match: re.Match[str]) -> str:
    word = match.group(1)
    return word + (VISARGA if encodings(word) in _visarga_words() else " ")


def _split_chain(match: re.Match[str]) -> str:
    number = match.group()
    return number.replace(".", " ") if number.count(".") > 1 else number


def punctuation(text: str) -> str:
    """Make punctuation a space, but for stops in initials, apostrophes in words, visargas typed as colons, decimals."""
    if "." in text or "\u0970" in text:
        text = _join_letters(text)
    if _SOME_QUOTE.search(text):
        text = _APOSTROPHE.sub("", _QUOTED.sub(r" \1\2 ", text))
    if ":" in text:
        text = _COLON_AFTER.sub(_visarga, _COLON_INSIDE.sub(VISARGA, text))
    text = _marks().sub(" ", text)
    sign, touches = _spoken()
    if sign.search(text):
        text = touches.sub(" ", text)
    if "." in text:
        text = _CHAIN.sub(_split_chain, _FULL_STOP.sub(" ", text))
    return text


# --- encodings ----------------------------------------------------------------------------------------------------

# Vowels that can be typed in two pieces look the same (Unicode's "do not use" table for Devanagari, and the vowel signs
# that legacy fonts build from two); reph + i is what converters of such fonts leave of ii.
_PIECES = {
    "अा": "आ", "अॅ": "ॲ", "अॉ": "ऑ", "अॊ": "ऒ", "अो": "ओ", "अौ": "औ", "आॅ": "ऑ", "आॆ": "ऒ", "आे": "ओ", "आै": "औ",
    "एॅ": "ऍ", "एॆ": "ऎ", "एे": "ऐ", "उु": "ऊ", "ाॅ": "ॉ", "ाे": "ो", "ाै": "ौ", "र्इ": "ई",
}  # fmt: skip
_PIECE = re.compile("|".join(_PIECES))
_LATE_NUKTA = re.compile(f"({_CONSONANT}){NUKTA}?([{_MARKS}]+{NUKTA}[{_MARKS}{NUKTA}]*)")
# A sign that belongs after the vowel sign, before it (मंे for में): converters of legacy fonts leave that.
_EARLY_SIGN = re.compile(f"(?<!{_NASAL_SIGN}){_NASAL_SIGN}++{_MATRA}(?:{_NASAL_SIGN}|{_MATRA})*+")
_REPEATED = re.compile(rf"([{_MARKS}{NUKTA}\u0951-\u0954])\1+")
_DOUBLE_NUKTA = re.compile(f"([\u0929\u0931\u0934]){NUKTA}+")
_MESSY = re.compile("|".join(p.pattern for p in (_PIECE, _EYELASH, _DOUBLE_NUKTA, _EARLY_SIGN)) + f"|[{_MARKS}]{NUKTA}")


def _vowels_first(match: re.Match[str]) -> str:
    return "".join(sorted(match.group(), key=lambda mark: mark > VISARGA, reverse=True))


def encodings(text: str) -> str:
    """Bring a word's several encodings to one; each round repairs what the last one uncovered."""
    text = normal_form("NFC", text)
    while _REPEATED.search(text) or _MESSY.search(text):
        before = text
        text = _REPEATED.sub(r"\1", _EARLY_SIGN.sub(_vowels_first, text))
        text = _LATE_NUKTA.sub(lambda match: match[1] + NUKTA + match[2].replace(NUKTA, ""), text)
        text = _DOUBLE_NUKTA.sub(r"\1", _EYELASH.sub(_RA, text))
        text = _PIECE.sub(lambda match: _PIECES[match.group()], text)
        text = normal_form("NFC", text)
        if text == before:
            break
    return text

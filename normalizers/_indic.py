"""The rules of ``indic``. Unicode lays its Indic blocks out alike, as ISCII did, so one rule serves many scripts."""

from __future__ import annotations

import re
import unicodedata

import regex

from benchmark.text.common import normal_form

_BLOCKS = range(0x0900, 0x0D80, 0x80)
_VIRAMA, _NUKTA, _ANUSVARA, _VISARGA = 0x4D, 0x3C, 0x02, 0x03


def _signs(offset: int, combining: int | None = None) -> str:
    """Return the character at an offset of every Indic block that has it (with that combining class)."""
    found = (chr(block + offset) for block in _BLOCKS)
    return "".join(c for c in found if unicodedata.combining(c) == combining or combining is None)


# --- letters ------------------------------------------------------------------------------------------------------

_ZWJ = "\u200d"
# Malayalam consonants whose vowelless form was typed with a joiner before Unicode 5.1 gave it a letter (chapter 12.9);
# Bengali khanda ta likewise before 4.1 (12.2); Devanagari's eyelash ra has two spellings (12.1, rule R5a).
_JOINED = {
    "ണ\u0d4d": "ൺ", "ന\u0d4d": "ൻ", "ര\u0d4d": "ർ", "ല\u0d4d": "ൽ", "ള\u0d4d": "ൾ", "ക\u0d4d": "ൿ",
    "ত\u09cd": "ৎ", "र\u094d": "\u0931\u094d",
}  # fmt: skip
_WITH_JOINER = re.compile(f"({'|'.join(_JOINED)}){_ZWJ}+")
# Two encodings of one picture: Malayalam nta (12.9), Tamil shri (12.6).
_SAME = {"ൻ\u0d4dറ": "ന\u0d4dറ", "ஶ\u0bcdரீ": "ஸ\u0bcdரீ"}
_PICTURES = re.compile("|".join(_SAME))
# Arabic letters that keyboards give for Urdu's (chapter 9.2), Arabic's percent sign.
_URDU = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک", "ه": "ہ", "ۀ": "ۂ", "ة": "ۃ", "٪": "%"})


def letters(text: str) -> str:
    """Write letters that need a joiner as the letters that Unicode has for them, and Arabic letters as Urdu's."""
    if _ZWJ in text:
        text = _WITH_JOINER.sub(lambda match: _JOINED[match[1]], text)
    return normal_form("NFC", text).translate(_URDU)


_COLON = regex.compile(r"(?<=([\u0900-\u0d7f])):(?=[\p{L}&&[\u0900-\u0d7f]])", flags=regex.V1)
_NO_VISARGA_AFTER = frozenset(_signs(_VIRAMA) + _signs(_VISARGA))
_WITH_VISARGA = frozenset(_signs(_VISARGA, 0)) - frozenset(
    c for c in _signs(_VISARGA) if unicodedata.category(c)[0] != "M"
)


def visarga(text: str) -> str:
    """Write a colon between two letters or signs of one script as that script's visarga."""

    def sign(match: regex.Match[str]) -> str:
        before = match[1]
        found = chr((ord(before) & ~0x7F) + _VISARGA)
        fits = found in _WITH_VISARGA and before not in _NO_VISARGA_AFTER and unicodedata.category(before)[0] in "LM"
        return found if fits else ":"

    return str(_COLON.sub(sign, text)) if ":" in text else text


# --- encodings ----------------------------------------------------------------------------------------------------

_NUKTAS = _signs(_NUKTA, 7)
_ANY_SIGN = r"[\u0900-\u0903\u093a-\u094f\u0955-\u0957\u0962\u0963]"
_MARK = regex.compile(r"[\p{M}&&[\u0900-\u0d7f]]", flags=regex.V1)
_REPEATED = regex.compile(r"([\p{M}&&[\u0900-\u0d7f]])\1+", flags=regex.V1)
_LATE_NUKTA = regex.compile(
    rf"([\p{{L}}&&[\u0900-\u0d7f]])([[\p{{M}}&&[\u0900-\u0d7f]]--[{_NUKTAS}]]+)([{_NUKTAS}])", flags=regex.V1
)
# The independent a and the sign of long a, the same picture as the letter of long a, in the scripts where it is so.
_LONG_A = {chr(b + 0x05) + chr(b + 0x3E): chr(b + 0x06) for b in (0x900, 0x980, 0xA00, 0xA80, 0xB00, 0xB80, 0xD00)}
_DEVANAGARI = {"अॅ": "ॲ", "अॉ": "ऑ", "अो": "ओ", "अौ": "औ", "आॅ": "ऑ", "आे": "ओ", "आै": "औ", "एॅ": "ऍ", "एे": "ऐ"}
_DEVANAGARI |= {"ाॅ": "ॉ", "ाे": "ो", "ाै": "ौ"}
_GUJARATI = {"અૅ": "ઍ", "અૉ": "ઑ", "અે": "એ", "અૈ": "ઐ", "અો": "ઓ", "અૌ": "ઔ", "આૅ": "ઑ"}
_PIECES = _LONG_A | _DEVANAGARI | _GUJARATI
_PIECE = re.compile("|".join(sorted(_PIECES, key=len, reverse=True)))
_INDIC = re.compile("[\u0900-\u0d7f]")


def encodings(text: str) -> str:
    """Bring a word's several encodings to one; each round repairs what the last one uncovered."""
    text = normal_form("NFC", text)
    before = None
    while text != before and _INDIC.search(text):
        before = text
        text = _REPEATED.sub(r"\1", text)
        text = _LATE_NUKTA.sub(r"\1\3\2", text)
        text = _PIECE.sub(lambda match: _PIECES[match.group()], text)
        text = _PICTURES.sub(lambda match: _SAME[match.group()], text)
        text = normal_form("NFC", text)
    return text


# --- spellings ----------------------------------------------------------------------------------------------------

# Offsets of each row of stops and its nasal. Devanagari, Gujarati, Odia, Telugu, Kannada. In Bengali, anusvara is the
# velar nasal alone (অহংকার = অহঙ্কার); Gurmukhi, Tamil and Malayalam do not use it so.
_ROWS = ((0x19, 0x15), (0x1E, 0x1A), (0x23, 0x1F), (0x28, 0x24), (0x2E, 0x2A))
_WITH_ROWS = {0x900: _ROWS, 0xA80: _ROWS, 0xB00: _ROWS, 0xC00: _ROWS, 0xC80: _ROWS, 0x980: _ROWS[:1]}


def _homorganic() -> str:
    parts = []
    for block, rows in _WITH_ROWS.items():
        inner = "|".join(
            f"{chr(block + nose)}{chr(block + _VIRAMA)}(?=[{chr(block + stop)}-{chr(block + stop + 3)}])"
            for nose, stop in rows
        )
        after = f"[{chr(block + 0x05)}-{chr(block + 0x39)}{chr(block + 0x3C)}{chr(block + 0x3E)}-{chr(block + 0x4C)}]"
        parts.append(f"(?<={after})(?:{inner})")
    return "|".join(parts)


_NASAL = re.compile(_homorganic())


def nasal(word: str) -> str:
    """Write a nasal before a stop of its own row as its script's anusvara; a syllable has to stand before it."""
    return _NASAL.sub(lambda match: chr((ord(match.group()[0]) & ~0x7F) + _ANUSVARA), word)


# Short vowels, tanwin, shadda, sukun, the superscript alef; not madda and hamza, which make other letters.
_VOWEL_MARKS = re.compile("[\u064b-\u0652\u0656-\u065f\u0670]")


def vowel_marks(text: str) -> str:
    """Leave out the vowel marks of the Arabic script."""
    return normal_form("NFC", _VOWEL_MARKS.sub("", text))

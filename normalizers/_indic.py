"""The rules of ``indic``. Unicode lays its Indic blocks out alike, as ISCII did, so one rule serves many scripts."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import regex

from benchmark.text.common import normal_form
from benchmark.text.rules import table
from normalizers import _arabic

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
# Arabic letters that keyboards give for Urdu's (chapter 9.2), and no tatweel, which stretches a word on the page.
_URDU = str.maketrans("يىكهەۀة", "ییکہہۂۃ", "\u0640")


def letters(text: str) -> str:
    """Write letters that need a joiner as the letters that Unicode has for them, and Arabic letters as Urdu's."""
    if _ZWJ in text:
        text = _WITH_JOINER.sub(lambda match: _JOINED[match[1]], text)
    return _arabic.presentation_forms(text).translate(_URDU)


# Gurmukhi is left out: Punjabi ends abbreviations with a colon (ਡਾ:), and hardly uses its visarga.
_VISARGAS = frozenset(c for c in _signs(_VISARGA, 0) if unicodedata.category(c)[0] == "M" and c != "\u0a03")
_NO_VISARGA_AFTER = frozenset(_signs(_VIRAMA) + _signs(_VISARGA))
_COLON = regex.compile(r"(?<=([\u0900-\u0d7f])):(?=[\p{L}&&[\u0900-\u0d7f]])", flags=regex.V1)


def visarga(text: str) -> str:
    """Write a colon between two letters or signs of one script as that script's visarga."""

    def sign(match: regex.Match[str]) -> str:
        before = match[1]
        found = chr((ord(before) & ~0x7F) + _VISARGA)
        fits = found in _VISARGAS and before not in _NO_VISARGA_AFTER and unicodedata.category(before)[0] in "LM"
        return found if fits else ":"

    return str(_COLON.sub(sign, text)) if ":" in text else text


# --- encodings ----------------------------------------------------------------------------------------------------

_NUKTAS = _signs(_NUKTA, 7)
_REPEATED = regex.compile(r"([\p{M}&&[\u0900-\u0d7f]])\1+", flags=regex.V1)
_LATE_NUKTA = regex.compile(
    rf"([\p{{L}}&&[\u0900-\u0d7f]])([[\p{{M}}&&[\u0900-\u0d7f]]--[{_NUKTAS}]]+)([{_NUKTAS}])", flags=regex.V1
)
_INDIC = re.compile("[\u0900-\u0d7f]")


@cache
def _sequences() -> tuple[re.Pattern[str], dict[str, str]]:
    """Return what looks the same as another sequence, longest first, and what to write instead."""
    rows = table("normalizers", "indic_sequences.tsv")
    known = {_characters(row["typed"]): _characters(row["written"]) for row in rows}
    return re.compile("|".join(sorted(known, key=len, reverse=True))), known


def _characters(codes: str) -> str:
    return "".join(chr(int(code, 16)) for code in codes.split())


def encodings(text: str) -> str:
    """Bring a word's several encodings to one; each round repairs what the last one uncovered."""
    text = _arabic.encodings(text)
    if not _INDIC.search(text):
        return text
    same, known = _sequences()
    before = None
    while text != before:
        before = text
        text = _LATE_NUKTA.sub(r"\1\3\2", text)
        text = same.sub(lambda match: known[match.group()], text)
        text = _REPEATED.sub(r"\1", text)
        text = normal_form("NFC", text)
    return text


def vowel_marks(text: str) -> str:
    """Leave out Urdu's vowel marks; signs of another script that one of them parted stand together now."""
    without = _arabic.vowel_marks(text)
    return text if without == text else encodings(without)


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


# Tippi stands where the vowel is short or the sign below the letter, bindi elsewhere (chapter 12.3): one sound, and the
# vowel alone decides, so that two words never differ in it.
_TIPPI, _BINDI = "\u0a70", "\u0a02"
_GURMUKHI_NASAL = re.compile(f"(?<=([\u0a05-\u0a39\u0a3c\u0a3e-\u0a4c\u0a59-\u0a5e]))[{_TIPPI}{_BINDI}]+")
_BEFORE_BINDI = frozenset("ਆਈਉਊਏਐਓਔਾੀੇੈੋੌ")


def tippi(text: str) -> str:
    """Write Gurmukhi's sign of a nasal vowel as the vowel before it asks for."""
    return _GURMUKHI_NASAL.sub(lambda match: _BINDI if match[1] in _BEFORE_BINDI else _TIPPI, text)


# After these letters the length mark makes another letter, and after the sign of e the sign of au.
_AU = re.compile("(?<![\u0d46ഇഉഒ])\u0d46*[\u0d4c\u0d57](?:\u0d46*[\u0d4c\u0d57])*")


def au_sign(text: str) -> str:
    """Write Malayalam's vowel sign au in its one-part form, which the reformed orthography has (chapter 12.9)."""
    return _AU.sub("\u0d57", text) if "\u0d4c" in text else text


def nta(text: str) -> str:
    """Write Malayalam's chillu n beside rra as the conjunct nta (chapter 12.9 has both forms)."""
    return text.replace("ൻറ", "ന\u0d4dറ")

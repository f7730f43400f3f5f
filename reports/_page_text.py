"""Texts of records made harmless to look at: control characters become visible, long texts are cut and say so."""

from __future__ import annotations

import unicodedata

CUT = 300
"""Characters of a text that are shown."""
_NAMES = {
    0x061C: "ALM", 0x200B: "ZWSP", 0x200E: "LRM", 0x200F: "RLM", 0x2028: "LS", 0x2029: "PS", 0xFEFF: "BOM",
    0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO",
    0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI",
}  # fmt: skip
"""What changes the direction of the text around it, or is not seen at all; other format characters have no name."""
_JOINERS = frozenset("\u200c\u200d")
_STAY = _JOINERS | frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters that belong to scripts: joiners, and what is seen (signs before numbers, ends of verses)."""
_VISIBLE = {code: f"⟦{name}⟧" for code, name in _NAMES.items()}
_VISIBLE |= {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "␡", 0x09: " ", 0x0A: "⏎", 0x0D: "␍"}
_VISIBLE |= {code: f"⟦U+{code:04X}⟧" for code in range(0x80, 0xA0)}
_MARKS = 4
"""Combining marks in a row that a script may need; what is beyond them would grow over the lines around it."""


def visible(text: str) -> str:
    """Return a text in which what steers or hides is written out, and half a surrogate pair is U+FFFD."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").translate(_VISIBLE)
    return whole if whole.isascii() else _tamed(whole)


def _tamed(text: str) -> str:
    """Return a text without the combining marks beyond the first few in a row, and without what is not seen."""
    kept, row = [], 0
    for char in text:
        kind = unicodedata.category(char)
        if kind in ("Mn", "Me"):
            row += 1
        elif char not in _JOINERS:  # between marks they end no row
            row = 0
        if kind == "Cf" and char not in _STAY:
            kept.append(f"⟦U+{ord(char):04X}⟧")
        elif row <= _MARKS:
            kept.append(char)
    return "".join(kept)


def cut(text: str, most: int = CUT) -> tuple[str, str]:
    """Return what is shown of a text, visible, and a note where that is not all of it."""
    if len(text) <= most:
        return visible(text), ""
    return visible(text[:most]) + " …", f"cut: {len(text):,} characters"


def shown(text: str, most: int = CUT) -> str:
    """Return a text in one piece, visible and cut with its note."""
    start, note = cut(text, most)
    return f"{start} ({note})" if note else start

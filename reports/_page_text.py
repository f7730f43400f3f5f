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
"""What changes the direction of the text around it, or is not seen at all. Joiners belong to scripts and stay."""
_VISIBLE = {code: f"⟦{name}⟧" for code, name in _NAMES.items()}
_VISIBLE |= {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "␡", 0x09: " ", 0x0A: "⏎", 0x0D: "␍"}
_VISIBLE |= {code: f"⟦U+{code:04X}⟧" for code in range(0x80, 0xA0)}
_MARKS = 4
"""Combining marks in a row that a script may need; what is beyond them would grow over the lines around it."""


def visible(text: str) -> str:
    """Return a text in which what steers or hides is written out, and half a surrogate pair is U+FFFD."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").translate(_VISIBLE)
    return whole if whole.isascii() else _without_towers(whole)


def _without_towers(text: str) -> str:
    """Return a text without the combining marks beyond the first few in a row."""
    kept, row = [], 0
    for char in text:
        row = row + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if row <= _MARKS:
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

"""What ``arabic`` and the Urdu of ``indic`` share: encodings and vowel marks of the Arabic script."""

from __future__ import annotations

import re
import unicodedata

from benchmark.text.common import compose

_PRESENTED = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]+")
_LONE_MARKS = re.compile("[\ufc5e-\ufc63\ufe70-\ufe7f]+")
_SEAT = str.maketrans("", "", " \u0640")
_PERCENT = str.maketrans("٪", "%")
# Short vowels, tanwin, shadda, sukun, superscript alef, the marks of recitation; not madda and hamza, which make other
# letters.
_VOWEL_MARKS = re.compile(
    "[\u064b-\u0652\u0656-\u065f\u0670\u0610-\u061a\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)
# Canonical order puts these marks before a hamza above, and they do not keep it from its letter.
_BELOW_HAMZA = "".join(chr(code) for code in range(0x0610, 0x06EE) if 0 < unicodedata.combining(chr(code)) < 230)
_YEH_WITH_HAMZA = re.compile(f"[\u0649\u06cc]([{_BELOW_HAMZA}]*)\u0654")


def presentation_forms(text: str) -> str:
    """Write letters in the shapes of their place in a word, and ligatures, as plain letters."""
    text = _LONE_MARKS.sub(lambda match: _plain(match).translate(_SEAT), text)  # shown on a space, or on a tatweel
    return _PRESENTED.sub(_plain, text).translate(_PERCENT)


def _plain(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match.group())


def encodings(text: str) -> str:
    """Compose, and write hamza over a dotless or a Persian yeh as the one letter that it is (chapter 9.2)."""
    text = compose(text)
    return _YEH_WITH_HAMZA.sub("\u0626\\1", text) if "\u0654" in text else text


def vowel_marks(text: str) -> str:
    """Leave out vowel marks; what they stood between may compose anew."""
    return encodings(_VOWEL_MARKS.sub("", text))

"""Chinese and Japanese: width, spaces that part no words, traditional and simplified; the unit is the character."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import ClassVar, Literal

import regex
from pydantic import Field

from benchmark.api import Config, Unit
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.text.common import program
from benchmark.text.rules import RuleBased, TextRule

Script = Literal["keep", "simplified", "traditional"]

# Half-width and full-width forms; radicals and squared words (㌔ is キロ), which Unicode counts among symbols and
# ``punctuation`` would take away; numbers and letters in circles and brackets.
_WIDTH = re.compile("[\u2460-\u24ff\u2e80-\u2fdf\u3200-\u33ff\uff00-\uffef]+")
_VOICED = str.maketrans("\u309b\u309c", "\u3099\u309a")  # the marks of voiced kana that stand alone
_WIDE = r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー々〇]--\p{M}]"
# A space stays before a decimal sign, which would be a stop without it, and before a mark, which would join a letter.
_SPACE = regex.compile(
    rf"(?<={_WIDE}\p{{M}}*)\s++(?![.\p{{M}}\p{{Hangul}}])|(?<![\s\p{{Hangul}}])\s++(?={_WIDE})", flags=regex.V1
)


def width(text: str) -> str:
    """Write half-width kana, full-width letters, digits and marks, radicals and squared words as usual characters."""
    text = text.translate(_VOICED)
    return _WIDTH.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)


def spaces(text: str) -> str:
    """Remove spaces beside Han characters and kana: they part no words; between Latin words they stay."""
    return str(_SPACE.sub("", text))


class Characters:
    """OpenCC's conversion, character by character and to its end, so that converting twice changes nothing.

    A simplified character with several traditional ones becomes the first that OpenCC names: without its sentence
    nobody knows which is meant. The other direction has no such doubt.

    Raises:
        SpecError: the library is not installed.
    """

    _han = regex.compile(r"\p{Han}")

    def __init__(self, script: Script) -> None:
        try:
            from opencc import OpenCC
        except ImportError:
            raise SpecError("options of 'cjk': script needs the package opencc: pip install prunebench[cjk]") from None
        self._convert: Callable[[str], str] = OpenCC("t2s" if script == "simplified" else "s2t").convert
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """Return the text with each Han character converted."""
        return str(self._han.sub(self._settled, text))

    def _settled(self, match: regex.Match[str]) -> str:
        char = str(match.group())
        if char not in self._known:
            way = [char]
            while (after := self._convert(way[-1])) not in way:
                way.append(after)
            self._known[char] = min(way[way.index(after) :])  # a circle of several has no end: its first, always
        return self._known[char]


class CjkConfig(Config):
    """What may be chosen besides the switches of the rules."""

    script: Script = Field(default="keep", description="of Han characters: as they are, or all in one by OpenCC")


@REGISTRY.register("normalizer", "cjk")
class Cjk(RuleBased):
    """Chinese and Japanese text for character error rates: neither puts spaces between words.

    Folds: width (ｶﾞ = ガ), radicals and squared words (㌔ = キロ), digits, case of Latin words, punctuation, spaces
    beside Han characters and kana; with ``script`` also traditional to simplified characters, or the other way, by
    OpenCC (extra ``cjk``).
    Keeps: hiragana and katakana apart, small kana, the long vowel ー, the repetition sign 々, numbers in Han characters
    (二〇), spaces of Latin words and beside Hangul.
    Source: own rules after the Unicode Standard, chapters 18.1 and 18.4. Korean has spaces and is counted by
    words, so it is no part of it.
    """

    Config: ClassVar[type[Config]] = CjkConfig
    languages: ClassVar[tuple[str, ...]] = ("zh", "ja", "yue")
    unit: ClassVar[Unit] = "char"
    program: ClassVar[tuple[TextRule, ...]] = program(
        TextRule(
            "spaces", True, "no spaces beside Han characters and kana: they part no words",
            ("你好 世界", "你好世界"), spaces,
        ),
        first=(
            TextRule(
                "width", True, "forms of other width, radicals, squared words to usual characters",
                ("ｶﾞ㌔", "ガキロ"), width,
            ),
        ),
    )  # fmt: skip

    def chosen(self) -> tuple[TextRule, ...]:
        """Return the rules, with OpenCC's conversion as the last one where a script is chosen."""
        script: Script = getattr(self.config, "script", "keep")
        if script == "keep":
            return self.program
        what = f"Han characters in their {script} form: one word, two scripts, but for characters that merge"
        rule = TextRule("script", False, what, ("漢語", "汉语"), Characters(script), judged=True)
        return (*self.program, rule)

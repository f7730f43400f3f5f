"""What the normalisers share: named rules, the machine that runs them in order, and the small rules of all scripts.

A rule-based normaliser is a tuple of rules. Each has a name, and the normaliser's ``Config`` has a bool of that name,
so a rule can be switched off alone and the switch shows in the signature. Rules of a text see the whole utterance;
rules of a word see one word without spaces, and are remembered, because a language repeats its words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import ClassVar, Literal

from benchmark.api import Normalizer

_REMEMBERED_WORDS = 1 << 16
_REMEMBERED_LENGTH = 64


@dataclass(frozen=True)
class RuleInfo:
    """What there is to say about a rule: its option, its default, what it folds and why, a pair that it makes equal."""

    name: str
    default: bool
    what: str
    example: tuple[str, str]


@dataclass(frozen=True)
class TextRule(RuleInfo):
    """A rule that can be run: ``apply`` is pure and total.

    ``again``: the words that the rule puts in are new to the word rules before it, and have to pass them.
    """

    apply: Callable[[str], str]
    scope: Literal["text", "word"] = "text"
    again: bool = False


class RuleBased(Normalizer):
    """A normaliser made of rules; a subclass names them, in their order, and has a bool option for each."""

    rules: ClassVar[tuple[RuleInfo, ...]] = ()
    program: ClassVar[tuple[TextRule, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.rules = cls.program

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._steps = _steps([rule for rule in self.program if getattr(self.config, rule.name)])

    def __call__(self, text: str) -> str:
        """Return the normalised text."""
        for step in self._steps:
            text = step(text)
        return text


def _steps(rules: Sequence[TextRule]) -> list[Callable[[str], str]]:
    """Turn rules into functions of a text; neighbouring word rules share one walk over the words."""
    steps: list[Callable[[str], str]] = []
    words: list[TextRule] = []
    for rule in rules:
        if rule.scope == "word":
            words.append(rule)
            continue
        if words:
            steps.append(WordFold(words))
            words = []
        steps.append(rule.apply)
    if words:
        steps.append(WordFold(words))
    return steps


class WordFold:
    """Word rules over all words of a text; what stands between the words stays."""

    _word = re.compile(r"\S+")

    def __init__(self, rules: Iterable[TextRule]) -> None:
        self.rules = tuple(rules)
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """Fold each word of ``text``."""
        return self._word.sub(self._fold_match, text)

    def _fold_match(self, match: re.Match[str]) -> str:
        word = match.group()
        folded = self._known.get(word)
        if folded is None:
            folded = self.fold(word)
            if len(word) <= _REMEMBERED_LENGTH:
                if len(self._known) >= _REMEMBERED_WORDS:
                    self._known.clear()
                self._known[word] = folded
        return folded

    def fold(self, word: str) -> str:
        """Fold one word by all rules."""
        for place, rule in enumerate(self.rules):
            before, word = word, rule.apply(word)
            if rule.again and word != before:
                word = " ".join(_through(self.rules[:place], part) for part in word.split(" "))
        return word


def _through(rules: Iterable[TextRule], word: str) -> str:
    for rule in rules:
        word = rule.apply(word)
    return word


# --- word lists ---------------------------------------------------------------------------------------------------


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """Read ``data/<name>``: tab-separated, the first line names the columns, lines beginning with ``#`` are remarks."""
    text = files("normalizers").joinpath("data", name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    columns = lines[0].split("\t")
    return tuple(dict(zip(columns, line.split("\t"), strict=True)) for line in lines[1:])


# --- small rules of all scripts -----------------------------------------------------------------------------------

# Zero-width and directional characters steer the display: soft hyphen, grapheme joiner, ZWSP to RLM, embeddings,
# word joiner to nominal shapes, variation selectors, BOM, interlinear marks.
_JOINERS = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb]"
)
_WIDE = re.compile("[\uff01-\uff5e\uffe0-\uffe6]")
_HALF = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | dict(
    zip(range(0xFFE0, 0xFFE7), "\u00a2\u00a3\u00ac\u00af\u00a6\u00a5\u20a9", strict=True)
)
# Blocks in which Unicode has put punctuation and symbols so far; looking at all code points would take 0.1 s.
_MARKED_BLOCKS = (range(0x20, 0x3400), range(0xA000, 0xAC00), range(0xF900, 0x20000))


def drop_joiners(text: str) -> str:
    """Remove characters that only steer the display."""
    return _JOINERS.sub("", text)


def fold_case(text: str) -> str:
    """Full width to half width, then lower case."""
    if _WIDE.search(text):
        text = text.translate(_HALF)
    return text.lower()


def squeeze_spaces(text: str) -> str:
    """Make every run of Unicode white space one space; none at the ends."""
    return " ".join(text.split())


def members(*categories: str) -> frozenset[str]:
    """Return the characters whose Unicode category starts with one of ``categories`` (in the blocks of marks)."""
    chars = (chr(code) for block in _MARKED_BLOCKS for code in block)
    return frozenset(char for char in chars if unicodedata.category(char).startswith(categories))


def char_class(chars: Iterable[str]) -> str:
    """Return a regular-expression class of ``chars``, written as ranges."""
    runs: list[list[int]] = []
    for code in sorted(map(ord, chars)):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "[" + "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in runs) + "]"

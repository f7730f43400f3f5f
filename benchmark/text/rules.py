"""The machine that runs named rules over a text: what rule-based normalisers are made of. No torch.

A rule-based normaliser is a tuple of rules, its ``program``. Each has a name, and the normaliser's ``Config`` has a
bool of that name, so a rule can be switched off alone and the switch shows in the signature. Rules of a text see the
whole utterance; rules of a word see one word without spaces, and are remembered, because a language repeats its words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Literal

from pydantic import Field, create_model

from benchmark.api import Config, Normalizer
from benchmark.errors import DataError

_REMEMBERED_WORDS = 1 << 16
_REMEMBERED_LENGTH = 64


@dataclass(frozen=True)
class TextRule:
    """A named rule: what it folds and why, a pair of texts that it makes equal, and the function that does it.

    ``apply`` is pure and total. ``again``: the words that the rule puts in are new to the word rules before it, and
    have to pass them. ``judged``: the rule is a judgement about a language and not right by construction, so the audit
    samples what it merges.
    """

    name: str
    default: bool
    what: str
    example: tuple[str, str]
    apply: Callable[[str], str]
    scope: Literal["text", "word"] = "text"
    again: bool = False
    judged: bool = False


class RuleBased(Normalizer):
    """A normaliser made of rules; a subclass names them, in their order, as its ``program``.

    Its ``Config`` gets a bool option for each rule, beside the options that the subclass' own ``Config`` declares. An
    option that chooses between functions overrides ``chosen``.
    """

    program: ClassVar[tuple[TextRule, ...]] = ()
    _options: ClassVar[type[Config]] = Config
    """The options besides the switches."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "program" in vars(cls):
            switches: dict[str, Any] = {
                rule.name: (bool, Field(default=rule.default, description=rule.what)) for rule in cls.program
            }
            # Not the parent's Config, which has the switches of rules that may be no part of this program.
            cls._options = vars(cls).get("Config", cls._options)
            cls.Config = create_model(
                f"{cls.__name__}Config", __base__=cls._options, __module__=cls.__module__, **switches
            )

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.active = tuple(rule for rule in self.chosen() if getattr(self.config, rule.name))
        self._steps = _steps(self.active)

    def chosen(self) -> tuple[TextRule, ...]:
        """Return the rules under this instance's options, whether switched on or not."""
        return self.program

    def __call__(self, text: str) -> str:
        """Return the normalised text."""
        for step in self._steps:
            text = step(text)
        return text

    def trace(self, text: str) -> Iterator[tuple[TextRule, str]]:
        """Yield each active rule with the text as it leaves it; the last text is the normalised one."""
        words: list[TextRule] = []
        before = text
        for rule in self.active:
            if rule.scope == "text":
                words, before = [], rule.apply(text)
                text = before
            else:  # a word rule may send its words through the word rules before it again
                words.append(rule)
                text = WordFold(words)(before)
            yield rule, text

    @classmethod
    def without(cls, rules: Iterable[TextRule]) -> dict[str, bool]:
        """Return the options that switch ``rules`` off."""
        return {rule.name: False for rule in rules}


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
def table(package: str, name: str) -> tuple[dict[str, str], ...]:
    """Read a package's ``data/<name>``: tab-separated, the first line names the columns, ``#`` begins remarks.

    Raises:
        DataError: there is no such file, it is not UTF-8, or a line has more or fewer columns than the first.
    """
    where = f"{package}/data/{name}"
    try:
        text = files(package).joinpath("data", name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: cannot be read ({error})") from error
    columns: list[str] = []
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split("\t")
        if not line.strip() or line.startswith("#"):
            continue
        if not columns:
            columns = cells
        elif len(cells) != len(columns):
            raise DataError(
                f"{where}:{number}: {len(cells)} columns, and the first line names {len(columns)}: {line!r}"
            )
        else:
            rows.append(dict(zip(columns, cells, strict=True)))
    return tuple(rows)

"""Sentences of the synthetic corpora: a word list with sentence patterns, read from ``words/<language>.yaml``.

A word list has *classes* and *patterns*. A class is a list of words separated by ``|``, or a table: named ``forms``
and ``rows`` with one cell a form (``adj`` with the forms ``m, f``), so that ``{adj.f}`` asks for a feminine adjective.
Words and cells may hold slots themselves (``{poss.m} {kin_m}``). A pattern is a sentence with slots and a weight;
agreement is kept by writing one pattern per gender or number. A sentence starts with a capital where the script has
them. Everything is NFC.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from benchmark.errors import DataError

SIZES: dict[str, int] = {"train": 6000, "dev": 300, "test": 600, "test-unseen-voice": 400}
_SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_DRAWS_PER_SENTENCE = 64
_FORM_OF_A_LIST = ""


def rng(*key: object) -> np.random.Generator:
    """Return a generator that depends on ``key`` alone, on every machine and in every process."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


@dataclass(frozen=True)
class Pattern:
    """A sentence with slots, its group (what kind of sentence it is) and its weight."""

    group: str
    text: str
    weight: float


@dataclass(frozen=True)
class Grammar:
    """One language's word classes and sentence patterns."""

    language: str
    voice: str
    revision: str
    digest: str
    classes: Mapping[str, Mapping[str, tuple[str, ...]]]
    patterns: tuple[Pattern, ...]

    @property
    def name(self) -> str:
        """Name of the corpus."""
        return f"synthetic-{self.language}"

    def sentence(self, draws: np.ndarray) -> str | None:
        """Return the sentence that the uniform ``draws`` (shape ``(64,)``) select; None when a word occurs twice."""
        numbers = iter(draws.tolist())
        pattern = self.patterns[int(np.searchsorted(self._bounds(), next(numbers), side="right"))]
        filled: list[tuple[str, str]] = []

        def fill(match: re.Match[str]) -> str:
            cells = self.classes[match[1]][match[2] or _FORM_OF_A_LIST]
            text = _SLOT.sub(fill, cells[int(next(numbers) * len(cells))])
            filled.append((match[1], text))
            return text

        text = _SLOT.sub(fill, pattern.text)
        return self._capital(text[0]) + text[1:] if len(set(filled)) == len(filled) else None

    def _capital(self, letter: str) -> str:
        return "İ" if letter == "i" and self.language == "tr" else letter.upper()

    def _bounds(self) -> np.ndarray:
        return _bounds(tuple(pattern.weight for pattern in self.patterns))

    def words(self) -> set[str]:
        """Return every distinct word that the grammar can say, without punctuation."""
        texts = [pattern.text for pattern in self.patterns]
        texts += [cell for table in self.classes.values() for cells in table.values() for cell in cells]
        return {word for text in texts for word in bare(_SLOT.sub(" ", text)).split()}


@lru_cache(maxsize=64)
def _bounds(weights: tuple[float, ...]) -> np.ndarray:
    total: np.ndarray = np.cumsum(np.asarray(weights, dtype=np.float64))
    return np.asarray(total / total[-1])


def bare(text: str) -> str:
    """Return the text without punctuation and case: two sentences that are equal so must not be in two splits."""
    # By Unicode category: the pattern \w takes no Indic vowel sign or virama.
    kept = (" " if unicodedata.category(letter)[0] in "PSZ" else letter for letter in text.casefold())
    return " ".join("".join(kept).split())


def languages() -> list[str]:
    """Return the languages that have a word list, sorted."""
    folder = files("benchmark.corpora") / "words"
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))


@cache
def grammar(language: str) -> Grammar:
    """Read and check one word list.

    Raises:
        DataError: the file is not valid, or a slot has no class.
    """
    raw = (files("benchmark.corpora") / "words" / f"{language}.yaml").read_bytes()
    return parse(raw, f"words/{language}.yaml")


def parse(raw: bytes, where: str) -> Grammar:
    """Return the grammar in the YAML text ``raw``; ``where`` names it in errors.

    Raises:
        DataError: not YAML, a key is missing, a row does not fit its forms, or a slot has no class.
    """
    try:
        data = yaml.safe_load(unicodedata.normalize("NFC", raw.decode()))
        classes = {name: _table(where, name, value) for name, value in data["classes"].items()}
        patterns = tuple(
            Pattern(group, text, float(weight))
            for group, texts in data["patterns"].items()
            for text, weight in texts.items()
            if weight
        )
        digest = hashlib.sha256(raw.replace(b"\r\n", b"\n")).hexdigest()  # a checkout may change the line ends
        found = Grammar(data["language"], data["voice"], str(data["revision"]), digest, classes, patterns)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{where}: not a word list ({type(error).__name__}: {error}); see _grammar.py") from error
    texts = [pattern.text for pattern in patterns]
    texts += [cell for table in classes.values() for cells in table.values() for cell in cells]
    for text in texts:
        for name, form in _SLOT.findall(text):
            if form not in classes.get(name, {}):
                raise DataError(f"{where}: {text!r} asks for {{{name}{'.' + form if form else ''}}}, which is no class")
    return found


def _table(where: str, name: str, value: Any) -> dict[str, tuple[str, ...]]:
    if isinstance(value, str):
        return {_FORM_OF_A_LIST: _cells(value)}
    rows = [_cells(row) for row in value["rows"]]
    for row in rows:
        if len(row) != len(value["forms"]):
            raise DataError(f"{where}: class {name}: the row {' | '.join(row)!r} needs {len(value['forms'])} cells")
    return {form: tuple(row[i] for row in rows) for i, form in enumerate(value["forms"])}


def _cells(text: str) -> tuple[str, ...]:
    return tuple(" ".join(cell.split()) for cell in text.split("|"))


@lru_cache(maxsize=8)
def texts(language: str) -> dict[str, tuple[str, ...]]:
    """Return the sentences of every split: distinct, and none in two splits (punctuation and case aside).

    Raises:
        DataError: the grammar cannot say as many sentences as the splits need.
    """
    source = grammar(language)
    needed = sum(SIZES.values())
    generator = rng(source.name, source.revision, "sentences")
    seen: dict[str, str] = {}
    for _ in range(40):
        for draws in generator.random((needed // 4, _DRAWS_PER_SENTENCE)):
            text = source.sentence(draws)
            if text is not None:
                seen.setdefault(bare(text), text)
        if len(seen) >= needed:
            break
    else:
        raise DataError(f"words/{language}.yaml: says {len(seen)} different sentences, {needed} are needed: add words")
    # Common sentences are drawn first; shuffling gives every split the same share of them.
    shuffled = rng(source.name, source.revision, "order").permutation(np.array(list(seen.values())[:needed]))
    ends = np.cumsum(list(SIZES.values()))[:-1]
    parts = np.split(shuffled, ends)
    return {split: tuple(str(text) for text in part) for split, part in zip(SIZES, parts, strict=True)}

"""How a hypothesis differs from its reference: edit counts and edit distances per utterance, in words or characters.

The engine is rapidfuzz, which jiwer calls too, so the counts are jiwer's; going there directly is some times faster.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from benchmark.api import Unit

_ROW = 5
_T = TypeVar("_T")
_Cut = Sequence[Sequence[object]]
"""Texts in units."""


@dataclass(frozen=True)
class Distances:
    """Edit distances per utterance in one unit; both arrays have shape ``(N,)`` and type int64."""

    errors: np.ndarray
    lengths: np.ndarray
    """Units in the reference."""

    @property
    def rate(self) -> float:
        """Corpus error rate: all errors over all reference units; NaN when there is no reference unit."""
        return _rate(self.errors, self.lengths)


@dataclass(frozen=True)
class Counts:
    """Edit counts per utterance in one unit; all arrays have shape ``(N,)`` and type int64."""

    hits: np.ndarray
    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray
    lengths: np.ndarray
    """Units in the reference: hits + substitutions + deletions."""

    @property
    def errors(self) -> np.ndarray:
        """Substitutions + deletions + insertions per utterance."""
        total: np.ndarray = self.substitutions + self.deletions + self.insertions
        return total

    @property
    def rate(self) -> float:
        """Corpus error rate: all errors over all reference units; NaN when there is no reference unit."""
        return _rate(self.errors, self.lengths)


def _rate(errors: np.ndarray, lengths: np.ndarray) -> float:
    total = int(lengths.sum())
    return float(errors.sum() / total) if total else float("nan")


def counts(references: Sequence[str], hypotheses: Sequence[str], unit: Unit = "word") -> Counts:
    """Align texts and count per utterance what jiwer counts, by the engine that jiwer calls, without its lists.

    White space is collapsed first; a space between words is a character like any other (jiwer's convention). jiwer
    refuses empty references; here every unit of the hypothesis is then an insertion.

    Args:
        references: normalised texts, length N.
        hypotheses: normalised texts, length N, in the same order.
        unit: ``word`` (between white space) or ``char``.

    Raises:
        ValueError: the lists differ in length.
    """

    return _counts(*_both(references, hypotheses, unit))


def _counts(references: _Cut, hypotheses: _Cut) -> Counts:
    from rapidfuzz.distance import Levenshtein

    found = []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        edits = [tag for tag, _, _ in Levenshtein.editops(reference, hypothesis).as_list()]
        found.append((len(reference), len(edits), edits.count("replace"), edits.count("delete")))
    lengths, errors, substitutions, deletions = np.array(found, np.int64).reshape(-1, 4).T
    return Counts(
        hits=lengths - substitutions - deletions,
        substitutions=substitutions,
        deletions=deletions,
        insertions=errors - substitutions - deletions,
        lengths=lengths,
    )


def distances(references: Sequence[str], hypotheses: Sequence[str], unit: Unit = "word") -> Distances:
    """Return only how many errors there are, which needs no alignment; arguments as in ``counts``.

    Raises:
        ValueError: the lists differ in length.
    """
    refs, hyps = _both(references, hypotheses, unit)
    return Distances(_distances(refs, hyps), np.fromiter(map(len, refs), np.int64, len(refs)))


def _distances(references: _Cut, hypotheses: _Cut) -> np.ndarray:
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cpdist

    return np.asarray(cpdist(references, hypotheses, scorer=Levenshtein.distance, dtype=np.int64, workers=1), np.int64)


class Aligner:
    """Fixed references, to which each distinct hypothesis is aligned once: cells agree in most of what they hear.

    Args:
        references: normalised texts, length N.
        unit: of ``Counts``; the distances are in the other one.
    """

    def __init__(self, references: Sequence[str], unit: Unit) -> None:
        self._main_is_words = unit == "word"
        self._cutter = _Cutter()
        self._words, self._chars = self._cutter.both(references)
        self._lengths = [_lengths(cut) for cut in self._ordered(self._words, self._chars)]
        self._known: list[dict[str, int]] = [{} for _ in references]
        self._rows = array("q")
        """Flat; a row is hits, substitutions, deletions, insertions, and the errors in the other unit."""

    def __call__(self, hypotheses: Sequence[str]) -> tuple[Counts, Distances]:
        """Return what ``counts`` and ``distances`` say of hypotheses, one a reference.

        Raises:
            ValueError: there is not one hypothesis a reference.
        """
        _check(self._words, hypotheses)
        known = self._known
        new = [place for place, text in enumerate(hypotheses) if text not in known[place]]
        if new:
            self._align(new, hypotheses)
        table = np.frombuffer(self._rows, np.int64).reshape(len(self._rows) // _ROW, _ROW)
        found = table[[seen[text] for seen, text in zip(known, hypotheses, strict=True)]].T.copy()
        hits, substitutions, deletions, insertions, others = found
        main = Counts(hits, substitutions, deletions, insertions, self._lengths[0])
        return main, Distances(others, self._lengths[1])

    def _align(self, places: Sequence[int], hypotheses: Sequence[str]) -> None:
        words, chars = self._cutter.both([hypotheses[place] for place in places])
        pairs = ([self._words[place] for place in places], words), ([self._chars[place] for place in places], chars)
        first, second = self._ordered(*pairs)
        main, others = _counts(*first), _distances(*second)
        columns = [main.hits, main.substitutions, main.deletions, main.insertions, others]
        row = len(self._rows) // _ROW
        self._rows.frombytes(np.stack(columns, axis=1).tobytes())
        for place in places:
            self._known[place][hypotheses[place]] = row
            row += 1

    def _ordered(self, words: _T, chars: _T) -> tuple[_T, _T]:
        return (words, chars) if self._main_is_words else (chars, words)


def _lengths(cut: _Cut) -> np.ndarray:
    """Return how many units each text has; the array is shared and cannot be written."""
    lengths = np.fromiter(map(len, cut), np.int64, len(cut))
    lengths.flags.writeable = False
    return lengths


def _check(references: Sequence[object], hypotheses: Sequence[object]) -> None:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references do not go with {len(hypotheses)} hypotheses")


def _both(references: Sequence[str], hypotheses: Sequence[str], unit: Unit) -> tuple[_Cut, _Cut]:
    """Return references and hypotheses in units."""
    _check(references, hypotheses)
    cutter, place = _Cutter(), 0 if unit == "word" else 1
    return cutter.both(references)[place], cutter.both(hypotheses)[place]


class _Cutter:
    """Cuts texts into what is compared: words as numbers, and characters as they are, white space collapsed."""

    def __init__(self) -> None:
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        self._number = numbers.__getitem__

    def both(self, texts: Sequence[str]) -> tuple[_Cut, _Cut]:
        """Return texts in words and in characters."""
        number = self._number
        words = [text.split() for text in texts]
        return [list(map(number, some)) for some in words], [" ".join(some) for some in words]

"""How a hypothesis differs from its reference: edit counts and edit distances per utterance, in words or characters.

The engine is rapidfuzz, which jiwer calls too, so the counts are jiwer's; going there directly is some times faster.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.api import Unit

_ROW = 5


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
    """Align texts and count per utterance what jiwer counts, by the function that jiwer calls, without its lists.

    White space is collapsed first; a space between words is a character like any other (jiwer's convention). jiwer
    refuses empty references; here every unit of the hypothesis is then an insertion.

    Args:
        references: normalised texts, length N.
        hypotheses: normalised texts, length N, in the same order.
        unit: ``word`` (between white space) or ``char``.

    Raises:
        ValueError: the lists differ in length.
    """
    from rapidfuzz.distance import Levenshtein

    refs, hyps = _both(references, hypotheses, unit)
    table = np.zeros((4, len(refs)), np.int64)
    for row, (ref, hyp) in enumerate(zip(refs, hyps, strict=True)):
        hits = substitutions = deletions = insertions = 0
        for run in Levenshtein.opcodes(ref, hyp):  # a run: equal operations in a row
            if run.tag == "equal":
                hits += run.src_end - run.src_start
            elif run.tag == "replace":
                substitutions += run.src_end - run.src_start
            elif run.tag == "delete":
                deletions += run.src_end - run.src_start
            else:
                insertions += run.dest_end - run.dest_start
        table[:, row] = hits, substitutions, deletions, insertions
    hits_, substitutions_, deletions_, insertions_ = table
    return Counts(hits_, substitutions_, deletions_, insertions_, hits_ + substitutions_ + deletions_)


def distances(references: Sequence[str], hypotheses: Sequence[str], unit: Unit = "word") -> Distances:
    """Return only how many errors there are, which needs no alignment; arguments as in ``counts``.

    Raises:
        ValueError: the lists differ in length.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cpdist

    refs, hyps = _both(references, hypotheses, unit)
    errors = cpdist(refs, hyps, scorer=Levenshtein.distance, dtype=np.int64, workers=1)
    return Distances(np.asarray(errors, np.int64), np.fromiter(map(len, refs), np.int64, len(refs)))


class Aligner:
    """Fixed references, to which each distinct hypothesis is aligned once: cells agree in most of what they hear.

    Args:
        references: normalised texts, length N.
        unit: of ``Counts``; the distances are in the other one.
    """

    def __init__(self, references: Sequence[str], unit: Unit) -> None:
        self._references = references
        self._units: tuple[Unit, Unit] = ("word", "char") if unit == "word" else ("char", "word")
        self._lengths = [_lengths(references, unit) for unit in self._units]
        self._known: list[dict[str, int]] = [{} for _ in references]
        self._rows = array("q")
        """Flat; a row is hits, substitutions, deletions, insertions, and the errors in the other unit."""

    def __call__(self, hypotheses: Sequence[str]) -> tuple[Counts, Distances]:
        """Return what ``counts`` and ``distances`` say of hypotheses, one a reference.

        Raises:
            ValueError: there is not one hypothesis a reference.
        """
        _check(self._references, hypotheses)
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
        pairs = [self._references[place] for place in places], [hypotheses[place] for place in places]
        main, other = counts(*pairs, self._units[0]), distances(*pairs, self._units[1])
        columns = [main.hits, main.substitutions, main.deletions, main.insertions, other.errors]
        first = len(self._rows) // _ROW
        self._rows.frombytes(np.stack(columns, axis=1).tobytes())
        for row, place in enumerate(places, first):
            self._known[place][hypotheses[place]] = row


def _lengths(texts: Sequence[str], unit: Unit) -> np.ndarray:
    """Return how many units each text has; the array is shared and cannot be written."""
    lengths = np.fromiter(map(len, _units(texts, unit)), np.int64, len(texts))
    lengths.flags.writeable = False
    return lengths


def _check(references: Sequence[str], hypotheses: Sequence[str]) -> None:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references do not go with {len(hypotheses)} hypotheses")


def _both(
    references: Sequence[str], hypotheses: Sequence[str], unit: Unit
) -> tuple[Sequence[Sequence[object]], Sequence[Sequence[object]]]:
    """Return what is compared: characters as they are, words as numbers."""
    _check(references, hypotheses)
    refs, hyps = _units(references, unit), _units(hypotheses, unit)
    if unit == "char":
        return refs, hyps
    numbers: defaultdict[object, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    number = numbers.__getitem__
    return [list(map(number, words)) for words in refs], [list(map(number, words)) for words in hyps]


def _units(texts: Sequence[str], unit: Unit) -> Sequence[Sequence[object]]:
    """Return the words of each text, or its characters with white space collapsed."""
    words = [text.split() for text in texts]
    return words if unit == "word" else [" ".join(some) for some in words]

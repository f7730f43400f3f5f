"""How a hypothesis differs from its reference: edit counts and edit distances per utterance, in words or characters.

The engine is rapidfuzz, which jiwer calls too, so the counts are jiwer's; going there directly is some times faster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.api import Unit


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

    refs, hyps = _units(references, hypotheses, unit)
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

    refs, hyps = _units(references, hypotheses, unit)
    errors = cpdist(refs, hyps, scorer=Levenshtein.distance, dtype=np.int64, workers=1)
    return Distances(np.asarray(errors, np.int64), np.fromiter(map(len, refs), np.int64, len(refs)))


def _units(
    references: Sequence[str], hypotheses: Sequence[str], unit: Unit
) -> tuple[Sequence[Sequence[object]], Sequence[Sequence[object]]]:
    """Return what is compared: characters as they are, words as numbers."""
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references do not go with {len(hypotheses)} hypotheses")
    if unit == "char":
        return [" ".join(text.split()) for text in references], [" ".join(text.split()) for text in hypotheses]
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    number = numbers.__getitem__
    return [list(map(number, t.split())) for t in references], [list(map(number, t.split())) for t in hypotheses]

"""The matched-pairs sentence-segment word error test (MAPSSWE), by which NIST compares recognisers.

Gillick and Cox 1989, "Some statistical issues in the comparison of speech recognition algorithms" (ICASSP); as NIST's
``sc_stats -t mapsswe`` does it. Utterances are cut into segments that hold all errors of both systems and are bounded
by at least two words in a row that both got right, or by the ends of the utterance: errors in one segment may depend on
each other, those in different ones hardly. The test is whether the mean difference of errors a segment is zero.

NIST knows one run of each system. What several trainings of a system do on the same utterances is not independent: a
hard word is hard for all of them. So they are cut together (``over_seeds``), and the errors of a segment are means over
them; utterances counted once a training would seem to be more data than there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GOOD = 2
"""Words in a row that both systems got right and that bound a segment: NIST's default."""


@dataclass(frozen=True)
class Mapsswe:
    """What the test says of systems A and B; below zero A makes fewer errors."""

    segments: int
    mean: float
    """Errors of A minus errors of B, a segment."""
    sd: float
    """Standard deviation of these differences, with ``segments - 1`` in its denominator."""
    z: float
    p: float
    """Two-sided, by the normal distribution; 1 where the systems do not differ anywhere."""


def segments(
    references: Sequence[str], hypotheses_a: Sequence[str], hypotheses_b: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors of A and B in each segment in which one of them has an error, both ``(S,)`` int64.

    The texts are normalised, ``N`` of each, in one order; words stand between white space. Alignments are rapidfuzz's
    (least edits). Where several have equally few edits, NIST's sclite, which weighs them otherwise, may choose another.

    Raises:
        ValueError: the lists differ in length.
    """
    return cut(edits(references, hypotheses_a), edits(references, hypotheses_b))


def cut(at_a: np.ndarray, at_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors of A and B in each segment, both ``(S,)``, from where they err (see ``edits``)."""
    places = np.concatenate([at_a, at_b])
    if not len(places):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    of_a = np.arange(len(places)) < len(at_a)
    order = np.lexsort((places[:, 1], places[:, 0]))
    places, of_a = places[order], of_a[order]
    utterance, position = places.T
    # Words are at odd positions and the gaps between them at even ones: this many lie strictly between two errors.
    between = position[1:] // 2 - (position[:-1] + 1) // 2
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(utterance) > 0) | (between >= GOOD)]))
    return np.add.reduceat(of_a.astype(np.int64), starts), np.add.reduceat((~of_a).astype(np.int64), starts)


def over_seeds(edits_a: Sequence[np.ndarray], edits_b: Sequence[np.ndarray]) -> Mapsswe:
    """Return the test of two systems that were trained with ``S`` seeds each; one seed is NIST's test.

    Segments are bounded by words that both systems got right with every seed; their errors are means over the seeds.
    The result speaks of these trainings and of no others, for seeds are not resampled.

    Args:
        edits_a: where A errs with each seed, ``S`` arrays of :func:`edits` of the same utterances in the same order.
        edits_b: the same of B.

    Raises:
        ValueError: no seed, or not as many of B as of A.
    """
    if not edits_a or len(edits_a) != len(edits_b):
        raise ValueError(f"{len(edits_a)} seeds of A and {len(edits_b)} of B: both need the same, and at least one")
    errors_a, errors_b = cut(np.concatenate(edits_a), np.concatenate(edits_b))
    return mapsswe(errors_a / len(edits_a), errors_b / len(edits_b))


def mapsswe(errors_a: np.ndarray, errors_b: np.ndarray) -> Mapsswe:
    """Return the test's result from errors by segment, both of shape ``(S,)``.

    With fewer than two segments nothing can be tested: ``sd``, ``z`` and ``p`` are NaN, but for systems that do not
    differ at all, whose p is 1.

    Raises:
        ValueError: shapes differ.
    """
    from scipy.stats import norm

    if errors_a.shape != errors_b.shape:
        raise ValueError(f"errors in segments of shapes {errors_a.shape} and {errors_b.shape} do not go together")
    differences = np.asarray(errors_a, float) - np.asarray(errors_b, float)
    count = len(differences)
    if not differences.any():
        return Mapsswe(count, 0.0, 0.0, 0.0, 1.0)
    if count < 2:
        return Mapsswe(count, float(differences.mean()), float("nan"), float("nan"), float("nan"))
    mean, sd = float(differences.mean()), float(differences.std(ddof=1))
    with np.errstate(divide="ignore"):  # every segment differs by the same number
        z = float(np.divide(mean * np.sqrt(count), sd))
    return Mapsswe(count, mean, sd, z, float(2 * norm.sf(abs(z))))


def edits(references: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
    """Return where a system errs, a row an error, ``(E, 2)``: the utterance, and the position in its reference.

    Word ``i`` of the reference is at ``2 i + 1``, the gap before it at ``2 i``; insertions are in gaps.
    """
    from rapidfuzz.distance import Levenshtein

    found: list[tuple[int, int]] = []
    for number, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        if reference == hypothesis:
            continue
        for edit in Levenshtein.editops(reference.split(), hypothesis.split()):
            found.append((number, 2 * edit.src_pos + (edit.tag != "insert")))
    return np.array(found, np.int64).reshape(-1, 2)

"""Percentile bootstrap over utterances of a corpus error rate, which is a ratio of sums and never a mean of rates.

A resample is a multinomial vector of weights, one an utterance; the rates of all resamples are two products with the
matrix of these vectors (Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance
evaluation"). Systems that are compared share the weights: the comparison is paired.

Utterances of one speaker are not independent. Where speakers are known they are drawn whole: their errors and lengths
are summed first (``grouped``), and what is said of N utterances here holds for G speakers (Liu and Peng 2020,
"Statistical testing on ASR performance via blockwise bootstrap").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_CHUNK = 1 << 17
"""Entries of the weight matrix held at once: 1 MB of doubles stays in the cache, which makes it some times faster."""

FEWEST_SPEAKERS = 5
"""With fewer speakers utterances are resampled: there would be too few different resamples."""
FEW_SPEAKERS = 20
"""With fewer speakers intervals over them are somewhat too narrow, and whoever shows them says so."""


@dataclass(frozen=True)
class Interval:
    """An error rate (errors over reference length, as a fraction) with its percentile interval."""

    rate: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Paired:
    """How system A differs from system B on the same utterances; below zero A makes fewer errors."""

    difference: float
    """Rate of A minus rate of B, as a fraction."""
    lo: float
    hi: float
    p: float
    """Two-sided, never below 1 / (resamples + 1)."""


def interval(
    errors: np.ndarray, lengths: np.ndarray, resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the corpus error rate and its percentile interval.

    Args:
        errors: substitutions + deletions + insertions per utterance, shape ``(N,)``.
        lengths: reference length per utterance in the same unit, shape ``(N,)``.
        resamples: number of bootstrap resamples.
        seed: of the resampling; equal seeds and N give equal resamples.
        level: coverage, in (0, 1).

    Raises:
        ValueError: shapes differ, or an argument is out of its range.
    """
    rates = rates_of_resamples(np.atleast_2d(errors), lengths, resamples, seed)[0]
    lo, hi = _percentiles(rates, level)
    return Interval(_rate(errors, lengths), lo, hi)


def paired(
    errors_a: np.ndarray,
    errors_b: np.ndarray,
    lengths: np.ndarray,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """Return the difference in error rate of A and B, its interval and a two-sided p-value.

    All arrays have shape ``(N,)`` and are in the same order. The p-value is the share of resamples whose difference,
    once centred on the observed one, is at least as large as the observed one (Riezler and Maxwell 2005, "On some
    pitfalls in automatic evaluation and significance testing for MT"; the observed sample counts as a resample).

    Raises:
        ValueError: shapes differ, or an argument is out of its range.
    """
    rates = rates_of_resamples(np.stack([errors_a, errors_b]), lengths, resamples, seed)
    return compared(rates[0] - rates[1], _rate(errors_a, lengths) - _rate(errors_b, lengths), level)


def paired_over_seeds(
    errors_a: np.ndarray,
    errors_b: np.ndarray,
    lengths: np.ndarray,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """Return the difference in mean error rate of A and B over seeds, with both seeds and utterances resampled.

    ``errors_a`` and ``errors_b`` have shape ``(S, N)``: row ``s`` is the system trained with the s-th seed, and both
    systems have the same seeds and utterances in the same order. Seeds and utterances are crossed factors: a resample
    draws S of the S seeds and N of the N utterances, both with replacement, and takes them for A and B alike; its rate
    is the sum of errors over ``S * sum of lengths``. The p-value is that of :func:`paired`, which this is where S is 1.

    The interval speaks of other utterances and of other seeds. A bootstrap of few seeds is too narrow (it sees
    ``(S - 1) / S`` of the variance between seeds; with S = 1 none of it): state S beside it.

    Raises:
        ValueError: shapes differ, there is no seed, or an argument is out of its range.
    """
    if errors_a.ndim != 2 or errors_a.shape != errors_b.shape or not len(errors_a):
        raise ValueError(f"errors of shapes {errors_a.shape} and {errors_b.shape}: both must be (seeds, utterances)")
    mean_a, mean_b = rates_over_seeds(np.stack([errors_a, errors_b]), lengths, resamples, seed)
    observed = (_rate(errors_a, lengths) - _rate(errors_b, lengths)) / len(errors_a)
    return compared(mean_a - mean_b, observed, level)


def rates_over_seeds(errors: np.ndarray, lengths: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return mean error rates of ``K`` systems over resampled seeds and utterances, shape ``(K, resamples)``.

    ``errors`` has shape ``(K, S, N)``, ``lengths`` ``(N,)``. All systems share the draws of :func:`paired_over_seeds`,
    and so do further calls with equal S, N, resamples and seed, whatever their lengths (another normaliser's).

    Raises:
        ValueError: shapes differ, or there is nothing to resample.
    """
    systems, seeds, utterances = errors.shape
    rates = rates_of_resamples(errors.reshape(systems * seeds, utterances), lengths, resamples, seed)
    drawn = seed_draws(seeds, resamples, seed)
    means: np.ndarray = (drawn * rates.reshape(systems, seeds, resamples)).sum(axis=1) / seeds
    return means


def seed_draws(seeds: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each of ``S`` seeds is drawn, float64 ``(S, resamples)``; columns sum to S.

    It is a stream of its own: the draw of utterances is that of :func:`paired`, whatever the number of seeds.
    """
    return np.concatenate(list(_weights(seeds, resamples, (seed, seeds)))).T


def speakers_to_draw(speakers: Sequence[str] | None) -> Sequence[str] | None:
    """Return the speakers of N utterances where they are known and enough to be resampled, else None."""
    return speakers if speakers is not None and len(set(speakers)) >= FEWEST_SPEAKERS else None


def grouped(errors: np.ndarray, lengths: np.ndarray, groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return errors ``(..., G)`` and lengths ``(G,)`` summed over the utterances of each of ``G`` groups (speakers).

    ``errors`` has shape ``(..., N)``, ``lengths`` ``(N,)`` and ``groups`` names the group of each utterance. Groups
    are in sorted order.

    Raises:
        ValueError: there is not one group an utterance, or no utterance.
    """
    if len(groups) != len(lengths) or not len(lengths):
        raise ValueError(f"{len(groups)} groups for {len(lengths)} utterances")
    _, at = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(at, kind="stable")
    starts = np.flatnonzero(np.diff(at[order], prepend=-1))
    return np.add.reduceat(errors[..., order], starts, axis=-1), np.add.reduceat(lengths[order], starts)


def compared(differences: np.ndarray, observed: float, level: float = 0.95) -> Paired:
    """Return the interval and p-value of an observed difference from its resamples, shape ``(resamples,)``."""
    differences = differences[~np.isnan(differences)]
    lo, hi = _percentiles(differences, level)
    return Paired(observed, lo, hi, float(p_values(differences[None], np.array([observed]))[0]))


def p_values(differences: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return two-sided p-values of ``(K,)`` observed differences from resamples ``(K, resamples)``."""
    # equal systems differ by exactly 0 everywhere; rounding must not turn that into significance
    extreme = np.abs(differences - observed[:, None]) >= np.abs(observed)[:, None] - 1e-12
    found: np.ndarray = (extreme.sum(axis=1) + 1) / (differences.shape[1] + 1)
    return found


def no_worse_share(errors_a: np.ndarray, errors_b: np.ndarray) -> float:
    """Return the fraction of utterances on which A makes no more errors than B; shapes ``(N,)``, NaN when N is 0."""
    return float(np.mean(errors_a <= errors_b)) if len(errors_a) else float("nan")


def rates_of_resamples(errors: np.ndarray, lengths: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return error rates of ``K`` systems on the same resamples, shape ``(K, resamples)``.

    ``errors`` has shape ``(K, N)``, ``lengths`` ``(N,)``. A resample without a single reference word is NaN.

    Raises:
        ValueError: shapes differ, or there is nothing to resample.
    """
    if errors.shape[1:] != lengths.shape:
        raise ValueError(f"errors of shape {errors.shape} do not go with lengths of shape {lengths.shape}")
    if resamples < 1 or not len(lengths):
        raise ValueError(f"{resamples} resamples of {len(lengths)} utterances: at least one of each is needed")
    sums = np.vstack([errors, lengths]).astype(np.float64)  # one product gives all numerators and the denominator
    rates = np.full((len(errors), resamples), np.nan)
    start = 0
    for weights in _weights(len(lengths), resamples, seed):
        resampled = sums @ weights.T
        part = rates[:, start : start + len(weights)]
        np.divide(resampled[:-1], resampled[-1], out=part, where=resampled[-1] > 0)
        start += len(weights)
    return rates


def indices(utterances: int, resamples: int, seed: int | Sequence[int]) -> Iterator[np.ndarray]:
    """Yield the drawn utterances in chunks of shape ``(chunk, utterances)``; all chunks have ``resamples`` rows."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // utterances)
    for start in range(0, resamples, chunk):
        yield rng.integers(0, utterances, (min(chunk, resamples - start), utterances), dtype=np.int64)


def _weights(utterances: int, resamples: int, seed: int | Sequence[int]) -> Iterator[np.ndarray]:
    """Yield how often each utterance was drawn, float64 ``(chunk, utterances)``.

    Counting drawn indices gives the same multinomial vectors as ``rng.multinomial``, several times faster.
    """
    for drawn in indices(utterances, resamples, seed):
        offsets = np.arange(len(drawn))[:, None] * utterances
        counts = np.bincount((drawn + offsets).ravel(), minlength=drawn.size)
        yield counts.reshape(drawn.shape).astype(np.float64)


def _rate(errors: np.ndarray, lengths: np.ndarray) -> float:
    words = int(lengths.sum())
    return float(errors.sum() / words) if words else float("nan")


def _percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: a coverage lies between 0 and 1")
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    lo, hi = np.quantile(defined, (tail, 1 - tail))
    return float(lo), float(hi)

"""The two-level bootstrap over seeds and utterances is the naive double loop, and with one seed the plain one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.measure import bootstrap
from benchmark.measure.bootstrap import indices, paired, paired_over_seeds


def systems(
    seeds: int, utterances: int = 40, spread: float = 0.0, worse: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    lengths = rng.integers(1, 25, utterances)
    shares = np.clip(0.3 + spread * rng.standard_normal((2, seeds, 1)), 0.01, 0.95)
    shares[1] = np.clip(shares[1] + worse, 0.01, 0.95)
    a, b = rng.binomial(lengths, shares)
    return a, b, lengths


def test_equals_the_naive_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_CHUNK", 500)  # several chunks
    a, b, lengths = systems(3, spread=0.05)
    seeds_drawn = np.concatenate(list(indices(3, 150, (7, 3))))
    utterances_drawn = np.concatenate(list(indices(40, 150, 7)))
    naive = []
    for seeds, utterances in zip(seeds_drawn, utterances_drawn, strict=True):
        errors_a = errors_b = words = 0
        for s in seeds:
            for n in utterances:
                errors_a, errors_b, words = errors_a + a[s, n], errors_b + b[s, n], words + lengths[n]
        naive.append(errors_a / words - errors_b / words)
    found = paired_over_seeds(a, b, lengths, 150, seed=7, level=0.9)
    assert (found.lo, found.hi) == pytest.approx(tuple(np.percentile(naive, [5, 95])), rel=1e-12)
    assert found.difference == pytest.approx((a.sum() - b.sum()) / (3 * lengths.sum()), rel=1e-12)
    extreme = sum(abs(value - found.difference) >= abs(found.difference) for value in naive)
    assert found.p == pytest.approx((extreme + 1) / 151)


def test_one_seed_is_the_plain_comparison() -> None:
    a, b, lengths = systems(1, worse=0.02)
    assert paired_over_seeds(a, b, lengths, 700, 3, 0.9) == paired(a[0], b[0], lengths, 700, 3, 0.9)


def test_equal_rows_are_the_plain_comparison() -> None:
    a, b, lengths = systems(1, worse=0.02)
    several = paired_over_seeds(a.repeat(4, 0), b.repeat(4, 0), lengths, 700, 3)
    plain = paired(a[0], b[0], lengths, 700, 3)
    assert (several.difference, several.lo, several.hi) == pytest.approx((plain.difference, plain.lo, plain.hi))


def test_seeds_that_disagree_widen_the_interval() -> None:
    a, b, lengths = systems(4, utterances=400, spread=0.08)
    crossed = paired_over_seeds(a, b, lengths, 2000)
    pooled = paired(a.sum(0), b.sum(0), 4 * lengths, 2000)
    assert crossed.difference == pytest.approx(pooled.difference)
    assert crossed.hi - crossed.lo > 2 * (pooled.hi - pooled.lo)


def test_level_seed_and_equal_systems() -> None:
    a, b, lengths = systems(3, spread=0.02, worse=0.05)
    wide, narrow = paired_over_seeds(a, b, lengths, 800, level=0.99), paired_over_seeds(a, b, lengths, 800, level=0.5)
    assert wide.lo < narrow.lo < narrow.hi < wide.hi
    assert paired_over_seeds(a, b, lengths, 800, seed=1) != paired_over_seeds(a, b, lengths, 800, seed=2)
    same = paired_over_seeds(a, a, lengths, 300)
    assert (same.difference, same.lo, same.hi, same.p) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("a", "b", "lengths", "level"),
    [
        (np.zeros((2, 3)), np.zeros((3, 3)), np.ones(3), 0.95),
        (np.zeros(3), np.zeros(3), np.ones(3), 0.95),
        (np.zeros((0, 3)), np.zeros((0, 3)), np.ones(3), 0.95),
        (np.zeros((2, 3)), np.zeros((2, 3)), np.ones(4), 0.95),
        (np.zeros((2, 3)), np.zeros((2, 3)), np.ones(3), 1.0),
    ],
)
def test_refuses_what_makes_no_sense(a: np.ndarray, b: np.ndarray, lengths: np.ndarray, level: float) -> None:
    with pytest.raises(ValueError):
        paired_over_seeds(a, b, lengths, 20, level=level)

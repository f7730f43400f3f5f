"""The vectorised bootstrap is the textbook's loop, and scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from benchmark.measure.bootstrap import indices, interval, no_worse_share, paired, rates_of_resamples


def corpus(seed: int = 0, utterances: int = 120, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 25, utterances)
    return rng.binomial(lengths, share), lengths


def rate(errors: np.ndarray, lengths: np.ndarray, axis: int = -1) -> np.ndarray:
    return errors.sum(axis) / lengths.sum(axis)


def test_equals_the_loop_over_the_same_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.measure.bootstrap._CHUNK", 1000)  # several chunks
    errors, lengths = corpus()
    drawn = np.concatenate(list(indices(len(lengths), 200, seed=3)))
    assert drawn.shape == (200, 120)
    naive = [errors[row].sum() / lengths[row].sum() for row in drawn]
    assert rates_of_resamples(errors[None], lengths, 200, seed=3)[0] == pytest.approx(naive, rel=1e-12)
    found = interval(errors, lengths, 200, seed=3)
    assert (found.lo, found.hi) == pytest.approx(tuple(np.percentile(naive, [2.5, 97.5])), rel=1e-12)
    assert found.rate == errors.sum() / lengths.sum() != pytest.approx((errors / lengths).mean(), rel=1e-3)


def test_agrees_with_scipy() -> None:
    errors, lengths = corpus()
    ours = interval(errors, lengths, 20_000)
    theirs = scipy.stats.bootstrap(
        (errors, lengths), rate, paired=True, vectorized=True, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    width = ours.hi - ours.lo
    assert ours.lo == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.hi == pytest.approx(theirs.high, abs=0.02 * width)


def test_level_and_seed() -> None:
    errors, lengths = corpus()
    assert interval(errors, lengths, 500, seed=1) == interval(errors, lengths, 500, seed=1)
    assert interval(errors, lengths, 500, seed=1) != interval(errors, lengths, 500, seed=2)
    wide, narrow = interval(errors, lengths, level=0.99), interval(errors, lengths, level=0.5)
    assert wide.lo < narrow.lo < narrow.rate < narrow.hi < wide.hi


def test_a_pair_is_separated_where_two_intervals_are_not() -> None:
    errors, lengths = corpus()
    worse = errors + (np.arange(len(errors)) % 10 == 0)  # one word more in every tenth utterance
    found = paired(errors, worse, lengths)
    assert found.hi < 0 and found.p < 0.01 and interval(errors, lengths).hi > interval(worse, lengths).lo
    mirrored = paired(worse, errors, lengths)
    assert (mirrored.difference, mirrored.lo, mirrored.hi) == pytest.approx((-found.difference, -found.hi, -found.lo))
    assert mirrored.p == found.p


def test_equal_systems_are_not_separable() -> None:
    errors, lengths = corpus()
    same = paired(errors, errors, lengths, 500)
    assert (same.difference, same.lo, same.hi, same.p) == (0, 0, 0, 1)


def test_p_is_uniform_when_nothing_differs() -> None:
    rng = np.random.default_rng(0)
    values = []
    for seed in range(150):
        lengths = rng.integers(1, 20, 100)
        values.append(paired(rng.binomial(lengths, 0.3), rng.binomial(lengths, 0.3), lengths, 300, seed).p)
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01


def test_no_worse_share() -> None:
    assert no_worse_share(np.array([0, 1, 2, 3]), np.array([0, 2, 1, 3])) == 0.75
    assert np.isnan(no_worse_share(np.array([]), np.array([])))


def test_resamples_without_reference_words_do_not_count() -> None:
    errors, lengths = np.array([3, 0, 2]), np.array([0, 0, 4])
    assert np.isnan(rates_of_resamples(errors[None], lengths, 100, 0)).any()
    found = interval(errors, lengths, 1000)
    assert found.rate == 5 / 4 and np.isfinite([found.lo, found.hi]).all()
    assert np.isfinite(paired(errors, errors[::-1], lengths, 1000).p)
    nothing = interval(np.array([1, 2]), np.array([0, 0]), 10)
    assert np.isnan([nothing.rate, nothing.lo, nothing.hi]).all()


@pytest.mark.parametrize(
    ("errors", "lengths", "options"),
    [([1, 2], [3], {}), ([], [], {}), ([1], [2], {"resamples": 0}), ([1], [2], {"level": 1.0})],
)
def test_refuses_what_makes_no_sense(errors: list[int], lengths: list[int], options: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        interval(np.array(errors), np.array(lengths), **options)  # type: ignore[arg-type]

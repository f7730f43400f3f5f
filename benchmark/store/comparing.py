"""Cells and entries on common resamples: intervals, paired differences, and ranks that count only what is significant.

All cells of one setting share the draws, so every pair of them is paired. An entry is the mean over its seeds; its
resamples draw seeds and utterances (or speakers) alike for both sides of a pair, and two entries are compared over the
seeds that both have (``benchmark.measure.bootstrap.paired_over_seeds``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.forked import cores
from benchmark.measure.alignment import Counts, Distances
from benchmark.measure.bootstrap import grouped, p_values, rates_of_resamples, seed_draws, speakers_to_draw
from benchmark.measure.multiple import holm

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.measure.scores import Scored

RESAMPLES = 10_000
SIGNIFICANT = 0.05
_ROWS = 64
"""Rows of resamples that are worked on at once: 5 MB."""
Means = tuple[float, np.ndarray]
"""What was observed, and what the resamples give, shape ``(resamples,)``."""


@dataclass(frozen=True)
class Rates:
    """One metric of cells that share a setting and a split, on common resamples, so that all pairs are paired.

    ``observed`` has shape ``(K,)`` and ``resampled`` ``(K, resamples)``, in the order of ``cells``; ``errors`` are the
    whole numbers ``(K,)`` of which, over ``units`` of the references, ``observed`` is made. A resample without a single
    reference unit is left out for all.
    """

    cells: list[str]
    observed: np.ndarray
    resampled: np.ndarray
    errors: np.ndarray
    units: int
    at: dict[str, int] = field(repr=False)

    @classmethod
    def of(cls, cells: list[str], counted: Sequence[Counts | Distances], speakers: Sequence[str] | None) -> Rates:
        """Return the rates of cells from their counts; ``speakers`` are drawn whole, or utterances where it is None."""
        errors, lengths = np.stack([one.errors for one in counted]), counted[0].lengths
        if speakers is not None:
            errors, lengths = grouped(errors, lengths, speakers)
        resampled = rates_of_resamples(errors, lengths, RESAMPLES, seed=0)
        undefined = np.isnan(resampled[0])
        return cls(
            cells,
            observed=np.array([one.rate for one in counted]),
            resampled=resampled[:, ~undefined] if undefined.any() else resampled,
            errors=errors.sum(axis=1),
            units=int(lengths.sum()),
            at={cell: number for number, cell in enumerate(cells)},
        )

    def differences(self, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """Return what each pair's first rate is above its second ``(P,)``, and the 95 % bounds of that ``(2, P)``."""
        ours, theirs = np.array([(self.at[cell], self.at[other]) for cell, other in pairs], int).reshape(-1, 2).T
        chunks = np.array_split(np.arange(len(pairs)), -(-len(pairs) // _ROWS) or 1)
        found = each(lambda some: bounds(self.resampled[ours[some]] - self.resampled[theirs[some]]), chunks)
        return self.observed[ours] - self.observed[theirs], np.concatenate(found, axis=1)

    def bounds(self) -> np.ndarray:
        """Return the 95 % bounds of all cells' rates, shape ``(2, K)``."""
        chunks = np.array_split(self.resampled, -(-len(self.resampled) // _ROWS) or 1)
        return np.concatenate(each(bounds, chunks), axis=1)

    def mean(self, cells: Sequence[str]) -> float:
        """Return the mean of the observed rates of some cells; NaN where there is no reference unit.

        It is one division of whole numbers: a mean of fractions depends in its last bit on their order, and what is
        equally good would not be equal.
        """
        errors = sum(int(self.errors[self.at[cell]]) for cell in cells)
        return errors / (self.units * len(cells)) if self.units else float("nan")

    def draws(self, cells: Sequence[str]) -> np.ndarray:
        """Return the resamples of some cells, shape ``(C, resamples)``."""
        return self.resampled[[self.at[cell] for cell in cells]]


class Entries:
    """The entries of a setting over their seeds; ``members`` maps an entry to its cells by seed."""

    def __init__(self, rates: Rates, members: Mapping[str, Mapping[int, str]]) -> None:
        self.rates = rates
        self.members = {entry: dict(sorted(cells.items())) for entry, cells in members.items()}
        self._draws: dict[int, np.ndarray] = {}
        self._means: dict[tuple[str, tuple[int, ...]], Means] = {}

    @classmethod
    def of(cls, cells: pd.DataFrame, scores: Sequence[Scored], metric: str | None = None) -> Entries:
        """Return the entries of a frame's rows, whose scores these are, by wer, cer or (None) the rate that ranks."""
        metric = metric or scores[0].metric
        counted = [one.words if metric == "wer" else one.chars for one in scores]
        rates = Rates.of([one.cell for one in scores], counted, speakers_to_draw(scores[0].speakers))
        members: dict[str, dict[int, str]] = {}
        for entry, seed, cell in zip(cells["entry"], cells["seed"], cells["cell"], strict=True):
            members.setdefault(str(entry), {})[int(seed)] = str(cell)
        return cls(rates, members)

    def seeds(self, entry: str) -> tuple[int, ...]:
        """Return the seeds of an entry, in order."""
        return tuple(self.members[entry])

    def mean(self, entry: str, seeds: tuple[int, ...] | None = None) -> Means:
        """Return the mean rate over some of an entry's seeds (all when None), observed and resampled."""
        seeds = self.seeds(entry) if seeds is None else seeds
        if (entry, seeds) not in self._means:
            cells = [self.members[entry][seed] for seed in seeds]
            if len(cells) == 1:  # no copy
                return self.rates.mean(cells), self.rates.resampled[self.rates.at[cells[0]]]
            self._means[entry, seeds] = self.rates.mean(cells), self.over_seeds(self.rates.draws(cells))
        return self._means[entry, seeds]

    def over_seeds(self, resampled: np.ndarray) -> np.ndarray:
        """Return means over drawn seeds of ``(S, resamples)``, shape ``(resamples,)``."""
        count = len(resampled)
        if count == 1:
            return resampled[0]
        if count not in self._draws:
            self._draws[count] = seed_draws(count, RESAMPLES, 0)
        # where resamples were left out, so are their draws: which ones does not matter, as draws are independent
        means: np.ndarray = (self._draws[count][:, : resampled.shape[1]] * resampled).sum(axis=0) / count
        return means

    def to_dense(self, entry: str, dense: Mapping[str, str]) -> Means | None:
        """Return the mean difference to the dense cell of each seed; None where no seed has one, or it is dense."""
        cells = self.members[entry].values()
        pairs = [
            (cell, dense[cell]) for cell in cells if dense.get(cell, cell) != cell and dense[cell] in self.rates.at
        ]
        if not pairs:
            return None
        ours, theirs = zip(*pairs, strict=True)
        resampled = self.rates.draws(ours) - self.rates.draws(theirs)
        return self.rates.mean(ours) - self.rates.mean(theirs), self.over_seeds(resampled)

    def pairs(self, cells: Iterable[str], dense: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return cells with their dense, where they have one that is here and not themselves."""
        return [(cell, dense[cell]) for cell in cells if dense.get(cell, cell) != cell and dense[cell] in self.rates.at]

    def differences(self, entry: str, others: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return how others differ from an entry, and how sure that is, over the seeds that each has with it.

        Returns:
            The others' mean rates minus the entry's, and two-sided p-values, both ``(len(others),)``; NaN where there
            is no common seed.
        """
        observed, p = np.full(len(others), np.nan), np.full(len(others), np.nan)
        shared = [tuple(seed for seed in self.members[entry] if seed in self.members[other]) for other in others]
        order = sorted(range(len(others)), key=lambda number: shared[number])
        for seeds, group in groupby(order, key=lambda number: shared[number]):
            if not seeds:
                continue
            places = list(group)
            ours = self.mean(entry, seeds)
            means = [self.mean(others[place], seeds) for place in places]
            observed[places] = np.array([mean for mean, _ in means]) - ours[0]
            p[places] = p_values(np.stack([some for _, some in means]) - ours[1], observed[places])
        return observed, p

    def ranks(self, race: Sequence[str]) -> dict[str, int]:
        """Return 1 + the number of entries of the race that are significantly better, by entry.

        Each pair is compared once, and the p-values of all pairs are corrected together by Holm's method; a pair is
        told apart where the corrected p lies below 0.05. "Not separable" is not transitive, so ranks may repeat.
        """
        pairs = [self.differences(entry, race[number + 1 :]) for number, entry in enumerate(race)]
        observed = np.concatenate([pair[0] for pair in pairs]) if len(race) > 1 else np.empty(0)
        sure = holm(np.concatenate([pair[1] for pair in pairs])) < SIGNIFICANT if len(race) > 1 else np.empty(0, bool)
        first, second = np.triu_indices(len(race), k=1)
        better = np.zeros(len(race), int)
        np.add.at(better, first[sure & (observed < 0)], 1)  # the second of the pair is better
        np.add.at(better, second[sure & (observed > 0)], 1)
        return {entry: 1 + int(count) for entry, count in zip(race, better, strict=True)}


def each(function: Callable[[Any], np.ndarray], chunks: Sequence[Any]) -> list[np.ndarray]:
    """Return the function of each chunk, in order; on all cores, as numpy's selections run without the lock."""
    if len(chunks) < 2:
        return [function(chunk) for chunk in chunks]
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(function, chunks))


def bounds(values: np.ndarray) -> np.ndarray:
    """Return the 2.5 % and 97.5 % points along the last axis, shape ``(2, ...)``; NaN where there is no value."""
    if values.shape[-1] == 0:
        return np.full((2, *values.shape[:-1]), np.nan)
    quantiles = np.nanquantile if np.isnan(values).any() else np.quantile
    found: np.ndarray = quantiles(values, (0.025, 0.975), axis=-1)
    return found

"""Which artefact to ship: the entries of one ranking against limits, the choice, and how sure it is.

An entry's error is its mean over seeds; its costs are those of the artefact that would be exported, which is that of
the first seed. How sure a choice is, a bootstrap says that draws utterances (or speakers) and seeds again, and chooses
again each time by the same rule; sizes and times are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from benchmark.measure.scores import Normalised, check_paired, scored
from benchmark.store.comparing import Entries, bounds
from benchmark.store.records import folder_of, read_record
from benchmark.store.scoring import column, dense_of
from reports._content import first_split, score_column
from reports._recommend_limits import Aim, Limit, rounded

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Sure:
    """How sure a choice is: shares of resamples in which the same rule chooses again."""

    resamples: int
    resampled: str
    """What was drawn again, e.g. ``300 utterances``."""
    best: float
    """In which this entry is chosen."""
    others: dict[str, float]
    """In which another one is, by title, the most frequent first."""
    nothing: float
    """In which nothing fits."""
    meets: dict[str, float]
    """In which the entry meets a limit on its error, by key of the quantity."""
    difference: tuple[float, float, float] | None
    """Error of the runner-up minus that of the choice, and its interval, as fractions; None without a common seed."""
    common_seeds: int


@dataclass(frozen=True)
class Advice:
    """The choice among candidates; ``first`` and ``second`` are places in ``table``, None where nothing is left."""

    table: pd.DataFrame
    limits: list[Limit]
    aim: Aim
    first: int | None
    second: int | None
    fitting: int
    sure: Sure | None = None
    met: list[np.ndarray] = field(default_factory=list)
    """Which candidates meet each limit, in the limits' order; shapes ``(K,)``."""

    @property
    def nearest(self) -> int:
        """The place of the entry that misses the limits least.

        That is by the greatest of its relative excesses, of equals by their sum; what was not measured counts most.
        """
        over = np.stack([one.excess(one.quantity.values(self.table)) for one in self.limits])
        unknown = np.isinf(over).sum(axis=0)
        over = np.where(np.isinf(over), 0, over)
        return int(np.lexsort((over.sum(axis=0), over.max(axis=0), unknown))[0])

    @property
    def shipped(self) -> pd.Series:
        """The entry that is chosen."""
        assert self.first is not None
        return self.table.iloc[self.first]

    @property
    def sureness(self) -> Sure:
        """How sure that is."""
        assert self.sure is not None
        return self.sure


def choose(feasible: np.ndarray, rates: np.ndarray, costs: np.ndarray | None, ties: float) -> np.ndarray:
    """Return the place of the best feasible entry in each resample, shape ``(R,)``; -1 where none is feasible.

    Args:
        feasible: shape ``(K, R)``.
        rates: error rates, shape ``(K, R)``; of what is equal in everything, the first entry is taken.
        costs: shape ``(K,)``, infinite where one is not known (such an entry is not chosen); None: the error alone.
        ties: costs up to ``(1 + ties)`` times the least are equal to it, and the error decides among them.
    """
    if costs is not None:
        feasible = feasible & np.isfinite(costs)[:, None]
        asked = np.where(feasible, costs[:, None], np.inf)
        feasible = feasible & (asked <= asked.min(axis=0) * (1 + ties))
    best: np.ndarray = np.where(feasible, rates, np.inf).argmin(axis=0)
    return np.where(feasible.any(axis=0), best, -1)


def advise(frame: pd.DataFrame, table: pd.DataFrame, limited: Sequence[Limit], aimed: Aim) -> Advice:
    """Return the choice among candidates.

    Args:
        frame: scored cells of one ranking.
        table: its candidates, of ``reports._recommend_entries.candidates``.
        limited: what must hold.
        aimed: what is minimised among those for which it does.

    Raises:
        StoreError: transcripts that cannot be read.
    """
    met = [one.met(one.quantity.values(table)) for one in limited]
    feasible = np.logical_and.reduce(met) if met else np.ones(len(table), bool)
    rates, costs = rounded(table[score_column(frame)].to_numpy(float)), aimed.costs(table)
    feasible = feasible if costs is None else feasible & np.isfinite(costs)
    first, second = _two(feasible, rates, costs, aimed.ties)
    found = Advice(table, list(limited), aimed, first, second, int(feasible.sum()), met=met)
    return found if first is None else replace(found, sure=_sure(frame, found))


def _two(
    feasible: np.ndarray, rates: np.ndarray, costs: np.ndarray | None, ties: float
) -> tuple[int | None, int | None]:
    """Return the best entry, and the one that would be if it were not there."""
    first = int(choose(feasible[:, None], rates[:, None], costs, ties)[0])
    rest = feasible & (np.arange(len(rates)) != first)
    second = int(choose(rest[:, None], rates[:, None], costs, ties)[0])
    return (None if first < 0 else first), (None if second < 0 else second)


def _sure(frame: pd.DataFrame, found: Advice) -> Sure:
    """Choose again in each resample, among the entries that meet the limits which no resample changes."""
    assert found.first is not None
    hard = [fits for fits, one in zip(found.met, found.limits, strict=True) if not one.quantity.about_error]
    places = np.flatnonzero(np.logical_and.reduce(hard)) if hard else np.arange(len(found.table))
    table = found.table.iloc[places]
    compared, resampled = _entries(frame, table)
    rates = rounded(np.stack([compared.mean(entry)[1] for entry in table.index]))
    error_met = {
        one.quantity.key: _margin_met(frame, table, compared, one) if one.quantity.key == "margin" else one.met(rates)
        for one in found.limits
        if one.quantity.about_error
    }
    feasible = np.logical_and.reduce(list(error_met.values())) if error_met else np.ones(rates.shape, bool)
    chosen = choose(feasible, rates, found.aim.costs(table), found.aim.ties)
    shares = {int(place): float((chosen == number).mean()) for number, place in enumerate(places)}
    others = {found.table["title"].iloc[place]: part for place, part in shares.items() if part and place != found.first}
    difference, common = _difference(found, compared)
    ours = int(np.flatnonzero(places == found.first)[0])
    return Sure(
        resamples=rates.shape[1],
        resampled=resampled,
        best=shares[found.first],
        others=dict(sorted(others.items(), key=lambda one: -one[1])),
        nothing=float((chosen < 0).mean()),
        meets={key: float(one[ours].mean()) for key, one in error_met.items()},
        difference=difference,
        common_seeds=common,
    )


def _difference(found: Advice, compared: Entries) -> tuple[tuple[float, float, float] | None, int]:
    """Return how the runner-up's error differs, over the seeds that both have, and how many those are."""
    if found.first is None or found.second is None:
        return None, 0
    entry, other = found.table.index[[found.first, found.second]]
    seeds = tuple(seed for seed in compared.seeds(entry) if seed in compared.seeds(other))
    if not seeds:
        return None, 0
    (ours, resampled), (theirs, also) = compared.mean(entry, seeds), compared.mean(other, seeds)
    low, high = bounds(also - resampled)
    return (theirs - ours, float(low), float(high)), len(seeds)


def _entries(frame: pd.DataFrame, table: pd.DataFrame) -> tuple[Entries, str]:
    """Return the candidates on common resamples, and what is drawn; it is what the leaderboard's intervals are of."""
    split = first_split(frame)
    cells = frame[(frame["status"] == "ok") & frame["entry"].isin(table.index)]
    normalised = Normalised.each(frame.attrs["normalizer"])[0]
    scores = [scored(read_record(folder_of(row)), split, normalised) for _, row in cells.iterrows()]
    check_paired(scores)
    return Entries.of(cells, scores), str(table[f"{column(split)}_resampled"].iloc[0])


def _margin_met(frame: pd.DataFrame, table: pd.DataFrame, compared: Entries, limit: Limit) -> np.ndarray:
    """Return in which resamples each entry is no worse than dense by the margin, shape ``(K, R)``.

    On the data that is said where the upper end of the difference's interval lies below the margin. A resample's own
    interval would need resamples of it; here it is as wide as that of the data, and moves with the difference.
    """
    upper = limit.quantity.values(table)
    dense = dense_of(frame)
    rows = []
    for entry, end in zip(table.index, upper, strict=True):
        against = compared.to_dense(entry, dense)
        if against is None:  # dense itself, or there is none
            rows.append(np.full(compared.mean(entry)[1].shape, end < limit.bound))
        else:
            rows.append(against[1] + (end - against[0]) < limit.bound)
    return np.stack(rows)

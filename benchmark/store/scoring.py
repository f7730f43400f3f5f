"""Scores joined to the frame: error rates, their intervals, paired differences to dense, and ranks.

Everything comes from the transcripts on disk; a new normaliser needs no decoding. All numbers are fractions. With a
split's name in front (``test_wer``): ``wer`` and ``cer`` with ``_lo``, ``_hi`` (95 % over utterances), ``_delta``,
``_delta_lo``, ``_delta_hi`` (paired, this cell minus dense); and counts: ``empty`` and ``runaway`` hypotheses, and
``unreferenced`` utterances (without a reference word).
``rank`` is 1 + the number of cells of the same setting, recipe, block, kept fraction and seed whose paired difference
to this one lies below zero as a whole; quantised cells are references and have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import StoreError
from benchmark.measure.bootstrap import rates_of_resamples
from benchmark.measure.scores import Counts, Normalised, Scored, scored
from benchmark.store.records import Record

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.api import Normalizer

METRICS = ("wer", "cer")
COUNTED = ("empty", "runaway", "unreferenced")
RESAMPLES = 10_000
_RACE = ["setting", "recipe", "block", "keep", "seed"]


@dataclass(frozen=True)
class Rates:
    """One metric of cells that share a setting and a split, on common resamples, so that all pairs are paired.

    ``observed`` has shape ``(K,)`` and ``resampled`` ``(K, resamples)``, in the order of ``cells``.
    """

    cells: list[str]
    observed: np.ndarray
    resampled: np.ndarray

    def of(self, cell: str) -> tuple[float, float, float]:
        """Return a cell's rate and its 95 % interval."""
        at = self.cells.index(cell)
        return float(self.observed[at]), *_bounds(self.resampled[at])

    def difference(self, cell: str, other: str) -> tuple[float, float, float]:
        """Return the rate of ``cell`` minus that of ``other`` and its paired 95 % interval."""
        a, b = self.cells.index(cell), self.cells.index(other)
        return float(self.observed[a] - self.observed[b]), *_bounds(self.resampled[a] - self.resampled[b])


def add_scores(table: pd.DataFrame, found: Mapping[str, Record], normalizer: Normalizer | str) -> pd.DataFrame:
    """Return the frame with scores, intervals, differences to dense and ranks; ``found`` maps cells to records.

    Raises:
        StoreError: transcripts that cannot be read, or cells to be paired that saw different data.
        SpecError: no such normaliser.
    """
    normalised = Normalised(normalizer)
    columns: dict[str, dict[str, Any]] = {cell: {} for cell in table["cell"]}
    ranks: dict[str, int] = {}
    signatures: set[str] = set()
    dense = _dense_of(table)
    metric = "wer" if normalised.normalizer.unit == "word" else "cer"
    for _, setting in table[table["status"] == "ok"].groupby("setting"):
        for number, split in enumerate(table.attrs["splits"]):
            ours = [found[cell] for cell in setting["cell"] if split in found[cell].data["data"]]
            scores = [scored(record, split, normalised) for record in ours]
            for one in scores:
                columns[one.cell] |= {
                    f"{column(split)}_empty": one.empty_hypotheses,
                    f"{column(split)}_runaway": one.runaways,
                    f"{column(split)}_unreferenced": int((one.main.lengths == 0).sum()),
                }
            rates = _rates(scores)
            for name, one_metric in rates.items():
                _fill(columns, f"{column(split)}_{name}", one_metric, dense)
            if number == 0 and rates:
                ranks |= _ranks(setting, rates[metric])
            signatures |= {one.signature for one in scores}
    joined = _joined(table, columns)
    joined["rank"] = table["cell"].map(ranks).astype("Int64")
    about = {"normalizer": normalised.normalizer.name, "metric": metric, "signature": " / ".join(sorted(signatures))}
    joined.attrs = table.attrs | about
    return joined


def column(split: str) -> str:
    """Return the prefix of a split's columns: a name that pandas' ``query`` and spreadsheets can use."""
    return split.replace("-", "_")


def _joined(table: pd.DataFrame, columns: Mapping[str, dict[str, Any]]) -> pd.DataFrame:
    """Return the frame with the score columns beside it, each with its type even where all cells failed."""
    import pandas as pd

    names = [name for split in table.attrs["splits"] for name in score_columns(split)]
    scores = pd.DataFrame(list(columns.values()), index=table.index, columns=names)
    counted = {name for name in names if name.endswith(tuple(f"_{what}" for what in COUNTED))}
    return pd.concat(
        [table, scores.astype({name: "Int64" if name in counted else "float64" for name in names})], axis=1
    )


def score_columns(split: str) -> list[str]:
    """Return the names of the columns that scores on a split fill."""
    parts = ("", "_lo", "_hi", "_delta", "_delta_lo", "_delta_hi")
    return [
        *(f"{column(split)}_{metric}{part}" for metric in METRICS for part in parts),
        *(f"{column(split)}_{what}" for what in COUNTED),
    ]


def _rates(scores: list[Scored]) -> dict[str, Rates]:
    """Return both metrics of the cells of one setting on one split.

    Raises:
        StoreError: two of them were tested on different data.
    """
    for one in scores[1:]:
        if (one.data_hash, one.ids) != (scores[0].data_hash, scores[0].ids):
            raise StoreError(
                f"cells {scores[0].cell} and {one.cell} cannot be paired: their {one.split!r} data differ "
                f"(hash {scores[0].data_hash[:12]} and {one.data_hash[:12]}); run both on one copy of the corpus"
            )
    if not scores or not scores[0].ids:
        return {}
    cells = [one.cell for one in scores]
    counted = {"wer": [one.words for one in scores], "cer": [one.chars for one in scores]}
    return {metric: _resampled(cells, counts) for metric, counts in counted.items()}


def _resampled(cells: list[str], counted: list[Counts]) -> Rates:
    errors = np.stack([one.errors for one in counted])
    return Rates(
        cells,
        observed=np.array([one.rate for one in counted]),
        resampled=rates_of_resamples(errors, counted[0].lengths, RESAMPLES, seed=0),
    )


def _fill(columns: dict[str, dict[str, Any]], name: str, rates: Rates, dense: Mapping[str, str]) -> None:
    for cell in rates.cells:
        columns[cell] |= dict(zip((name, f"{name}_lo", f"{name}_hi"), rates.of(cell), strict=True))
        yardstick = dense.get(cell)
        if yardstick in rates.cells and yardstick != cell:
            names = (f"{name}_delta", f"{name}_delta_lo", f"{name}_delta_hi")
            columns[cell] |= dict(zip(names, rates.difference(cell, str(yardstick)), strict=True))


def _dense_of(table: pd.DataFrame) -> dict[str, str]:
    """Return each cell's yardstick: the finished ``dense`` (no options) of its setting, recipe and seed.

    What trains nothing (the shipped model, a one-shot method) is compared with the dense of its seed where only one
    recipe was used; where there were several, none of them is its own.
    """
    plain = (table["method"] == "dense") & (table["options"] == "{}")
    dense = table[plain & (table["kind"] == "none") & (table["status"] == "ok")]
    exact = dense.set_index(["setting", "recipe", "seed"])["cell"].to_dict()
    alone = dense.drop_duplicates(["setting", "seed"], keep=False).set_index(["setting", "seed"])["cell"].to_dict()
    keys = zip(table["cell"], table["setting"], table["recipe"], table["seed"], strict=True)
    found = {
        cell: exact.get((setting, recipe, seed)) or (None if recipe else alone.get((setting, seed)))
        for cell, setting, recipe, seed in keys
    }
    return {cell: other for cell, other in found.items() if other}


def _ranks(setting: pd.DataFrame, rates: Rates) -> dict[str, int]:
    """Return the rank of each cell that has a budget among those it races with."""
    ranks = {}
    pruned = setting["keep"].notna() & setting["quantised"].isna()  # int8 is a reference: another race than pruning
    for _, race in setting[pruned].groupby(_RACE):
        ours = [cell for cell in race["cell"] if cell in rates.cells]
        for cell in ours:
            ranks[cell] = 1 + sum(rates.difference(other, cell)[2] < 0 for other in ours if other != cell)
    return ranks


def _bounds(values: np.ndarray) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % points; a resample without reference words (NaN) does not count."""
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)

"""Scores joined to the frame: error rates, their intervals, paired differences to dense, and ranks.

Everything comes from the transcripts on disk; a new normaliser needs no decoding. All numbers are fractions. With a
split's name in front (``test_wer``): ``wer``, ``cer`` and ``error`` (the one of the two that goes with the normaliser's
unit, which ``metric`` names) with ``_lo``, ``_hi`` (95 % over utterances), ``_delta``, ``_delta_lo``, ``_delta_hi``
(paired, this cell minus dense); and counts: ``empty`` and ``runaway`` hypotheses, ``unreferenced`` utterances (without
a reference word), and among these the ``emptied`` ones (with a reference of which the normaliser leaves nothing).
``rank`` is 1 + the number of cells of the same setting, recipe, block, kept fraction and seed whose paired difference
to this one lies below zero as a whole; quantised cells are references and have none.

A setting is scored by one normaliser; with ``auto`` by that of its language, so that rows of one frame may differ in
``metric``, ``unit`` and ``signature``. Of several normalisers side by side the first has these columns; every other one
has them all again, ``rank`` included, behind a prefix such as ``whisper_basic__`` that ``attrs["others"]`` lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import StoreError
from benchmark.measure.alignment import Counts, Distances
from benchmark.measure.bootstrap import rates_of_resamples
from benchmark.measure.scores import (
    METRIC,
    BrokenNormalizerError,
    Choice,
    Normalised,
    Scored,
    check_paired,
    decoding_of,
    scored,
)
from benchmark.store.records import Record
from benchmark.text.chosen import AUTO

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("wer", "cer", "error")
COUNTED = ("empty", "runaway", "unreferenced", "emptied")
MADE_WITH = ("metric", "unit", "signature")
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
        return float(self.observed[at]), *bounds(self.resampled[at])

    def difference(self, cell: str, other: str) -> tuple[float, float, float]:
        """Return the rate of ``cell`` minus that of ``other`` and its paired 95 % interval."""
        a, b = self.cells.index(cell), self.cells.index(other)
        return float(self.observed[a] - self.observed[b]), *bounds(self.resampled[a] - self.resampled[b])


def add_scores(
    table: pd.DataFrame, found: Mapping[str, Record], normalizer: Choice, faults: list[str] | None = None
) -> pd.DataFrame:
    """Return the frame with scores, intervals, differences to dense and ranks; ``found`` maps cells to records.

    Args:
        table: one row a cell.
        found: the records of the cells.
        normalizer: one choice or several; the first ranks, or the first that is not broken.
        faults: where given, a broken normaliser is named here and leaves its scores out; else it is raised.

    Raises:
        StoreError: transcripts that cannot be read, or cells of one setting that saw different data or decoders.
        SpecError: no such normaliser, none for a language, or (without ``faults``) a broken one.
    """
    import pandas as pd

    check_decodings(found[cell] for cell in table.loc[table["status"] == "ok", "cell"])
    named: list[str] | None = None if faults is None else []
    parts = [_scored_by(one, table, found, named) for one in Normalised.each(normalizer, named)]
    parts.sort(key=lambda part: not part.about["signature"])  # stable: the first that has a score at all ranks
    first = parts[0] if parts else _Part.of(table, "none", {}, "wer")
    others = dict(zip(_slugs([part.about["normalizer"] for part in parts[1:]]), parts[1:], strict=True))
    beside = [part.columns.add_prefix(f"{slug}__") for slug, part in others.items()]
    joined = pd.concat([table, first.columns, *beside], axis=1)
    left_out = list(dict.fromkeys(named or ()))
    joined.attrs = table.attrs | first.about
    joined.attrs |= {"others": {slug: part.about for slug, part in others.items()}, "faults": left_out}
    if faults is not None:
        faults.extend(left_out)
    return joined


@dataclass(frozen=True)
class _Part:
    """What one normaliser adds to a frame: its columns, and what is said once."""

    columns: pd.DataFrame
    about: dict[str, Any]

    @classmethod
    def of(cls, table: pd.DataFrame, choice: str, values: Mapping[str, dict[str, Any]], metric: str) -> _Part:
        """Return the columns with their types, though all cells failed; ``metric`` is said where no row has one."""
        import pandas as pd

        names = [name for split in table.attrs["splits"] for name in score_columns(split)]
        rows = [values.get(cell, {}) for cell in table["cell"]]
        columns = pd.DataFrame(rows, index=table.index, columns=[*names, *MADE_WITH, "rank"])
        counted = tuple(f"_{what}" for what in COUNTED)
        kinds = {name: "Int64" if name.endswith(counted) else "float64" for name in names}
        columns = columns.astype(kinds | {"rank": "Int64"})
        metrics, signatures = (sorted(columns[name].dropna().unique()) for name in ("metric", "signature"))
        about = {
            "normalizer": choice,
            "metric": metric if not metrics else metrics[0] if len(metrics) == 1 else "error",
            "signature": " / ".join(signatures),
        }
        return cls(columns, about)


def _scored_by(
    normalised: Normalised, table: pd.DataFrame, found: Mapping[str, Record], faults: list[str] | None
) -> _Part:
    dense = _dense_of(table)
    values: dict[str, dict[str, Any]] = {}
    for _, setting in table[table["status"] == "ok"].groupby("setting"):
        try:
            values |= _setting(setting, table.attrs["splits"], found, normalised, dense)
        except BrokenNormalizerError as error:  # the setting has no scores by it: half of them would mislead
            if faults is None:
                raise
            faults.append(str(error))
    metric = "wer" if normalised.choice == AUTO else METRIC[normalised.normalizer.unit]
    return _Part.of(table, normalised.choice, values, metric)


def _setting(
    setting: pd.DataFrame,
    splits: Sequence[str],
    found: Mapping[str, Record],
    normalised: Normalised,
    dense: Mapping[str, str],
) -> dict[str, dict[str, Any]]:
    """Return the score columns of the cells of one setting."""
    values: dict[str, dict[str, Any]] = {cell: {} for cell in setting["cell"]}
    for number, split in enumerate(splits):
        ours = [found[cell] for cell in setting["cell"] if split in found[cell].data["data"]]
        scores = [scored(record, split, normalised) for record in ours]
        for one in scores:
            values[one.cell] |= {
                f"{column(split)}_empty": one.empty_hypotheses,
                f"{column(split)}_runaway": one.runaways,
                f"{column(split)}_unreferenced": int((one.main.lengths == 0).sum()),
                f"{column(split)}_emptied": one.emptied,
                **{name: getattr(one, name) for name in MADE_WITH},
            }
        rates = _rates(scores)
        for name, rate in rates.items():
            _fill(values, f"{column(split)}_{name}", rate, dense)
        if number == 0 and rates:
            for cell, rank in _ranks(setting, rates["error"]).items():
                values[cell]["rank"] = rank
    return values


def check_decodings(found: Iterable[Record]) -> None:
    """Refuse records of one setting whose transcripts were decoded differently: they would share a table.

    Raises:
        StoreError: two such records; both are named.
    """
    seen: dict[str, Record] = {}
    for record in found:
        asked = [record.data["spec"].get(part) for part in ("model", "corpus", "decoding")]
        first = seen.setdefault(json.dumps(asked, sort_keys=True, default=str), record)
        if decoding_of(first) != decoding_of(record):
            raise StoreError(
                f"cells {first.cell} ({decoding_of(first)}) and {record.cell} ({decoding_of(record)}) were decoded "
                "differently and cannot stand in one table; give run folders of one decoder setting, or run one again"
            )


def _slugs(choices: Sequence[str]) -> list[str]:
    """Return names that can begin a column's name, each once."""
    slugs: list[str] = []
    for choice in choices:
        slug = re.sub(r"\W+", "_", choice).strip("_") or "other"
        slugs.append(slug if slug not in slugs else f"{slug}_{len(slugs) + 1}")
    return slugs


def column(split: str) -> str:
    """Return the prefix of a split's columns: a name that pandas' ``query`` and spreadsheets can use."""
    return split.replace("-", "_")


def score_columns(split: str) -> list[str]:
    """Return the names of the columns that scores on a split fill."""
    parts = ("", "_lo", "_hi", "_delta", "_delta_lo", "_delta_hi")
    return [
        *(f"{column(split)}_{metric}{part}" for metric in METRICS for part in parts),
        *(f"{column(split)}_{what}" for what in COUNTED),
    ]


def _rates(scores: list[Scored]) -> dict[str, Rates]:
    """Return all metrics of the cells of one setting on one split.

    Raises:
        StoreError: two of them were tested on different data.
    """
    check_paired(scores)
    if not scores or not scores[0].ids:
        return {}
    cells = [one.cell for one in scores]
    counted = {"wer": [one.words for one in scores], "cer": [one.chars for one in scores]}
    rates = {metric: _resampled(cells, errors) for metric, errors in counted.items()}
    return rates | {"error": rates[scores[0].metric]}


def _resampled(cells: list[str], counted: Sequence[Counts | Distances]) -> Rates:
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


def bounds(values: np.ndarray) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % points; a resample without reference words (NaN) does not count."""
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)

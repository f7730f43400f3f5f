"""Scores joined to the frame: error rates, their intervals, paired differences to dense, and ranks.

Everything comes from the transcripts on disk; a new normaliser needs no decoding. All numbers are fractions. With a
split's name in front (``test_wer``): ``wer`` and ``cer`` with ``_lo``, ``_hi`` (95 % over utterances), ``_delta``,
``_delta_lo``, ``_delta_hi`` (paired, this cell minus dense), ``empty`` and ``runaway`` (hypotheses, counted).
``rank`` is 1 + the number of cells of the same setting, recipe, block, kept fraction and seed whose paired difference
lies below zero as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import StoreError
from benchmark.measure import bootstrap
from benchmark.measure.scores import counts
from benchmark.registry import REGISTRY
from benchmark.store.frame import column
from benchmark.store.records import Record

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from benchmark.api import Normalizer, Unit

METRICS: dict[str, Unit] = {"wer": "word", "cer": "char"}
_RACE = ["setting", "recipe", "block", "keep", "seed"]


@dataclass(frozen=True)
class Scored:
    """One cell on one split: errors and reference lengths per utterance, shape ``(N,)``, by metric."""

    record: Record
    split: str
    errors: dict[str, np.ndarray]
    lengths: dict[str, np.ndarray]
    empty: int
    runaway: int | None

    def paired(self, other: Scored, metric: str) -> tuple[float, float, float]:
        """Return the difference of error rates, this minus the other, and its interval.

        Raises:
            StoreError: the two cells did not see the same data.
        """
        ours, theirs = (one.record.data["data"][self.split]["hash"] for one in (self, other))
        if ours != theirs:
            raise StoreError(
                f"cells {self.record.cell} and {other.record.cell} cannot be paired: their {self.split!r} data differ "
                f"(hash {ours[:12]} and {theirs[:12]}); run both on one copy of the data"
            )
        return bootstrap.paired(self.errors[metric], other.errors[metric], self.lengths[metric])


def add_scores(table: pd.DataFrame, found: Mapping[str, Record], normalizer: Normalizer | str) -> pd.DataFrame:
    """Return the frame with scores, intervals, differences to dense and ranks.

    Raises:
        StoreError: transcripts that cannot be read, or cells to be paired that saw different data.
    """
    import pandas as pd

    normalise = REGISTRY.get("normalizer", normalizer) if isinstance(normalizer, str) else normalizer
    metric = "wer" if normalise.unit == "word" else "cer"
    memory: dict[str, str] = {}
    scored = {
        (cell, split): _score(found[cell], split, normalise, memory)
        for cell in table.loc[table["status"] == "ok", "cell"]
        for split in found[cell].data["data"]
    }
    dense = _dense_of(table)
    rows = [
        {name: value for split in table.attrs["splits"] for name, value in _columns(scored, cell, split, dense).items()}
        for cell in table["cell"]
    ]
    joined = pd.concat([table, pd.DataFrame(rows, index=table.index)], axis=1)
    joined["rank"] = _ranks(table, scored, metric)
    decoding = "/".join(sorted(set(table["decoding"].dropna())))
    about = {"normalizer": normalise.name, "metric": metric, "signature": f"{normalise.signature()}|{decoding}"}
    joined.attrs = table.attrs | about
    return joined


def _score(record: Record, split: str, normalise: Normalizer, memory: dict[str, str]) -> Scored:
    """Count one cell's errors on one split; references are the same for all cells and are normalised once."""
    said = record.transcripts(split)
    texts = []
    for name in ("reference", "hypothesis"):
        for raw in said[name]:
            if raw not in memory:
                memory[raw] = normalise(raw)
        texts.append([memory[raw] for raw in said[name]])
    counted = {metric: counts(*texts, unit) for metric, unit in METRICS.items()}
    return Scored(
        record,
        split,
        errors={metric: one.errors for metric, one in counted.items()},
        lengths={metric: one.lengths for metric, one in counted.items()},
        empty=sum(not text for text in texts[1]),
        runaway=int(said["truncated"].sum()) if "truncated" in said else None,
    )


def _columns(scored: Mapping[tuple[str, str], Scored], cell: str, split: str, dense: Mapping[str, str]) -> dict[str, Any]:
    """Return one cell's scores on one split; a failed cell has none."""
    one, yardstick = scored.get((cell, split)), scored.get((dense.get(cell, ""), split))
    row: dict[str, Any] = {}
    for metric in METRICS:
        name = f"{column(split)}_{metric}"
        none = (None, None, None)
        value = bootstrap.interval(one.errors[metric], one.lengths[metric]) if one else none
        delta = one.paired(yardstick, metric) if one and yardstick and one is not yardstick else none
        row |= dict(zip((name, f"{name}_lo", f"{name}_hi"), value, strict=True))
        row |= dict(zip((f"{name}_delta", f"{name}_delta_lo", f"{name}_delta_hi"), delta, strict=True))
    return row | {
        f"{column(split)}_empty": one.empty if one else None,
        f"{column(split)}_runaway": one.runaway if one else None,
    }


def _dense_of(table: pd.DataFrame) -> dict[str, str]:
    """Return each cell's yardstick: ``dense`` of its setting and seed, with its recipe.

    What was not trained (the shipped model) is compared with the dense of the setting's first recipe.
    """
    ok = table[(table["method"] == "dense") & (table["kind"] == "none") & (table["status"] == "ok")]
    exact = {(row.setting, row.seed, row.recipe): row.cell for row in ok.itertuples()}
    trained = ok.sort_values(["recipe", "seed"]).drop_duplicates("setting")
    fallback = dict(zip(trained["setting"], trained["cell"], strict=True))
    found = {}
    for row in table.itertuples():
        other = fallback.get(row.setting) if not row.recipe else None
        cell = exact.get((row.setting, row.seed, row.recipe), other)
        if cell is not None:
            found[row.cell] = cell
    return found


def _ranks(table: pd.DataFrame, scored: Mapping[tuple[str, str], Scored], metric: str) -> pd.Series:
    """Return the rank of each finished cell that has a budget, on the first split."""
    import pandas as pd

    ranks = pd.Series(pd.NA, index=table.index, dtype="Int64")
    split = (table.attrs["splits"] or [""])[0]
    runners = table[(table["status"] == "ok") & table["keep"].notna()]
    for _, race in runners.groupby(_RACE):
        ours = {index: scored[cell, split] for index, cell in race["cell"].items() if (cell, split) in scored}
        for index, one in ours.items():
            better = sum(other.paired(one, metric)[2] < 0 for other in ours.values() if other is not one)
            ranks[index] = 1 + better
    return ranks

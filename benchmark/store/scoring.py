"""Scores joined to the frame: error rates, their intervals, paired differences to dense, and ranks.

Everything comes from the transcripts on disk; a new normaliser needs no decoding. All numbers are fractions. With a
split's name in front (``test_wer``):

| columns | meaning |
|---|---|
| wer, cer, error | the cell's rates; ``error`` is the one in the normaliser's unit, which ``metric`` names |
| <rate>_lo, _hi | 95 % over what ``resampled`` says |
| <rate>_delta, _delta_lo, _delta_hi | this cell minus dense of its seed, paired |
| <rate>_mean and the same endings, and _mean_delta_p | over the entry's finished seeds; the same in each of its cells |
| substitutions, deletions, insertions, length | in the normaliser's unit; length is the reference's |
| no_worse | share of the utterances on which the cell makes no more errors than dense |
| empty, runaway, looped | hypotheses without a word, without an end, that repeat themselves (NA: not recorded) |
| unreferenced, emptied | utterances without a reference word; of them, emptied by rules |
| resampled | e.g. ``8 speakers``, where at least five are known, else ``300 utterances`` |

``rank`` belongs to an entry (a method at a budget, over its seeds): 1 + the number of entries of the same setting,
recipe, block and kept fraction that are significantly better on the first split; see ``store.comparing``. What trains
nothing joins every recipe; where its ranks differ, ``ranks`` has them (``<recipe>:<rank>``, joined by commas) and
``rank`` is empty. Quantised cells are references and have none. ``non_inferior`` is whether the entry is shown to be
worse than dense by less than ``attrs["margin"]``: the upper end of its interval lies below it, a one-sided test at
2.5 %.

A setting is scored by one normaliser; with ``auto`` by that of its language, so that rows of one frame may differ in
``metric``, ``unit`` and ``signature``. Of several normalisers side by side the first has these columns; every other one
has them all again, ``rank`` included, behind a prefix such as ``whisper_basic__`` that ``attrs["others"]`` lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.forked import LARGE, forked
from benchmark.measure.bootstrap import no_worse_share, p_values, speakers_to_draw
from benchmark.measure.scores import (
    METRIC,
    BrokenNormalizerError,
    Choice,
    Normalised,
    Scored,
    check_paired,
    scored,
)
from benchmark.store.comparing import RESAMPLES, Entries, bounds
from benchmark.store.decodings import check_decodings
from benchmark.store.recipes import by_recipe, rank_columns
from benchmark.store.records import Record
from benchmark.text.chosen import AUTO

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("wer", "cer", "error")
COUNTED = ("empty", "runaway", "looped", "unreferenced", "emptied")
ERRORS = ("substitutions", "deletions", "insertions", "length")
MADE_WITH = ("metric", "unit", "signature")
MARGIN = 0.01
"""How much worse than dense still counts as no worse, as a fraction: one point of error rate."""
_PARTS = ("", "_lo", "_hi", "_delta", "_delta_lo", "_delta_hi")


def add_scores(
    table: pd.DataFrame,
    found: Mapping[str, Record],
    normalizer: Choice,
    faults: list[str] | None = None,
    margin: float = MARGIN,
) -> pd.DataFrame:
    """Return the frame with scores, intervals, differences to dense and ranks; ``found`` maps cells to records.

    Args:
        table: one row a cell.
        found: the records of the cells.
        normalizer: one choice or several; the first ranks, or the first that is not broken.
        faults: where given, a broken normaliser is named here and leaves its scores out; else it is raised.
        margin: of ``non_inferior``, a fraction.

    Raises:
        StoreError: transcripts that cannot be read, or cells of one setting that saw different data or decoders.
        SpecError: no such normaliser, none for a language, or (without ``faults``) a broken one.
    """
    import pandas as pd

    check_decodings(found[cell] for cell in table.loc[table["status"] == "ok", "cell"])
    named: list[str] | None = None if faults is None else []
    parts = [_scored_by(one, table, found, named, margin) for one in Normalised.each(normalizer, named)]
    parts.sort(key=lambda part: not part.about["signature"])  # stable: the first that has a score at all ranks
    first = parts[0] if parts else _Part.of(table, "none", {}, "wer")
    others = dict(zip(_slugs([part.about["normalizer"] for part in parts[1:]]), parts[1:], strict=True))
    beside = [part.columns.add_prefix(f"{slug}__") for slug, part in others.items()]
    joined = pd.concat([table, first.columns, *beside], axis=1)
    left_out = list(dict.fromkeys(named or ()))
    joined.attrs = table.attrs | first.about
    joined.attrs |= {"others": {slug: part.about for slug, part in others.items()}, "faults": left_out}
    joined.attrs |= {"margin": margin, "resamples": RESAMPLES}
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
        columns = pd.DataFrame(rows, index=table.index, columns=[*names, *MADE_WITH, "rank", "ranks", "non_inferior"])
        counted = tuple(f"_{what}" for what in (*COUNTED, *ERRORS))
        kinds = {name: "Int64" if name.endswith(counted) else "float64" for name in names}
        kinds |= {name: "object" for name in names if name.endswith("_resampled")}
        columns = columns.astype(kinds | {"rank": "Int64", "ranks": "object", "non_inferior": "boolean"})
        metrics, signatures = (sorted(columns[name].dropna().unique()) for name in ("metric", "signature"))
        about = {
            "normalizer": choice,
            "metric": metric if not metrics else metrics[0] if len(metrics) == 1 else "error",
            "signature": " / ".join(signatures),
        }
        return cls(columns, about)


def _scored_by(
    normalised: Normalised,
    table: pd.DataFrame,
    found: Mapping[str, Record],
    faults: list[str] | None,
    margin: float,
) -> _Part:
    dense = dense_of(table)
    values: dict[str, dict[str, Any]] = {}

    def score(setting: pd.DataFrame) -> dict[str, dict[str, Any]] | BrokenNormalizerError:
        try:
            return _setting(setting, table.attrs["splits"], found, normalised, dense, margin)
        except BrokenNormalizerError as error:  # the setting has no scores by it: half of them would mislead
            if faults is None:
                raise
            return error

    settings = [setting for _, setting in table.groupby("setting") if setting["status"].eq("ok").any()]
    for scores in forked(score, settings, large=len(table) >= LARGE):
        if isinstance(scores, BrokenNormalizerError):
            assert faults is not None
            faults.append(str(scores))
        else:
            values |= scores
    metric = "wer" if normalised.choice == AUTO else METRIC[normalised.normalizer.unit]
    return _Part.of(table, normalised.choice, values, metric)


def _setting(
    setting: pd.DataFrame,
    splits: Sequence[str],
    found: Mapping[str, Record],
    normalised: Normalised,
    dense: Mapping[str, str],
    margin: float,
) -> dict[str, dict[str, Any]]:
    """Return the score columns of the finished cells of one setting."""
    finished = setting[setting["status"] == "ok"]
    values: dict[str, dict[str, Any]] = {cell: {} for cell in finished["cell"]}
    for number, split in enumerate(splits):
        ours = [found[cell] for cell in finished["cell"] if split in found[cell].data["data"]]
        scores = [scored(record, split, normalised) for record in ours]
        check_paired(scores, "--data")
        _count(values, scores, column(split), dense)
        if not scores or not scores[0].ids:
            continue
        cells = finished[finished["cell"].isin([one.cell for one in scores])]
        for metric in ("wer", "cer"):
            entries = Entries.of(cells, scores, metric)
            names = [f"{column(split)}_{metric}"]
            names += [f"{column(split)}_error"] if metric == scores[0].metric else []
            _fill(values, names, entries, dense)
            if number == 0 and metric == scores[0].metric:
                _judge(values, f"{names[0]}_mean_delta_hi", setting, entries, margin)
    return values


def _count(values: dict[str, dict[str, Any]], scores: Sequence[Scored], prefix: str, dense: Mapping[str, str]) -> None:
    """Fill in what is counted, and what the scores were made with."""
    errors = {one.cell: one.main.errors for one in scores}
    for one in scores:
        drawn = speakers_to_draw(one.speakers)
        yardstick = dense.get(one.cell)
        values[one.cell] |= {
            f"{prefix}_empty": one.empty_hypotheses,
            f"{prefix}_runaway": one.runaways,
            f"{prefix}_looped": one.looped,
            f"{prefix}_unreferenced": int((one.main.lengths == 0).sum()),
            f"{prefix}_emptied": one.emptied,
            f"{prefix}_length": int(one.main.lengths.sum()),
            **{f"{prefix}_{what}": int(getattr(one.main, what).sum()) for what in ERRORS if what != "length"},
            f"{prefix}_resampled": f"{len(one.ids)} utterances" if drawn is None else f"{len(set(drawn))} speakers",
            **{name: getattr(one, name) for name in MADE_WITH},
        }
        if yardstick in errors and yardstick != one.cell:
            values[one.cell][f"{prefix}_no_worse"] = no_worse_share(errors[one.cell], errors[yardstick])


def _fill(values: dict[str, dict[str, Any]], names: Sequence[str], entries: Entries, dense: Mapping[str, str]) -> None:
    """Fill in one metric, under its names: rates and differences to dense, of each cell and over the seeds."""
    rates = entries.rates
    pairs = entries.pairs(rates.cells, dense)
    low, high = rates.bounds()
    told = {cell: _numbers("", rates.observed[at], (low[at], high[at])) for cell, at in rates.at.items()}
    observed, intervals = rates.differences(pairs)
    for (cell, _), difference, interval in zip(pairs, observed, intervals.T, strict=True):
        told[cell] |= _numbers("_delta", difference, interval)
    for entry, cells in entries.members.items():
        over = _over_seeds(entries, entry, dense, told)
        for cell in cells.values():
            values[cell] |= {name + part: value for name in names for part, value in (told[cell] | over).items()}


def _over_seeds(
    entries: Entries, entry: str, dense: Mapping[str, str], told: Mapping[str, dict[str, float]]
) -> dict[str, float]:
    """Return an entry's numbers; with one seed the intervals are the cell's, which are known already."""
    cells = entries.members[entry]
    delta = entries.to_dense(entry, dense)
    if len(cells) == 1:
        over = {f"_mean{part}": value for part, value in told[next(iter(cells.values()))].items()}
    else:
        observed, resampled = entries.mean(entry)
        over = _numbers("_mean", observed, bounds(resampled))
        over |= _numbers("_mean_delta", delta[0], bounds(delta[1])) if delta else {}
    if delta:
        over["_mean_delta_p"] = float(p_values(delta[1][None], np.array([delta[0]]))[0])
    return over


def _numbers(name: str, value: float, interval: Sequence[float] | np.ndarray) -> dict[str, float]:
    return {name: float(value), f"{name}_lo": float(interval[0]), f"{name}_hi": float(interval[1])}


def _judge(
    values: dict[str, dict[str, Any]], upper: str, setting: pd.DataFrame, entries: Entries, margin: float
) -> None:
    """Fill in ranks, and whether an entry is shown to be no worse than dense by more than the margin."""
    pruned = setting["keep"].notna() & setting["quantised"].isna()  # int8 is a reference: another race than pruning
    known = pruned & setting["cell"].isin(entries.rates.cells)
    ranks: dict[str, dict[str, int]] = {}
    for recipe, rows in by_recipe(setting):
        for _, race in rows[known[rows.index]].groupby(["block", "keep"]):
            for entry, rank in entries.ranks(list(dict.fromkeys(race["entry"]))).items():
                ranks.setdefault(entry, {})[recipe] = rank
    for cell, entry in setting.loc[known, ["cell", "entry"]].itertuples(index=False):
        values[cell] |= rank_columns(ranks[entry])
    for cell in entries.rates.cells:
        if (end := values[cell].get(upper)) is not None:
            values[cell]["non_inferior"] = bool(end < margin)


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
    parts = [*_PARTS, *(f"_mean{part}" for part in _PARTS), "_mean_delta_p"]
    return [
        *(f"{column(split)}_{metric}{part}" for metric in METRICS for part in parts),
        *(f"{column(split)}_{what}" for what in (*ERRORS, "no_worse", *COUNTED, "resampled")),
    ]


def is_dense(table: pd.DataFrame) -> pd.Series:
    """Return which rows are the yardstick: ``dense`` without options or a budget."""
    return (table["method"] == "dense") & (table["options"] == "{}") & (table["kind"] == "none")


def dense_of(table: pd.DataFrame) -> dict[str, str]:
    """Return each cell's yardstick: the finished ``dense`` (no options) of its setting, recipe and seed.

    What trains nothing (the shipped model, a one-shot method) is compared with the dense of its seed where only one
    recipe was used; where there were several, none of them is its own.
    """
    dense = table[is_dense(table) & (table["status"] == "ok")]
    exact = dense.set_index(["setting", "recipe", "seed"])["cell"].to_dict()
    alone = dense.drop_duplicates(["setting", "seed"], keep=False).set_index(["setting", "seed"])["cell"].to_dict()
    keys = zip(table["cell"], table["setting"], table["recipe"], table["seed"], strict=True)
    found = {
        cell: exact.get((setting, recipe, seed)) or (None if recipe else alone.get((setting, seed)))
        for cell, setting, recipe, seed in keys
    }
    return {cell: other for cell, other in found.items() if other}

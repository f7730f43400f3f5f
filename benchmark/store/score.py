"""Scores of a run folder as a table of their own: every count, one row a (cell, split) and normaliser."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import StoreError
from benchmark.measure.bootstrap import rates_of_resamples
from benchmark.measure.scores import BrokenNormalizerError, Choice, Normalised, Scored, language_of, scored
from benchmark.store.comparing import bounds
from benchmark.store.decodings import check_decodings
from benchmark.store.naming import label
from benchmark.store.records import Record, latest_of

if TYPE_CHECKING:
    import pandas as pd


def score(
    runs: Path | str | Sequence[Path | str],
    normalizer: Choice = "hindi",
    *,
    resamples: int = 10_000,
    seed: int = 0,
    cells: Collection[str] | None = None,
    faults: list[str] | None = None,
) -> pd.DataFrame:
    """Score the newest result of every cell in one run folder or several; one row a (cell, split) and normaliser.

    Columns: ``cell``, ``split``, ``utterances``, ``wer`` and ``cer`` (fractions), ``lo`` and ``hi`` (95 % bootstrap
    interval over utterances of the rate in the normaliser's unit), ``substitutions``, ``deletions``, ``insertions``
    and ``length`` (in that unit), ``empty_references`` and ``empty_reference_insertions`` (these are part of the rate),
    ``emptied`` (the empty references that the normaliser made), ``empty_hypotheses``, ``runaways``, ``data_hash`` and
    ``signature``; then ``normalizer`` (as it was chosen), ``unit``, ``language``, ``method``, ``keep`` and ``seed``.
    Failed cells have no row.

    Args:
        runs: run folders.
        normalizer: one choice or several, see ``benchmark.text.chosen``: ``hindi[nasal=off]``, ``auto``, ``a,b``.
        resamples: number of bootstrap resamples.
        seed: of the resampling.
        cells: only the cells whose id begins with one of these.
        faults: where given, a broken normaliser is named here and has no rows; else it is raised.

    Raises:
        StoreError: not a run folder, a record that cannot be used, no such cell, or cells of one setting that were
            decoded differently.
        SpecError: no such normaliser, none for a language (``auto``), or a broken one.
    """
    import pandas as pd

    found = _cells(latest_of([runs] if isinstance(runs, (str, Path)) else runs), cells)
    check_decodings(found)
    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    languages = dict.fromkeys(map(language_of, found))  # auto may be broken in one and not in another
    for number, normalised in enumerate(Normalised.each(normalizer, None if faults is None else broken)):
        for language in languages:
            try:
                rows += _rows(found, language, normalised, number, resamples, seed)
            except BrokenNormalizerError as error:
                if faults is None:
                    raise
                broken.append(str(error))
    if faults is not None:
        faults.extend(dict.fromkeys(broken))
    table = pd.DataFrame(rows, columns=[*_COLUMNS, "_order"])
    return table.sort_values("_order", ignore_index=True).drop(columns="_order")


_COLUMNS = [
    *("cell", "split", "utterances", "wer", "cer", "lo", "hi"),
    *("substitutions", "deletions", "insertions", "length"),
    *("empty_references", "empty_reference_insertions", "emptied", "empty_hypotheses", "runaways"),
    *("data_hash", "signature", "normalizer", "unit", "language", "method", "keep", "seed"),
]


def _cells(found: list[Record], wanted: Collection[str] | None) -> list[Record]:
    done = [record for record in found if record.ok]
    for start in wanted or ():
        if not any(record.cell.startswith(start) for record in done):
            raise StoreError(f"no finished cell begins with {start!r}; `cell` in leaderboard.csv lists them")
    return [record for record in done if wanted is None or record.cell.startswith(tuple(wanted))]


def _rows(
    found: list[Record], language: str | None, normalised: Normalised, number: int, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Return the rows of one language and normaliser; ``_order`` puts those of several side by side."""
    rows = []
    results = []
    for place, record in enumerate(found):
        if language_of(record) != language:
            continue
        spec = record.data["spec"]
        about = {
            "normalizer": normalised.choice,
            "method": label(str(spec["method"].get("name")), spec["method"].get("options") or {}),
            "keep": (spec.get("budget") or {}).get("keep"),
            "seed": spec.get("seed"),
        }
        for at, split in enumerate(record.data["data"]):
            results.append(scored(record, split, normalised))
            rows.append(about | {"_order": (place, at, number)})
    spans = _intervals(results, resamples, seed)
    return [_row(*pair) | about for pair, about in zip(zip(results, spans, strict=True), rows, strict=True)]


def _intervals(results: list[Scored], resamples: int, seed: int) -> list[tuple[float, float]]:
    """Return 95 % intervals; cells with the same references share their resamples, as drawing them costs most."""
    alike: dict[bytes, list[int]] = {}
    for place, one in enumerate(results):
        alike.setdefault(one.main.lengths.tobytes(), []).append(place)
    spans = [(float("nan"), float("nan"))] * len(results)
    for places in alike.values():
        errors, lengths = np.stack([results[place].main.errors for place in places]), results[places[0]].main.lengths
        if len(lengths):
            for place, rates in zip(places, rates_of_resamples(errors, lengths, resamples, seed), strict=True):
                low, high = bounds(rates)
                spans[place] = float(low), float(high)
    return spans


def row_of(result: Scored, resamples: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """Return what ``score`` says of one scored split; intervals are NaN without a reference unit."""
    return _row(result, *_intervals([result], resamples, seed))


def _row(result: Scored, span: tuple[float, float]) -> dict[str, Any]:
    main = result.main
    empty = main.lengths == 0
    return {
        "cell": result.cell,
        "split": result.split,
        "utterances": len(result.ids),
        "wer": result.words.rate,
        "cer": result.chars.rate,
        "lo": span[0],
        "hi": span[1],
        "substitutions": int(main.substitutions.sum()),
        "deletions": int(main.deletions.sum()),
        "insertions": int(main.insertions.sum()),
        "length": int(main.lengths.sum()),
        "empty_references": int(empty.sum()),
        "empty_reference_insertions": int(main.insertions[empty].sum()),
        "emptied": result.emptied,
        "empty_hypotheses": result.empty_hypotheses,
        "runaways": result.runaways,
        "data_hash": result.data_hash,
        "signature": result.signature,
        "unit": result.unit,
        "language": result.language,
    }

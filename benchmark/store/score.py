"""Scores of a run folder as a table of their own: every count, one row a (cell, split)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api import Normalizer
from benchmark.measure import bootstrap
from benchmark.measure.scores import Normalised, Scored, scored
from benchmark.store.records import latest_of

if TYPE_CHECKING:
    import pandas as pd


def score(
    runs: Path | str | Sequence[Path | str],
    normalizer: str | Normalizer = "hindi",
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score the newest result of every cell in one run folder or several; one row a (cell, split).

    Columns: ``cell``, ``split``, ``utterances``, ``wer`` and ``cer`` (fractions), ``lo`` and ``hi`` (95 % bootstrap
    interval over utterances of the rate in the normaliser's unit), ``substitutions``, ``deletions``, ``insertions``
    and ``length`` (in that unit), ``empty_references`` and ``empty_reference_insertions`` (these are part of the rate),
    ``empty_hypotheses``, ``runaways``, ``data_hash`` and ``signature``. Failed cells have no row.

    Raises:
        StoreError: not a run folder, or a record that cannot be used.
        SpecError: no such normaliser, or it fails on a text.
    """
    import pandas as pd

    folders = [runs] if isinstance(runs, (str, Path)) else list(runs)
    normalised = Normalised(normalizer)
    rows = [
        row_of(scored(record, split, normalised), resamples, seed)
        for record in latest_of(folders)
        if record.ok
        for split in record.data["data"]
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    *("cell", "split", "utterances", "wer", "cer", "lo", "hi"),
    *("substitutions", "deletions", "insertions", "length"),
    *("empty_references", "empty_reference_insertions", "empty_hypotheses", "runaways", "data_hash", "signature"),
]


def row_of(result: Scored, resamples: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """Return the row of ``score`` for one scored split; intervals are NaN without a reference unit."""
    main = result.main
    empty = main.lengths == 0
    lo = hi = float("nan")
    if len(result.ids):
        span = bootstrap.interval(main.errors, main.lengths, resamples, seed)
        lo, hi = span.lo, span.hi
    return {
        "cell": result.cell,
        "split": result.split,
        "utterances": len(result.ids),
        "wer": result.words.rate,
        "cer": result.chars.rate,
        "lo": lo,
        "hi": hi,
        "substitutions": int(main.substitutions.sum()),
        "deletions": int(main.deletions.sum()),
        "insertions": int(main.insertions.sum()),
        "length": int(main.lengths.sum()),
        "empty_references": int(empty.sum()),
        "empty_reference_insertions": int(main.insertions[empty].sum()),
        "empty_hypotheses": result.empty_hypotheses,
        "runaways": result.runaways,
        "data_hash": result.data_hash,
        "signature": result.signature,
    }

"""What reports ask of a scored frame: the split and column that rank, the name of the metric, columns that must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.store.scoring import column, score_columns

if TYPE_CHECKING:
    import pandas as pd


def with_all_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with empty score columns where no cell has a result, so that failures can be shown."""
    needed = score_columns(first_split(frame))
    prefixes = ("", *(f"{slug}__" for slug in frame.attrs.get("others", ())))
    names = [prefix + name for prefix in prefixes for name in needed if prefix + name not in frame]
    attrs = frame.attrs
    # The copy lies in one piece; several normalisers bring so many columns that pandas warns of it otherwise.
    frame = frame.reindex(columns=[*frame.columns, *names]).copy()
    frame.attrs = attrs
    return frame


def first_split(frame: pd.DataFrame) -> str:
    """Return the split that ranks."""
    return str((frame.attrs.get("splits") or ["test"])[0])


def score_column(frame: pd.DataFrame) -> str:
    """Return the column that ranks: the error rate in the normaliser's unit on the first split."""
    return f"{column(first_split(frame))}_error"


def metric_of(rows: pd.DataFrame, prefix: str = "") -> str:
    """Return what the error rate of a board's normaliser is called; ``prefix`` is that of another one's columns."""
    found = list(rows[f"{prefix}metric"].dropna().unique()) if f"{prefix}metric" in rows else []
    about = rows.attrs.get("others", {}).get(prefix.removesuffix("__"), {}) if prefix else rows.attrs
    said = str(about.get("metric", "wer"))
    return str(found[0]) if found else said if said in ("wer", "cer") else "wer"


def several_seeds(rows: pd.DataFrame) -> bool:
    """Whether entries have several seeds, or lack some of them."""
    return bool((rows["seeds"] + rows["failed"] + rows["stopped"] + rows["missing"]).max() > 1)

"""Advice as plain data, for programs. Rates are fractions, sizes bytes; what is not known is null."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from reports._content import first_split, score_column
from reports._recommend_entries import front
from reports._recommend_export import Export
from reports._recommend_limits import Quantity
from reports._recommend_text import best_of_all, notes

if TYPE_CHECKING:
    import pandas as pd

    from reports._recommend import Advice

_OF_ENTRY = ("title", "label", "block", "keep", "cell", "attempt", "run", "seed", "seed_list")


def told_front(frame: pd.DataFrame, table: pd.DataFrame, known: Sequence[Quantity]) -> dict[str, Any]:
    """Return the entries that none beats in error and size."""
    best = front(table)
    listed = [_entry(best, place, known) for place in range(len(best))]
    return {"answer": "front", **_about(frame, table), "front": listed, "notes": list(notes(frame, table))}


def told(frame: pd.DataFrame, found: Advice, known: Sequence[Quantity], written: Export | None) -> dict[str, Any]:
    """Return the advice; ``written`` says how the entry to ship is exported, None where nothing fits."""
    data: dict[str, Any] = {
        "answer": "nothing fits" if written is None else "ship",
        **_about(frame, found.table),
        "fitting": found.fitting,
        "minimised": found.aim.key,
        "equal_within": found.aim.ties,
        "why": found.aim.why,
        "limits": _limits(found),
        "notes": list(notes(frame, found.table, found)),
    }
    if written is None or found.first is None:
        return data | {"nearest": _entry(found.table, found.nearest, known) if found.limits else None}
    return data | {
        "ship": _entry(found.table, found.first, known),
        "runner_up": None if found.second is None else _entry(found.table, found.second, known),
        "sure": asdict(found.sureness),
        "export": asdict(written),
    }


def _about(frame: pd.DataFrame, table: pd.DataFrame) -> dict[str, Any]:
    first = frame[frame["status"] == "ok"].iloc[0]
    return {
        **{name: plain(first[name]) for name in ("model", "corpus", "language")},
        "split": first_split(frame),
        **{name: frame.attrs[name] for name in ("normalizer", "metric", "signature", "device")},
        "entries": len(table),
    }


def _limits(found: Advice) -> list[dict[str, Any]]:
    """Return the limits; where nothing fits, with how far the nearest entry is from each."""
    listed = []
    for one, met in zip(found.limits, found.met, strict=True):
        asked = one.quantity
        about: dict[str, Any] = {"limit": asked.key, "flag": asked.flag, "bound": one.bound, "upper": asked.upper}
        about["met_by"] = int(met.sum())
        if found.first is None:
            near = asked.values(found.table)[found.nearest]
            over = float(one.excess(np.array([near]))[0])
            about |= {"best": plain(best_of_all(asked, found.table)), "nearest": plain(near)}
            about["relative_excess"] = over if math.isfinite(over) else None
        listed.append(about)
    return listed


def _entry(table: pd.DataFrame, place: int, known: Sequence[Quantity]) -> dict[str, Any]:
    row, error = table.iloc[place], score_column(table)
    values: dict[str, Any] = {one.key: plain(row[one.column]) for one in known if not one.about_error}
    for name, column in (("error", error), ("error_to_dense", f"{error}_delta")):
        values[name] = {"mean": plain(row[column]), "lo": plain(row[f"{column}_lo"]), "hi": plain(row[f"{column}_hi"])}
    about = {name: plain(row[name]) for name in _OF_ENTRY}
    return {**about, "entry": str(table.index[place]), "artefact_kept": bool(row["there"]), "values": values}


def plain(value: Any) -> Any:
    """Return a frame's value as JSON has it; None where it is missing."""
    import pandas as pd

    if value is None or pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value

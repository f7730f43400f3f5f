"""From cells to entries: a method at one budget, over all of its seeds. What a leaderboard ranks is an entry.

An entry has the columns of a cell under the same names, so that whoever shows cells can show entries: error rates are
means over seeds with intervals over seeds and utterances (the ``_mean`` columns of ``benchmark.store.scoring``), sizes
and times are means over the finished seeds. What differs, or is new:

| columns | meaning |
|---|---|
| cell, attempt, seed, run | those of the first finished seed, where samples and plans are read |
| cells, seeds, seed_list | ids of the finished cells; how many and which seeds they have, e.g. ``0,1,2`` |
| failed, stopped, missing | seeds without a result: went wrong, stopped by a study, asked for and not there |
| status | ok where one seed is finished; else failed, pruned or missing, whichever comes first |
| fitted_on, decoded_on | those of all finished seeds; None where one of them does not say |
| error | what became of the seeds without a result; empty where there are none |
| <split>_no_worse | mean over the seeds that have a dense |
| <split>_delta_seeds | how many seeds have a dense of theirs: ``delta``, ``no_worse``, ``non_inferior`` speak of them |
| <split>_<metric>_sd, _min, _max | of the seeds: standard deviation (of a sample), least, most |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmark.store.frame import AND
from benchmark.store.scoring import METRICS, column

if TYPE_CHECKING:
    import pandas as pd

_MEANS = (
    *("reached", "seconds", "steps", "utterances", "tokens", "calibration_passes", "teacher_passes", "train_seconds"),
    *("prunable_nonzero", "prunable_stored", "params_nominal", "params_stored", "bytes", "weight_bytes"),
    *("macs_encoder", "macs_cross_kv", "macs_decoder_token", "macs_first_token"),
    *("rtfx", "rtfx_lo", "rtfx_hi", "speedup", "speedup_lo", "speedup_hi", "encoder_ms", "peak_memory"),
)
_PARTS = ("", "_lo", "_hi", "_delta", "_delta_lo", "_delta_hi", "_delta_p")
_WITHOUT_RESULT = ("failed", "pruned", "missing")
_SAID = {"failed": "failed", "pruned": "stopped", "missing": "missing"}


def entries(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row an entry, in the order in which the frame has them; ``attrs`` are the frame's.

    Args:
        frame: of ``benchmark.store.frame.frame``, with or without scores.
    """
    import pandas as pd

    attrs, rates = frame.attrs, list(_rates_in(frame))
    frame = frame.copy()  # in one piece: several normalisers bring so many columns that pandas warns of it otherwise
    frame.attrs = {}  # pandas copies them at every step, which would take most of the time
    order = {"ok": 0} | {status: at for at, status in enumerate(_WITHOUT_RESULT, 1)}
    by_result = frame.assign(_order=frame["status"].map(order)).sort_values(["_order", "seed"], kind="stable")
    first = by_result.drop_duplicates("entry").set_index("entry").reindex(frame["entry"].unique())
    found = pd.concat([_numbers(frame, first, rates), _counted(frame)], axis=1).reindex(first.index)
    numbers = ["seeds", *_SAID.values()]
    numbers += [name for name in map(str, found) if name.endswith("_delta_seeds")]
    found[numbers] = found[numbers].fillna(0).astype("int64")
    found[["cells", "seed_list", "error"]] = found[["cells", "seed_list", "error"]].astype("object").fillna("")
    rest = first.drop(columns=["_order", *_means_in(frame, rates), *(name for name in found if name in first)])
    joined = pd.concat([rest, found], axis=1).rename_axis("entry").reset_index()[_order(frame, found, rates)]
    joined.attrs = attrs
    return joined


def _order(frame: pd.DataFrame, found: pd.DataFrame, rates: list[str]) -> list[str]:
    """Return the names of columns: those of a cell in their order, then what only entries have."""
    gone = set(_means_in(frame, rates))
    of_cells = [name for name in map(str, frame) if name not in gone]
    return [*of_cells, *(name for name in map(str, found) if name not in of_cells)]


def _numbers(frame: pd.DataFrame, first: pd.DataFrame, rates: list[str]) -> pd.DataFrame:
    """Return what is a mean over the finished seeds, and how far these lie apart."""
    import pandas as pd

    groups = frame[frame["status"] == "ok"].groupby("entry", sort=False)
    shares = [name for name in map(str, frame) if name.endswith("_no_worse")]
    columns: dict[str, pd.Series] = {}
    for name in rates:
        parts = [part for part in _PARTS if f"{name}_mean{part}" in first]
        columns |= {name + part: first[f"{name}_mean{part}"] for part in parts}
        columns |= {f"{name}_sd": groups[name].std(), f"{name}_min": groups[name].min()}
        columns[f"{name}_max"] = groups[name].max()
        if name.endswith("_error"):
            columns[f"{name.removesuffix('_error')}_delta_seeds"] = groups[f"{name}_delta"].count()
    means = groups[[*_MEANS, *shares]].agg("mean").astype("float64")
    return pd.concat([means, pd.DataFrame(columns)], axis=1)


def _counted(frame: pd.DataFrame) -> pd.DataFrame:
    """Return which cells and seeds an entry has, and what became of the others."""
    import pandas as pd

    groups = frame[frame["status"] == "ok"].groupby("entry", sort=False)
    without = frame[frame["status"] != "ok"].groupby("entry", sort=False)
    return pd.DataFrame(
        {
            "cells": groups["cell"].agg(",".join),
            "seeds": groups.size(),
            "seed_list": groups["seed"].agg(lambda seeds: ",".join(map(str, sorted(seeds)))).astype("object"),
            **{name: groups[name].agg(_all_places) for name in ("fitted_on", "decoded_on")},
            **{_SAID[status]: _count(frame, status) for status in _WITHOUT_RESULT},
            "error": pd.Series({name: _said(rows) for name, rows in without}, dtype="object"),
        }
    )


def _means_in(frame: pd.DataFrame, rates: list[str]) -> list[str]:
    """Return the columns that hold an entry's numbers in every row of its cells."""
    ours = [f"{name}_mean" for name in rates]
    return [name for name in map(str, frame) if any(name == mean or name.startswith(f"{mean}_") for mean in ours)]


def _rates_in(frame: pd.DataFrame) -> Iterator[str]:
    """Yield the columns that hold an error rate, of all splits and normalisers."""
    for prefix in ("", *(f"{slug}__" for slug in frame.attrs.get("others", ()))):
        for split in frame.attrs.get("splits", ()):
            for metric in METRICS:
                if (name := f"{prefix}{column(split)}_{metric}") in frame:
                    yield name


def _all_places(places: pd.Series) -> str | None:
    """Return the places of several cells, each once."""
    if places.isna().any():
        return None
    return AND.join(dict.fromkeys(one for some in places for one in some.split(AND) if one))


def _count(frame: pd.DataFrame, status: str) -> pd.Series:
    return frame[frame["status"] == status].groupby("entry").size()


def _said(rows: pd.DataFrame) -> str:
    """Return what became of seeds without a result; alone in its entry it is said as the record has it."""
    if len(rows) == 1:
        return str(rows["error"].iloc[0])
    return "; ".join(f"seed {seed}: {error}" for seed, error in zip(rows["seed"], rows["error"], strict=True))

"""Speeds of entries at each batch size that was timed on one device, from all timing records of a frame's runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import NothingToReportError
from benchmark.store.timings import timings
from reports import _content as content
from reports._pareto_data import REFERENCES

if TYPE_CHECKING:
    import pandas as pd

_RATIOS = ("rtfx", "rtfx_lo", "rtfx_hi", "speedup", "speedup_lo", "speedup_hi")
_ABOUT = ("entry", "block", "keep", "label", "method", "params_stored", "params_dense")
WHOLE = 0.99
"""Share of dense's parameters in its file from which an artefact has dense's shapes, or nearly."""


@dataclass(frozen=True)
class Speeds:
    """The entries of a board that were timed, one row an entry and batch, in the board's order."""

    title: str
    table: pd.DataFrame
    untimed: int
    """Finished entries without a timing on this device."""

    @property
    def shown(self) -> pd.DataFrame:
        """What may be faster than dense, and the yardsticks: all but the mask block."""
        return self.table[self.table["block"] != "mask"]

    @property
    def drawn(self) -> pd.DataFrame:
        """What may be faster than dense and has a speed-up."""
        shown = self.shown
        return shown[~shown["method"].isin(REFERENCES) & shown["speedup"].notna()]


def speeds(frame: pd.DataFrame) -> list[Speeds]:
    """Return the boards of a scored frame with what was timed on the frame's device.

    Raises:
        NothingToReportError: nothing is timed there, or at fewer than two batch sizes.
        StoreError: a timing record that cannot be used, or no scores in the frame.
    """
    import pandas as pd

    device = frame.attrs.get("device")
    found = by_batch(frame) if device else None
    if device is None or found is None or found.empty:
        where = f" on {device}" if device else ""
        raise NothingToReportError(f"batches: nothing is timed{where}; prunebench profile RUNS --batch 32 does it")
    _check_several(device, found)
    boards = [_speeds(board, found) for board in content.boards(frame)]
    if all(board.drawn.empty for board in boards):
        raise NothingToReportError(
            f"batches: on {device} only dense and masked artefacts are timed, which have dense's shapes; run methods "
            "with a stored budget, then prunebench profile RUNS --batch 32"
        )
    _check_several(device, pd.concat([board.drawn for board in boards]), "all that can be faster")
    return [board for board in boards if not board.table.empty]


def _check_several(device: str, timed: pd.DataFrame, what: str = "all") -> None:
    batches = sorted(timed["batch"].unique())
    if len(batches) < 2:
        other = 32 if batches[0] != 32 else 8
        raise NothingToReportError(
            f"batches: on {device} {what} is timed at batch {batches[0]} only; prunebench profile RUNS --batch {other} "
            "adds another"
        )


def by_batch(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row an entry and batch: what its cells took on the device of ``frame.attrs``, the newest row each.

    Columns: ``entry``, ``batch``, ``seeds`` (timed at this batch), of ``rtfx`` and ``speedup`` the geometric mean over
    seeds (they are ratios), likewise of the quartiles of the repeats ``_lo`` and ``_hi``, the seeds' ``_min`` and
    ``_max``, and ``_from`` and ``_to``: the quartiles of one seed, the extremes of several; ``peak_memory`` (the
    arithmetic mean, bytes).
    """
    import pandas as pd

    records = [one for run in frame["run"].unique() for one in timings(run) if one["device"] == frame.attrs["device"]]
    rows = [row | {"stamp": one.get("stamp", "")} for one in records for row in one["rows"]]
    numbers = ["batch", *_RATIOS, "peak_memory"]
    timed = pd.DataFrame(rows, columns=None if rows else ["cell"]).reindex(
        columns=["cell", "attempt", "stamp", *numbers]
    )
    timed = timed.astype(dict.fromkeys(numbers, "float64")).dropna(subset="batch").astype({"batch": "int64"})
    timed = timed.sort_values("stamp", kind="stable").drop_duplicates(["cell", "attempt", "batch"], keep="last")
    timed = timed.merge(frame[["cell", "attempt", "entry"]], on=["cell", "attempt"])
    groups = timed.groupby(["entry", "batch"])
    logs = timed[[*_RATIOS]].where(timed[[*_RATIOS]] > 0).transform(np.log)
    table = logs.groupby([timed["entry"], timed["batch"]]).mean().transform(np.exp)
    table["seeds"] = groups["cell"].nunique()
    table["peak_memory"] = groups["peak_memory"].mean()
    for name in ("rtfx", "speedup"):
        table[f"{name}_min"], table[f"{name}_max"] = groups[name].min(), groups[name].max()
        for end, of_one, of_several in (("from", "lo", "min"), ("to", "hi", "max")):
            one = table["seeds"] < 2
            table[f"{name}_{end}"] = table[f"{name}_{of_one}"].where(one, table[f"{name}_{of_several}"])
    return table.reset_index()


def _speeds(board: content.Board, found: pd.DataFrame) -> Speeds:
    rows = board.rows[[*_ABOUT]].assign(board=board.title)
    rows.attrs = {}
    table = rows.merge(found, on="entry")
    finished = board.rows.loc[board.rows["status"].eq("ok"), "entry"]
    return Speeds(board.title, table, int((~finished.isin(table["entry"])).sum()))

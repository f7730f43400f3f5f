"""What training cost an entry, and what it bought: seconds, passes and tokens beside the error rate.

``train_seconds`` of a cell are those of its whole path: the sum of the wall clocks of its Fits, each measured once, in
the process that carried it out. A Fit that several cells share is counted in each of them, so that seconds of cells do
not add up to what was paid. Teachers and penalties are in it; calibration, pruning, what a study looks at while it
trains, decoding and profiling are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.store.frame import AND
from benchmark.store.front import non_dominated
from reports import _content as content
from reports._room import Told

if TYPE_CHECKING:
    import pandas as pd

SECONDS, PASSES = "train_seconds", "extra_passes"
_USED = ["steps", "tokens", "calibration_passes", "teacher_passes"]
COLUMNS = [
    *("board", "entry", "block", "keep", "label", "split", "metric", "seeds", "asked", "error", "error_lo", "error_hi"),
    *(SECONDS, f"{SECONDS}_min", f"{SECONDS}_max", "fitted_on", *_USED, PASSES, "front"),
]


@dataclass(frozen=True)
class Costs(Told):
    """One board: its finished entries in order (columns ``COLUMNS``), and where they were trained."""

    places: tuple[str, ...]
    """Devices and threads that trained them."""
    unknown: bool
    """Whether some record does not say where it was trained."""
    lacking: int
    """Entries of the board without a result."""

    @property
    def place(self) -> str | None:
        """Where all were trained; None where seconds must not be compared."""
        return self.places[0] if len(self.places) == 1 and not self.unknown else None

    @property
    def why(self) -> str:
        """Why no seconds are compared; empty where they are."""
        if self.place is not None:
            return ""
        if self.unknown:
            return "seconds are not compared: some records do not say on what they were trained"
        return f"seconds are not compared: the records were trained on {' and on '.join(self.places)}"


def costs(frame: pd.DataFrame) -> list[Costs]:
    """Return the boards on which something finished was trained.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    boards = content.boards(frame)
    split, score = content.first_split(frame), content.score_column(frame)
    cells = frame.loc[frame["status"].eq("ok"), ["entry", "steps", SECONDS, "fitted_on"]]
    cells.attrs = {}
    return [one for board in boards if (one := _costs(board, cells, split, score)).entries["steps"].gt(0).any()]


def _costs(board: content.Board, cells: pd.DataFrame, split: str, score: str) -> Costs:
    rows = board.rows
    rows.attrs = {}  # pandas copies them at every step
    finished = rows["status"].eq("ok") & rows[score].notna()
    rows, lacking = rows[finished], int((~finished).sum())
    ours = cells[cells["entry"].isin(rows["entry"])]
    trained = ours[ours["steps"].gt(0)]
    groups = ours.groupby("entry")
    table = rows.assign(
        board=board.title,
        split=split,
        metric=board.metric,
        asked=rows[["seeds", "failed", "stopped", "missing"]].sum(axis=1),
        error=rows[score],
        error_lo=rows[f"{score}_lo"],
        error_hi=rows[f"{score}_hi"],
        extra_passes=rows[["calibration_passes", "teacher_passes"]].sum(axis=1, min_count=1),
        fitted_on=rows["entry"].map(groups["fitted_on"].agg(_joined)),
        **{f"{SECONDS}_{what}": rows["entry"].map(groups[SECONDS].agg(what)) for what in ("min", "max")},
    ).reindex(columns=COLUMNS)
    numbers = ["keep", "error", "error_lo", "error_hi", SECONDS, f"{SECONDS}_min", f"{SECONDS}_max", *_USED, PASSES]
    table[numbers] = table[numbers].astype("float64")
    mixed = rows["entry"].map(groups["fitted_on"].nunique(dropna=False)).gt(1) | table["fitted_on"].str.contains(
        AND, regex=False
    )
    table.loc[mixed, [SECONDS, f"{SECONDS}_min", f"{SECONDS}_max"]] = np.nan  # no sum or mean over two devices
    places = tuple(sorted({one for some in trained["fitted_on"].dropna().unique() for one in some.split(AND)}))
    unknown = bool(trained["fitted_on"].isna().any())
    found = Costs(board.title, board.metric, split, table, places, unknown, lacking)
    found.entries["front"] = _fronts(table) if found.place is not None else None
    return found


def _joined(places: pd.Series) -> str:
    """Return the places of an entry's seeds, each once."""
    return " / ".join(places.fillna("not recorded").unique())


def _fronts(table: pd.DataFrame) -> pd.Series:
    """Return which entries no other one of the same block and kept fraction beats in seconds and error; else None."""
    import pandas as pd

    found = pd.Series(None, index=table.index, dtype="object")
    for _, rows in table[table["keep"].notna() & table[SECONDS].notna()].groupby(["block", "keep"]):
        found[rows.index] = non_dominated(rows[SECONDS].to_numpy(), rows["error"].to_numpy())
    return found


def spread_of_seconds(table: pd.DataFrame) -> float | None:
    """Return by how much seconds of one entry's seeds differ at most, as a fraction; None without two seeds."""
    several = table[table["seeds"].gt(1) & table[f"{SECONDS}_min"].gt(0)]
    if several.empty:
        return None
    return float((several[f"{SECONDS}_max"] / several[f"{SECONDS}_min"]).max() - 1)

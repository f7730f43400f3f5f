"""Pareto fronts over the frame, and the artefacts that a spec does not want to keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.errors import StoreError
from benchmark.store.folders import short
from benchmark.store.frame import frame as read_frame
from benchmark.store.records import MODEL, latest
from benchmark.store.scoring import column

if TYPE_CHECKING:
    import pandas as pd

COSTS = {"mask": "params_nominal"}
"""Block to the size its front is drawn over; every other block is judged by ``params_stored``."""


def non_dominated(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return which points no other point beats: none is at most as large in both and smaller in one.

    ``x`` and ``y`` have shape ``(N,)``, the result too. Equal points do not beat each other, so ties stay on the
    front together.
    """
    import moocore

    points = np.column_stack([np.asarray(x, float), np.asarray(y, float)])
    found: np.ndarray = moocore.is_nondominated(points, keep_weakly=True)
    return found


def front_cells(frame: pd.DataFrame) -> set[str]:
    """Return the cells on a front of error against size: one front a setting, recipe and block.

    What has no budget (dense, the shipped model) competes in every block of its setting. Error is that of the first
    split in the normaliser's unit.

    Raises:
        StoreError: the frame has no scores.
    """
    if "metric" not in frame.attrs:
        raise StoreError("a front needs scores: make the frame with a normalizer, frame(runs, normalizer=...)")
    split = (frame.attrs["splits"] or ["test"])[0]
    score = f"{column(split)}_{frame.attrs['metric']}"
    usable = frame[frame["status"].eq("ok") & frame[score].notna()]
    found: set[str] = set()
    for _, setting in usable.groupby("setting"):
        references = setting[setting["block"] == "reference"]
        for (_, block), rows in setting[setting["block"] != "reference"].groupby(["recipe", "block"]):
            yardsticks = references[references["recipe"].isin([*rows["recipe"].unique(), ""])]
            cells = [*rows["cell"], *yardsticks["cell"]]
            race = setting[setting["cell"].isin(cells)]
            cost = race[COSTS.get(str(block), "params_stored")].to_numpy(float)
            found |= set(race["cell"][non_dominated(cost, race[score].to_numpy(float))])
    return found


def drop_artefacts(
    run: Path, cells: Collection[str], keep: Literal["all", "front", "none"], normalizer: str
) -> list[str]:
    """Delete the models of ``cells`` that ``keep`` does not want, and return these cells.

    Records, plans and transcripts stay: scores, tables and pairs need no artefact. A failed or unknown cell is left
    alone. Dropping again does nothing.

    Raises:
        StoreError: a record that cannot be used, or a file that cannot be deleted.
    """
    if keep == "all":
        return []
    wanted = (
        front_cells(read_frame(run, normalizer=normalizer, cells=cells, timings=False)) if keep == "front" else set()
    )
    dropped = []
    for record in latest(run):
        model = record.path / MODEL
        if record.ok and record.cell in cells and record.cell not in wanted and model.exists():
            try:
                model.unlink()
            except OSError as error:
                raise StoreError(f"{model}: cannot be deleted ({short(error)}); make its folder writable") from error
            dropped.append(record.cell)
    return dropped

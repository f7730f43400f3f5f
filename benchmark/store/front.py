"""Pareto fronts over the frame, and the artefacts that a spec does not want to keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.errors import StoreError
from benchmark.store.folders import short
from benchmark.store.frame import frame as read_frame
from benchmark.store.records import MODEL, Record, latest
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


def own_fronts(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, owners: Sequence[str] | np.ndarray
) -> np.ndarray:
    """Return which points no other point of the same owner (a method, say) beats; all three have shape ``(N,)``."""
    horizontal, vertical, names = np.asarray(x, float), np.asarray(y, float), np.asarray(owners)
    found = np.zeros(len(names), bool)
    for name in np.unique(names):
        mine = names == name
        found[mine] = non_dominated(horizontal[mine], vertical[mine])
    return found


def staircase(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, right: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the line between what the points reach and what they do not, from left to right.

    It goes along the front's points (each once, ties too) and then level to ``right``: from one corner to the next
    first horizontally, then down. Both arrays have shape ``(points of the front + 1,)``; empty without a point.
    """
    horizontal, vertical = np.asarray(x, float), np.asarray(y, float)
    if not len(horizontal):
        return horizontal, vertical
    best = np.unique(np.column_stack([horizontal, vertical])[non_dominated(horizontal, vertical)], axis=0)
    return np.append(best[:, 0], max(right, best[-1, 0])), np.append(best[:, 1], best[-1, 1])


def hypervolume(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, reference: tuple[float, float]
) -> float:
    """Return the share of the rectangle from the origin to ``reference`` that the points dominate, between 0 and 1.

    ``x`` and ``y`` have shape ``(N,)`` and are better the smaller; what is no better than ``reference`` in one of the
    two adds nothing, and neither does a point that another one beats.

    Raises:
        ValueError: ``reference`` is not positive and finite in both, or a point is negative or not a number.
    """
    import moocore

    points = np.column_stack([np.asarray(x, float), np.asarray(y, float)])
    corner = np.asarray(reference, float)
    if not np.isfinite(corner).all() or not (corner > 0).all():
        raise ValueError(f"the reference {reference} is not positive and finite in both")
    if not (points >= 0).all():
        raise ValueError("a point is negative or not a number")
    inside = points[(points < corner).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=corner) / corner.prod()) if len(inside) else 0.0


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


def unwanted(run: Path, cells: Collection[str], keep: Literal["all", "front", "none"], normalizer: str) -> list[Record]:
    """Return the results of ``cells`` whose models ``keep`` does not want; a failed or unknown cell is left alone.

    Raises:
        StoreError: a record that cannot be used.
    """
    if keep == "all":
        return []
    wanted = (
        front_cells(read_frame(run, normalizer=normalizer, cells=cells, timings=False)) if keep == "front" else set()
    )
    return [record for record in latest(run) if record.ok and record.cell in cells and record.cell not in wanted]


def drop_artefacts(
    run: Path, cells: Collection[str], keep: Literal["all", "front", "none"], normalizer: str
) -> list[str]:
    """Delete the models of ``cells`` that ``keep`` does not want, and return these cells.

    Records, plans and transcripts stay: scores, tables and pairs need no artefact. Dropping again does nothing.

    Raises:
        StoreError: a record that cannot be used, or a file that cannot be deleted.
    """
    dropped = []
    for record in unwanted(run, cells, keep, normalizer):
        model = record.path / MODEL
        if model.exists():
            try:
                model.unlink()
            except OSError as error:
                raise StoreError(f"{model}: cannot be deleted ({short(error)}); make its folder writable") from error
            dropped.append(record.cell)
    return dropped

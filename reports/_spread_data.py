"""How far the trainings of one entry lie apart: an entry's seeds, their mean, and what is missing of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import _content as content
from reports._room import Told

if TYPE_CHECKING:
    import pandas as pd

ENTRY = ["entry", "block", "keep", "label", "error", "seeds", "asked", "mean", "mean_lo", "mean_hi", "sd", "min", "max"]
"""Columns of an entry; rates are fractions, ``sd`` is that of a sample; ``error`` says what became of other seeds."""


@dataclass(frozen=True)
class Spread(Told):
    """One board: its entries in order (columns ``ENTRY``), and every seed of theirs."""

    resampled: str
    """What intervals resample besides seeds, e.g. ``8 speakers``."""
    seeds: pd.DataFrame
    """Columns entry, seed, status, rate (a fraction, NaN without a result); by entry and seed."""


def spreads(frame: pd.DataFrame) -> tuple[list[Spread], list[str]]:
    """Return the boards in which some entry has two finished seeds, and the titles of those in which none has.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    boards = content.boards(frame)
    split, score = content.first_split(frame), content.score_column(frame)
    cells = frame.reindex(columns=["entry", "seed", "status", score]).set_axis(
        ["entry", "seed", "status", "rate"], axis=1
    )
    cells.attrs = {}
    cells["rate"] = cells["rate"].astype("float64").where(cells["status"].eq("ok"))
    cells = cells.sort_values(["entry", "seed"], kind="stable")
    found, alone = [], []
    for board in boards:
        entries = _entries(board, score)
        seeds = cells[cells["entry"].isin(entries["entry"])]
        if not _several(board, seeds):
            alone.append(board.title)
            continue
        drawn = board.rows[f"{content.column(split)}_resampled"].dropna().unique()
        found.append(Spread(board.title, board.metric, split, entries, " or ".join(map(str, drawn)), seeds))
    return found, alone


def _several(board: content.Board, seeds: pd.DataFrame) -> bool:
    """Whether some entry has two finished seeds, leaving out what joins from another recipe (the untrained model)."""
    rows = board.rows
    own = rows.loc[rows["recipe"].eq(rows["recipe"].max()), "entry"]
    return bool(seeds[seeds["entry"].isin(own)].groupby("entry")["rate"].count().max() > 1)


def _entries(board: content.Board, score: str) -> pd.DataFrame:
    rows = board.rows
    rows.attrs = {}  # pandas copies them at every step
    asked = rows[["seeds", "failed", "stopped", "missing"]].sum(axis=1)
    named = {score: "mean", f"{score}_lo": "mean_lo", f"{score}_hi": "mean_hi"}
    named |= {f"{score}_{what}": what for what in ("sd", "min", "max")}
    table = rows.assign(asked=asked).reindex(columns=[*ENTRY[:7], *named]).rename(columns=named)
    numbers = ["keep", *named.values()]
    table[numbers] = table[numbers].astype("float64")
    return table.reset_index(drop=True)


def of_how_many(seeds: int, asked: int) -> str:
    """Return how many seeds are finished, and of how many where some are not."""
    return f"{seeds}" if seeds == asked else f"{seeds} of {asked}"


def by_entry(seeds: pd.DataFrame) -> dict[str, list[tuple[int, str, float]]]:
    """Return (seed, status, rate) of every seed, by entry."""
    found: dict[str, list[tuple[int, str, float]]] = {}
    for entry, seed, status, rate in seeds.itertuples(index=False, name=None):
        found.setdefault(entry, []).append((int(seed), status, rate))
    return found


def lines(found: Sequence[Spread]) -> pd.DataFrame:
    """Return one row a seed of an entry of a board: what ``spread.csv`` holds."""
    import pandas as pd

    return pd.concat(
        [
            one.entries.merge(one.seeds, on="entry", how="left", sort=False).assign(
                board=one.title, metric=one.metric, split=one.split
            )
            for one in found
        ]
    )[["board", "entry", "block", "keep", "label", "split", "metric", "seed", "status", "rate", *ENTRY[5:], "error"]]

"""What stands above and beside a leaderboard's rows, by one normaliser: the best of a budget, bars, a summary."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.store.scoring import column
from reports._cells import absent, interval, percent
from reports._marks import BEST
from reports._page_text import shown
from reports._page_views import Block, Board, View

if TYPE_CHECKING:
    import pandas as pd

_RATIO = 8
"""From this ratio of largest to least on, intervals are drawn on a logarithmic scale."""


@dataclass(frozen=True)
class Scale:
    """Where an error rate lies on the little bars of a board, in per cent of their width."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, rows: pd.DataFrame, score: str) -> Scale:
        """Return the scale that holds all intervals; what is beyond 100 % lies at its end."""
        found = rows[[f"{score}_lo", score, f"{score}_hi"]].to_numpy(float).ravel()
        values = [min(value, 1.0) for value in found if value > 0]
        if not values:
            return cls(0.0, 1.0, log=False)
        low, high = min(values), max(values)
        return cls(low, high, log=True) if high / low > _RATIO else cls(0.0, high, log=False)

    def at(self, value: Any) -> float | None:
        """Return the place of a rate; None where there is none."""
        if absent(value):
            return None
        inside = min(max(float(value), self.low), self.high)
        if self.high <= self.low:
            return 50.0
        if self.log:
            return round(100 * math.log(inside / self.low) / math.log(self.high / self.low), 1)
        return round(100 * (inside - self.low) / (self.high - self.low), 1)

    def bar(self, row: Any, score: str) -> list[float] | None:
        """Return where an entry's interval begins, its rate lies, and the interval ends."""
        places = [self.at(row[f"{score}{part}"]) for part in ("_lo", "", "_hi")]
        if places[1] is None:
            return None
        return [places[1] if place is None else place for place in places]

    @property
    def said(self) -> str:
        """Return the scale in words."""
        kind = "logarithmic" if self.log else "linear"
        return f"{kind}, from {100 * self.low:.1f} to {100 * self.high:.1f} %"


@dataclass(frozen=True)
class Best:
    """The best of one budget, for the cards above a board."""

    kept: str
    entry: str
    label: str
    score: str
    rank: str


def best(block: Block, score: str, marks: dict[str, str]) -> Iterator[Best]:
    """Yield the best entry of each budget of a block, the largest budget first, and how many cannot be told from it."""
    races: dict[float, list[dict[Any, Any]]] = {}
    for row in block.records:
        races.setdefault(float(row["keep"]), []).append(row)
    for keep, race in races.items():
        leading = [row for row in race if BEST in marks.get(str(row["entry"]), "")]
        if not leading:
            yield Best(percent(keep, 0).text, "", "no result", "", "")
            continue
        others = sum(not absent(row["rank"]) and row["rank"] == 1 for row in race) - 1
        near = f"{others} more not told apart" if others > 0 else "alone at the top"
        told = "" if absent(leading[0]["rank"]) else near
        for row in leading[:1]:
            said = interval(row, score).text
            yield Best(percent(keep, 0).text, str(row["entry"]), shown(str(row["label"]), 80), said, told)


def dense(board: Board) -> dict[Any, Any] | None:
    """Return the board's yardstick: the trained model with all its weights."""
    for block in board.blocks:
        for row in block.records if block.block == "reference" else ():
            if row["method"] == "dense" and row["options"] == "{}" and row["status"] == "ok":
                return row
    return None


def summary(view: View, board: Board, margin: float) -> str:
    """Return the board in one sentence or two: dense, and how far each block goes without being worse by more."""
    score = f"{column(view.split)}_error"
    name = board.metric.upper()
    yardstick = dense(board)
    start = "No dense model to compare with. " if yardstick is None else ""
    if yardstick is not None and not absent(yardstick[score]):
        start = f"The dense model is at {interval(yardstick, score).text} % {name}. "
    told = [said for block in board.blocks if block.block != "reference" for said in [_reach(block, score)] if said]
    points = f"{100 * margin:g} point{'s' * (margin != 0.01)}"
    whole = start + (f"Shown to be less than {points} worse: {'; '.join(told)}." if told else "")
    return whole.replace(" %", "\u00a0%")


def _reach(block: Block, score: str) -> str:
    rows = block.rows[block.rows["status"].eq("ok") & block.rows[score].notna()]
    if rows.empty:
        return ""
    name = f"{block.block} block"
    if "non_inferior" not in rows or rows["non_inferior"].isna().all():
        return ""
    fine = rows[rows["non_inferior"].fillna(value=False).astype(bool)]
    if fine.empty:
        return f"{name} none"
    least = fine[fine["keep"] == fine["keep"].min()].sort_values(score)
    one = least.iloc[0]
    rate = f"{100 * one[score]:.1f} %"
    return f"{name} down to {percent(one['keep'], 0).text} kept ({shown(str(one['label']), 60)}, {rate})"

"""What a picture with a panel a block and kept fraction has room for; the table has all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas as pd

MOST_PANELS = 16


@dataclasses.dataclass(frozen=True)
class Told:
    """What is told of one board."""

    title: str
    metric: str
    split: str
    entries: pd.DataFrame
    """One row an entry, with columns block and keep."""


Some = TypeVar("Some", bound=Told)


def drawn(found: Sequence[Some]) -> list[Some]:
    """Return the first boards whose panels find room; of a first one with too many, those of the tightest budgets."""
    return [
        dataclasses.replace(one, entries=rows)
        for one, rows in zip(found, fitting([o.entries for o in found]), strict=False)
    ]


def fitting(found: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return the rows of the first boards that are drawn, as ``drawn`` says; rows have columns block and keep."""
    shown: list[pd.DataFrame] = []
    room = MOST_PANELS
    for rows in found:
        panels = rows[["block", "keep"]].drop_duplicates()
        if len(panels) > room and shown:
            break
        shown.append(rows if len(panels) <= room else _tightest(rows, panels))
        room -= len(panels)
    return shown


def _tightest(entries: pd.DataFrame, panels: pd.DataFrame) -> pd.DataFrame:
    """Return what has no budget, and the tightest budgets."""
    without = int(panels["keep"].isna().sum())
    counted = panels["keep"].value_counts().sort_index().cumsum()
    least = counted.index[counted.le(MOST_PANELS - without) | (counted == counted.iloc[0])]
    return entries[entries["keep"].isna() | entries["keep"].isin(least)]


def said(found: Sequence[Told]) -> Iterator[str]:
    """Yield what is not in the picture."""
    return unseen([one.entries for one in found])


def unseen(found: Sequence[pd.DataFrame]) -> Iterator[str]:
    """Yield what of these boards' rows is not in the picture."""
    shown = fitting(found)
    if len(shown) < len(found):
        yield f"The picture shows the first {len(shown)} of {len(found)} boards."
    if len(shown[0]) < len(found[0]):
        yield "The picture shows the tightest budgets only."

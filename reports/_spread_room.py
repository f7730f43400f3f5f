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
    shown: list[Some] = []
    room = MOST_PANELS
    for one in found:
        panels = one.entries[["block", "keep"]].drop_duplicates()
        if len(panels) > room and shown:
            break
        shown.append(one if len(panels) <= room else dataclasses.replace(one, entries=_tightest(one.entries, panels)))
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
    shown = drawn(found)
    if len(shown) < len(found):
        yield f"The picture shows the first {len(shown)} of {len(found)} boards."
    if len(shown[0].entries) < len(found[0].entries):
        yield "The picture shows the tightest budgets only."

"""A frame seen through each of its normalisers: the same columns, so that whatever reads one reads all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reports import _content as content

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Block:
    """One block of a board: its title, and one row an entry."""

    block: str
    title: str
    rows: pd.DataFrame

    @cached_property
    def records(self) -> list[dict[Any, Any]]:
        """Return the rows one by one; made once, for it takes its time."""
        return self.rows.to_dict("records")


@dataclass(frozen=True)
class Board:
    """One board by one normaliser."""

    title: str
    notes: list[str]
    metric: str
    signatures: list[str]
    blocks: list[Block]


@dataclass(frozen=True)
class View:
    """All boards by one normaliser."""

    normalizer: str
    split: str
    boards: list[Board]


def views(frame: pd.DataFrame) -> list[View]:
    """Return one view a normaliser, the first one first; all have the same boards with the same entries.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    return [_view(frame, slug) for slug in ("", *frame.attrs.get("others", ()))]


def through(frame: pd.DataFrame, slug: str) -> pd.DataFrame:
    """Return the frame with one normaliser's scores as the only ones; the empty slug is that of the first."""
    others = frame.attrs.get("others", {})
    if not others:
        return frame
    ours = {name: name.removeprefix(f"{slug}__") for name in map(str, frame) if slug and name.startswith(f"{slug}__")}
    gone = [
        name for name in map(str, frame) if name not in ours and name.startswith(tuple(f"{one}__" for one in others))
    ]
    attrs = frame.attrs
    seen = frame.drop(columns=[*gone, *(name for name in ours.values() if name in frame)]).rename(columns=ours).copy()
    seen.attrs = attrs | (dict(others[slug]) if slug else {}) | {"others": {}}
    return seen


def _view(frame: pd.DataFrame, slug: str) -> View:
    seen = through(frame, slug)
    return View(
        normalizer=str(seen.attrs["normalizer"]),
        split=content.first_split(seen),
        boards=[_board(board) for board in content.boards(seen)],
    )


def _board(board: content.Board) -> Board:
    signed = board.rows["signature"]
    return Board(
        title=board.title,
        notes=board.notes,
        metric=board.metric,
        signatures=sorted({str(one) for one in signed if not content.absent(one)}),
        blocks=[Block(one.block, one.title, one.rows) for one in board.sections],
    )

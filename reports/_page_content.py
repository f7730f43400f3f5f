"""What the leaderboard page is filled with: boards, rows, cards, filters, and the numbers of every normaliser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.store.scoring import column
from reports import _page_marks as marks
from reports._cells import absent, interval
from reports._marks import BEST, DOMINATED, FRONT, flags
from reports._page_columns import Column, columns, filled
from reports._page_text import shown, visible
from reports._page_views import Block, Board, View
from reports._pareto_data import REFERENCES, main_cost

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS = {"ok": "finished", "failed": "failed", "pruned": "stopped", "missing": "missing"}
_TONES = {"failed": "bad", "pruned": "off", "missing": "off"}
_WORDS = {BEST: "best", FRONT: "front", DOMINATED: "dominated"}
_SHORT = {"reference": "reference", "mask": "mask", "stored": "stored"}


def entries_of(view: View) -> pd.DataFrame:
    """Return the entries of all boards, one row each and board."""
    return pd.concat([block.rows for board in view.boards for block in board.blocks])


def boards(views: Sequence[View], splits: Sequence[str], margin: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return what the template shows of each board, and the numbers by every normaliser for the switch."""
    shown_, data = [], [{"name": shown(view.normalizer, 120), "boards": []} for view in views]
    for at in range(len(views[0].boards)):
        by = [view.boards[at] for view in views]
        lists = [columns(view, board, splits) for view, board in zip(views, by, strict=True)]
        kept = _kept(lists, by)
        lists = [[one for one in some if one.key in kept] for some in lists]
        scales = [_Numbers(view, board) for view, board in zip(views, by, strict=True)]
        shown_.append(_board(by, lists[0], scales, margin))
        if len(views) > 1:
            for told, some, numbers in zip(data, lists, scales, strict=True):
                told["boards"].append(numbers.data([one for one in some if one.scored]))  # type: ignore[attr-defined]
        else:
            data[0]["boards"].append({})  # type: ignore[attr-defined]
    return shown_, {"norms": data}


def _kept(lists: Sequence[Sequence[Column]], by: Sequence[Board]) -> set[str]:
    """Return the keys of columns that have something by any normaliser."""
    return {
        one.key
        for some, board in zip(lists, by, strict=True)
        for one in filled(some, [row for block in board.blocks for row in block.records])
    }


class _Numbers:
    """The marks, bars and places of one board by one normaliser."""

    def __init__(self, view: View, board: Board) -> None:
        self.view, self.board = view, board
        self.score = f"{column(view.split)}_error"
        self.scale = marks.Scale.of(pd.concat([block.rows for block in board.blocks]), self.score)
        done = pd.concat([block.rows.loc[block.rows["status"].eq("ok"), "seeds"] for block in board.blocks])
        self.seeds = int(done.mode().iloc[0]) if len(done) else 1
        self.marks = {block.block: flags(block.block, block.rows, self.score) for block in board.blocks}
        yardstick = marks.dense(board)
        self.dense = None if yardstick is None else self.scale.at(yardstick[self.score])

    def bar(self, row: dict[Any, Any]) -> list[float] | None:
        return self.scale.bar(row, self.score) if row["status"] == "ok" else None

    def marked(self, block: Block, entry: str) -> str:
        return self.marks[block.block].get(entry, "")

    def data(self, scored: Sequence[Column]) -> dict[str, Any]:
        """Return what the switch puts in: titles, the place of dense, and a row's marks, bar, texts and sort keys."""
        rows = {}
        for block in self.board.blocks:
            for row in block.records:
                cells = [_cell(one, row) for one in scored]
                rows[str(row["entry"])] = [self.marked(block, str(row["entry"])), self.bar(row), cells]
        return {
            "titles": {one.key: one.title for one in scored},
            "keys": [one.key for one in scored],
            "dense": self.dense,
            "rows": rows,
        }


def _cell(one: Column, row: dict[Any, Any]) -> tuple[str, Any]:
    found = one.fill(row)
    sort = found.sort
    return found.text, float(f"{sort:.6g}") if isinstance(sort, float) else sort


def _board(by: Sequence[Board], shown_: Sequence[Column], numbers: Sequence[_Numbers], margin: float) -> dict[str, Any]:
    board, first = by[0], numbers[0]
    some = next(block.rows.iloc[0] for block in board.blocks)
    return {
        "title": visible(board.title),
        **{name: visible(str(some[name])) for name in ("model", "corpus", "language")},
        "columns": shown_,
        "groups": _groups(shown_),
        "judged": _judged(board),
        "blocks": [
            {
                "block": block.block,
                "title": block.title,
                "rows": [_row(row, block, shown_, first) for row in block.records],
            }
            for block in board.blocks
        ],
        "by": [
            {
                "metric": one.board.metric.upper(),
                "summary": marks.summary(one.view, one.board, margin),
                "what": _what(one),
                "cards": list(_cards(one)),
                "seeds": one.seeds,
                "notes": [shown(note, 600) for note in one.board.notes],
                "scale": one.scale.said,
                "dense": one.dense,
            }
            for one in numbers
        ],
    }


def _what(numbers: _Numbers) -> str:
    """Return what the error rates of a board are, by one normaliser."""
    view, board = numbers.view, numbers.board
    rows = pd.concat([block.rows for block in board.blocks])
    prefix = column(view.split)
    used, drawn = (
        rows.get(f"{prefix}_{name}", pd.Series(dtype="object")).dropna() for name in ("utterances", "resampled")
    )
    told = [f"{board.metric.upper()} on {view.split}" + (f", {int(used.iloc[0]):,} utterances" if len(used) else "")]
    told += [f"means over {numbers.seeds} seeds"] if numbers.seeds > 1 else []
    told += [f"in brackets 95 % bootstrap intervals over {drawn.iloc[0]}"] if len(drawn) else []
    told += [f"normaliser {view.normalizer}", *(f"signature {one}" for one in board.signatures)]
    return shown("; ".join(told) + ".", 600)


def _groups(shown_: Sequence[Column]) -> list[tuple[str, int]]:
    names = list(dict.fromkeys(one.group for one in shown_))
    return [(name, sum(one.group == name for one in shown_)) for name in names]


def _judged(board: Board) -> str:
    blocks = [block.block for block in board.blocks if block.block != "reference"]
    return "; ".join(f"{main_cost(block).axis} in the {block} block" for block in blocks) or "its cost"


def _row(row: dict[Any, Any], block: Block, shown_: Sequence[Column], numbers: _Numbers) -> dict[str, Any]:
    entry, status = str(row["entry"]), str(row["status"])
    pill, tone = _pill(row, numbers.seeds)
    return {
        "entry": entry,
        "status": status,
        "marks": "".join(f" {_WORDS[mark]}" for mark in numbers.marked(block, entry)),
        "keep": "" if absent(row["keep"]) else f"{row['keep']:g}",
        "label": shown(str(row["label"]), 160),
        "lost": _lost(row) > 0,
        "pill": pill,
        "tone": tone,
        "cells": [one.fill(row) for one in shown_],
        "bar": numbers.bar(row),
        "why": shown(str(row["error"]), 600) if row["error"] else "",
    }


def _telling(rows: pd.DataFrame) -> list[str]:
    """Return what boards differ in; what goes with another one (a corpus with its language) tells nothing more."""
    found: list[str] = []
    for name in ("language", "corpus", "model"):
        if len(rows[[*found, name]].drop_duplicates()) > (len(rows[found].drop_duplicates()) if found else 1):
            found.append(name)
    return found


def _lost(row: dict[Any, Any]) -> int:
    return sum(int(row[name]) for name in ("failed", "stopped", "missing"))


def _pill(row: dict[Any, Any], usual: int) -> tuple[str, str]:
    """Return what is said beside a name, and in which tone: what became of it or its seeds, or an odd number."""
    if row["status"] != "ok":
        return STATUS.get(str(row["status"]), str(row["status"])), _TONES.get(str(row["status"]), "off")
    if _lost(row):
        return f"{int(row['seeds'])} of {int(row['seeds']) + _lost(row)} seeds", "warn"
    return ("", "") if row["seeds"] == usual else (f"{int(row['seeds'])} seed{'s' * (row['seeds'] > 1)}", "off")


def _cards(numbers: _Numbers) -> Iterator[dict[str, Any]]:
    """Yield a card a block: its best of each budget; of the references their rates."""
    for block in numbers.board.blocks:
        title = block.title.split(":")[0]
        if block.block == "reference":
            done = [row for row in block.records if row["status"] == "ok"]
            rows = sorted(done, key=lambda row: (row["method"] not in REFERENCES, row["label"] != row["method"]))[:5]
            best = [
                marks.Best("", str(row["entry"]), shown(str(row["label"]), 80), interval(row, numbers.score).text, "")
                for row in rows
            ]
        else:
            best = list(marks.best(block, numbers.score, numbers.marks[block.block]))
        if best:
            name = "References" if block.block == "reference" else title
            yield {"block": block.block, "title": name, "best": best}


def left_out(frame: pd.DataFrame, most: int = 6) -> list[str]:
    """Return what is not in the numbers, to be seen before them: broken records and broken normalisers."""
    found = [shown(str(one), 600) for name in ("problems", "faults") for one in frame.attrs.get(name, ())]
    return found if len(found) <= most else [*found[:most], f"{len(found) - most} more, see the notes below a table"]


def choices(view: View) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the filters: boxes of which several may be ticked, and selects, both only where there is a choice."""
    rows = entries_of(view)
    blocks = [name for name in dict.fromkeys(rows["block"])]
    keeps = sorted({float(keep) for keep in rows["keep"].dropna()}, reverse=True)
    states = [(name, said) for name, said in STATUS.items() if name in set(rows["status"])]
    if any(_lost(row) for row in rows[rows["status"].eq("ok")].to_dict("records")):
        states.append(("lost", "some seeds lost"))
    boxes = [
        {"name": "block", "legend": "Block", "values": [(name, _SHORT.get(name, name)) for name in blocks]},
        {"name": "keep", "legend": "Kept", "values": [(f"{keep:g}", f"{100 * keep:g} %") for keep in keeps]},
        {"name": "status", "legend": "Status", "values": states},
    ]
    selects = [
        {"name": name, "legend": name.capitalize(), "values": [visible(str(one)) for one in rows[name].unique()]}
        for name in _telling(rows)
    ]
    return ([one for one in boxes if len(one["values"]) > 1], [one for one in selects if len(one["values"]) > 1])

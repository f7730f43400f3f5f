"""Report ``cost``: what training cost against what it bought."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api import Report
from benchmark.errors import NothingToReportError
from benchmark.markdown import plain
from benchmark.registry import REGISTRY
from reports import _content as content
from reports import _room as room
from reports._cost_data import SECONDS, Costs, costs, spread_of_seconds
from reports._cost_picture import draw
from reports._files import write_all
from reports._spread_data import of_how_many

if TYPE_CHECKING:
    import pandas as pd

_READING = (
    "All that is trained here has the same number of optimiser steps, on the same utterances in the same order; what "
    "can differ is the time that a step takes, and what is passed through a model besides.",
    "**Train s**: wall clock of the steps on the whole path of a cell, mean over seeds [least, most]. A part that "
    "several cells share was trained once, and is counted in each of them: these seconds do not add up to what was "
    "paid. Teachers and penalties are in them; calibration, pruning and decoding are not. What trains nothing is at 0.",
    "**Calibration**, **teacher**: utterances passed through the model, or a teacher, besides; mean over seeds.",
    "**Front**: no other method of the same block and kept fraction is both as quick to train and as good; what has "
    "no budget is on none.",
)


@REGISTRY.register("report", "cost")
class Cost(Report):
    """`cost.md`, `.csv`, `.png` and `.svg`: seconds of training and extra passes against the error rate.

    ``cost.csv`` has a line a finished entry of a board: ``board, entry, block, keep, label, split, metric, seeds``
    (finished), ``asked, error, error_lo, error_hi`` (a fraction, 95 %), ``train_seconds`` (mean over the seeds, empty
    where these were trained on several devices), ``train_seconds_min, train_seconds_max, fitted_on`` (devices and
    threads), ``steps, tokens, calibration_passes, teacher_passes, extra_passes`` (the sum of these two; means) and
    ``front`` (empty without a budget, and where seconds are not compared).
    """

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the files.

        Raises:
            NothingToReportError: nothing finished was trained.
            StoreError: nothing to report, or no scores in the frame.
        """
        found = costs(frame)
        if not found:
            raise NothingToReportError("cost: nothing that is finished was trained; run a spec with training steps")
        return write_all(out, "cost", "\n".join(markdown(found)), csv(found), lambda: draw(room.drawn(found)))


def csv(found: Sequence[Costs]) -> str:
    """Return one line an entry; the columns are documented at ``Cost``."""
    import pandas as pd

    return pd.concat([one.entries for one in found]).to_csv(index=False, lineterminator="\n")


def markdown(found: Sequence[Costs]) -> Iterator[str]:
    """Yield the lines of ``cost.md``."""
    from reports.normalizers import table

    yield "# Training cost against quality"
    for one in found:
        yield from ("", f"## {plain(one.title)}", "", table(list(_rows(one)), words=2), "")
        yield from (f"- {plain(note)}" for note in _notes(one))
    yield ""
    yield from (f"- {line}" for line in room.said(found))
    yield from (*(f"- {line}" for line in _READING), "")


def _rows(one: Costs) -> Iterator[list[str]]:
    """Yield headings, then a row an entry."""
    score = f"{one.metric.upper()} {one.split} % [95 %]"
    where = ["trained on"] if one.place is None else []
    used = ["tokens", "calibration", "teacher"]
    yield ["method", "block", "kept", "seeds", score, "train s", *where, *used, *([] if where else ["front"])]
    for row in one.entries.to_dict("records"):
        yield [
            row["label"],
            row["block"],
            content.percent(row["keep"], 0).text,
            of_how_many(row["seeds"], row["asked"]),
            content.interval(row, "error").text,
            _seconds(*(row[SECONDS + part] for part in ("", "_min", "_max")), several=row["seeds"] > 1),
            *([row["fitted_on"] or content.NOTHING] if where else []),
            *(content.count(row[what]).text for what in ("tokens", "calibration_passes", "teacher_passes")),
            *([] if where else ["yes" if row["front"] is True else ""]),
        ]


def _seconds(mean: float, least: float, most: float, *, several: bool) -> str:
    told = content.number(mean).text
    return told if content.absent(mean) or not several else f"{told} [{least:.1f}, {most:.1f}]"


def _notes(one: Costs) -> Iterator[str]:
    """Yield where seconds were measured, how far they can be trusted, and what is not in the table."""
    if one.lacking:
        yield f"{one.lacking} {'entries' if one.lacking > 1 else 'entry'} without a result not shown."
    if one.place is None:
        yield f"{one.why[0].upper()}{one.why[1:]}."
        return
    yield f"Trained on {one.place}; seconds are wall clock, with whatever else ran on that machine at the time."
    apart = spread_of_seconds(one.entries)
    if apart is not None:
        yield (
            f"Seconds of the same method and budget differ by up to {100 * apart:.0f} % between its seeds: smaller "
            "differences between methods say nothing, and neither does a front that rests on them."
        )

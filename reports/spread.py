"""Report ``spread``: how far the trainings of one method at one budget lie apart, seed by seed."""

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
from reports._files import write_all
from reports._spread_data import Spread, by_entry, lines, of_how_many, spreads
from reports._spread_picture import draw

if TYPE_CHECKING:
    import pandas as pd

_WITHOUT = {"failed": "FAILED", "pruned": "stopped", "missing": "MISSING"}


@REGISTRY.register("report", "spread")
class SeedSpread(Report):
    """`spread.md`, `.csv`, `.png` and `.svg`: each seed's error rate, mean, interval and spread; with several seeds.

    ``spread.csv`` has a line a seed of an entry of a board: ``board, entry, block, keep, label, split, metric, seed,
    status`` (ok, failed, pruned, missing), ``rate`` (empty without a result), and of the entry: ``seeds`` (finished),
    ``asked``, ``mean, mean_lo, mean_hi`` (95 %), ``sd`` (of a sample), ``min``, ``max`` and ``error``. Rates are
    fractions.
    """

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the files.

        Raises:
            NothingToReportError: no entry has two finished seeds.
            StoreError: nothing to report, or no scores in the frame.
        """
        found, alone = spreads(frame)
        if not found:
            raise NothingToReportError(
                "spread: no method has two finished seeds at one budget, and one has no spread; run with --seeds 0,1,2"
            )
        return write_all(
            out, "spread", "\n".join(markdown(found, alone)), csv(found), lambda: draw(room.drawn(found))
        )  # fmt: skip


def csv(found: Sequence[Spread]) -> str:
    """Return one line a seed of an entry; the columns are documented at ``SeedSpread``."""
    return lines(found).to_csv(index=False, lineterminator="\n")


def markdown(found: Sequence[Spread], alone: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of ``spread.md``; ``alone`` are titles of boards without two seeds of anything."""
    from reports.normalizers import table

    yield "# Spread over seeds"
    for one in found:
        yield from ("", f"## {plain(one.title)}", "", table(list(_rows(one)), words=2), "", f"- {_reading(one)}")
    yield from (f"- {line}" for line in room.said(found))
    yield from (f"- No spread, one seed only: {plain(title)}." for title in alone)
    yield ""


def _rows(one: Spread) -> Iterator[list[str]]:
    """Yield headings, then a row an entry; rates in per cent, ``sd`` in points."""
    own = by_entry(one.seeds)
    yield ["method", "block", "kept", "seeds", f"{one.metric.upper()} {one.split} % [95 %]", "sd", "min", "max", "each"]
    for row in one.entries.to_dict("records"):
        mean = content.interval(row, "mean").text
        numbers = [content.percent(row[what], 2, "").text for what in ("sd", "min", "max")]
        each = ", ".join(f"{seed}: {_each(status, rate)}" for seed, status, rate in own[row["entry"]])
        kept = content.percent(row["keep"], 0).text
        yield [row["label"], row["block"], kept, of_how_many(row["seeds"], row["asked"]), mean, *numbers, each]


def _each(status: str, rate: float) -> str:
    return _WITHOUT.get(status) or content.percent(rate, 2, "").text


def _reading(one: Spread) -> str:
    resampled = f" ({one.resampled})" if one.resampled else ""
    return (
        "The spread (sd: standard deviation of the seeds, in points; min, max) is that between trainings that differ "
        "in nothing but the seed, all tested on the same utterances; the interval of the mean also holds that others "
        f"could have been tested{resampled}, so it may be wide where the seeds agree. What trains nothing has no "
        "spread; **each** is the rate of every seed; why one has none stands in spread.csv."
    )

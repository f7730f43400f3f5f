"""What all reports of studies say in one way: tables in Markdown, differences in points, what an interval is about."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from benchmark.markdown import plain

NOTHING = "–"
"""What a cell without a value shows."""


def markdown_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    numbers: int | None = None,
    bold: Collection[int] = (),
) -> str:
    """Return texts as a table in Markdown: columns from ``numbers`` on to the right, the rows ``bold`` in bold."""
    import pandas as pd

    cells = [[plain(cell) for cell in row] for row in rows]
    for at in bold:
        cells[at] = [f"**{cell}**" if cell and cell != NOTHING else cell for cell in cells[at]]
    aligned = len(headings) if numbers is None else numbers
    columns = ["left" if place < aligned else "right" for place in range(len(headings))]
    table = pd.DataFrame(cells, columns=[plain(heading) for heading in headings])
    # tabulate has no place for the alignment of an empty table
    return str(table.to_markdown(index=False, disable_numparse=True, colalign=columns if cells else None))


def points(fraction: float) -> str:
    """Return a signed number of points, e.g. ``−1.25``."""
    return f"{100 * fraction:+.2f}".replace("-", "−")


def interval(difference: float, lo: float, hi: float) -> str:
    """Return a difference of two rates in points with its interval."""
    return f"{points(difference)} [{points(lo)}, {points(hi)}]"


def resampled(seeds: int) -> str:
    """Return what was drawn anew for an interval, and with one seed what it therefore does not say."""
    return "utterances and seeds" if seeds > 1 else "utterances only, which says nothing of other seeds"

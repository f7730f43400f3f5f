"""The picture of an audit: what each normaliser does to a text, and error rates of the same transcripts by each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.figures import INK
from reports import _transcripts as transcripts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reports._audit import Told

_BAR = "#7a8fa6"


def draw(found: Told) -> Figure:
    """Return the picture; of several boards of transcripts it shows the first."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, same = found.rows, found.boards[0] if found.boards else None
    told = [
        (heading, part, whole)
        for heading, part, whole in (
            ("combining marks deleted", "marks_deleted", "marks"),
            ("word types cut in pieces", "split", "types"),
            ("variants kept apart", "variants_apart", "variants"),
            ("distinct words made equal", "wrongly_equal", "judged_distinct"),
        )
        if any(row[whole] for row in rows)
    ]
    names = transcripts.short([row["normalizer"] for row in rows])
    bars = 0.75 + 0.32 * len(rows)
    figure = Figure(figsize=(11.5, bars + (5.0 if same else 0.0)), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(2 if same else 1, 1, height_ratios=[5.0, bars] if same else None, squeeze=False)[:, 0]
    if same:
        axes = parts[0].subplots()
        transcripts.lines(same, axes)
        axes.set_title(f"The same transcripts: {same.title}", loc="left", fontsize=11, fontweight="bold")
    parts[-1].suptitle(f"{len(rows)} normalisers on {found.text}", x=0.008, ha="left", fontsize=11, fontweight="bold")
    panels = parts[-1].subplots(1, len(told), squeeze=False)[0]
    for number, (axes, (heading, part, whole)) in enumerate(zip(panels, told, strict=True)):
        _bars(axes, heading, [100 * row[part] / row[whole] if row[whole] else 0.0 for row in rows], names, number == 0)
    return figure


def _bars(axes: Axes, heading: str, values: Sequence[float], names: Sequence[str], named: bool) -> None:
    places = range(len(values))
    axes.barh(places, values, color=_BAR)
    axes.set_yticks(list(places), names if named else [""] * len(values), fontsize=9)
    axes.invert_yaxis()
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {value:.1f} %", va="center", fontsize=9, color=INK)
    axes.set_xlim(0, max(*values, 1) * 1.35)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_title(heading, loc="left", fontsize=9.5)
    axes.spines[["top", "right", "bottom"]].set_visible(False)

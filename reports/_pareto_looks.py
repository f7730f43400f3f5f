"""How the Pareto pictures look: a colour, marker and line style a method, and the axis of the error rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmark.figures import INK
from reports import _pareto_data as data

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def looks(drawn: Sequence[data.Chart], most: int) -> dict[str, dict[str, Any]]:
    """Return colour, marker and line style of each method, the same in every panel; beyond ``most`` all are grey.

    Those with the largest hypervolume in the main panel of a block keep a look of their own. The two references come
    last and are drawn in ink.
    """
    best: dict[str, float] = {}
    seen: dict[str, None] = {}
    for chart in drawn:
        by_block = chart.points.sort_values("block", key=lambda block: block.eq("reference"), kind="stable")
        seen |= dict.fromkeys(by_block["label"])
        for panel in chart.panels:
            for name, volume in chart.volumes(panel).items() if panel.main else ():
                best[name] = max(volume, best.get(name, 0.0))
    names = [name for name in seen if name not in data.REFERENCES]
    kept = set(sorted(names, key=lambda name: -best.get(name, 0.0))[:most])
    found = {name: look(at) for at, name in enumerate(name for name in names if name in kept)}
    found |= {name: GREY for name in names if name not in kept}
    return found | {name: _YARDSTICKS[name] for name in data.REFERENCES if name in seen}


FRONT = "#dcd3b8"
_MARKERS = "os^vPX<h>p"
_LINES = ("-", "--", "-.", ":")
GREY: dict[str, Any] = {"color": "#a8a8a8", "marker": ".", "line": "-", "grey": True}
"""The look of the methods that are too many for one of their own."""
_YARDSTICKS: dict[str, dict[str, Any]] = {
    "dense": {"color": INK, "marker": "*", "line": "", "reference": True},
    "shipped": {"color": "white", "marker": "D", "line": "", "reference": True},
}


def look(at: int) -> dict[str, Any]:
    """Return the look number ``at``: no two of the first forty are the same in grey, of the first ninety in colour."""
    import matplotlib as mpl

    colours = mpl.color_sequences["petroff10"]  # chosen for colour-vision deficiencies, M. Petroff, arXiv 2107.02270
    # The markers go round one further than the colours, the lines one further than the markers.
    marker = (at + at // 10) % len(_MARKERS)
    colour = mpl.colors.to_hex(colours[at % 10])
    return {"color": colour, "marker": _MARKERS[marker], "line": _LINES[(marker + at // 10) % len(_LINES)]}


@dataclass(frozen=True)
class Scale:
    """The axis of the error rate, in per cent."""

    log: bool
    ends: tuple[float, float]
    ticks: Sequence[float]
    names: Sequence[str]
    floor: float
    """Where an error of zero is drawn, which a log axis does not have: half of the least that is seen."""


def scale(points: pd.DataFrame) -> Scale:
    """Choose a log axis where the scores span it, for then the good methods would lie on one another."""
    if points.empty:
        return Scale(False, (0.0, 1.0), (), (), 0.0)
    score, worst = points["score"], float(points["score"].max())
    high = min(float(points["high"].fillna(score).max()), data.WORST)
    positive = score[score > 0]
    if positive.empty or high / float(positive.min()) < 5:
        return Scale(False, (0.0, 1.2 * data.WORST if worst > data.OVER else 1.05 * high or 1.0), (), (), 0.0)
    floor = float(positive.min()) / 2
    ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if tick > 1.8 * floor]
    names = [f"{tick:g}" for tick in ticks]
    lower = float(points["low"].fillna(score).min())
    if lower < floor and (score == 0).any():
        ticks, names = [floor, *ticks], ["0", *names]
    top = 3 * data.WORST if worst > data.OVER else 1.15 * high
    return Scale(True, (max(floor, lower) / 1.25, top), ticks, names, floor)


def put(ax: Axes, which: Literal["x", "y"], scale: Scale) -> None:
    """Set one axis of a panel to it."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axis = ax.xaxis if which == "x" else ax.yaxis
    if scale.log:
        (ax.set_xscale if which == "x" else ax.set_yscale)("log")
        axis.set_major_locator(FixedLocator(list(scale.ticks)))
        axis.set_major_formatter(FixedFormatter(list(scale.names)))
        axis.set_minor_locator(NullLocator())
    (ax.set_xlim if which == "x" else ax.set_ylim)(*scale.ends)

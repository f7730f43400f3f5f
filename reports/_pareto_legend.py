"""The legend of a Pareto picture, a table: how a method is drawn, its name, its hypervolume in each block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.figures import INK
from reports import _pareto_data as data
from reports._names import shortened
from reports._pareto_looks import FRONT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PITCH = 0.165
"""Inches from line to line."""
_FONT = 8.8


@dataclass(frozen=True)
class Line:
    """One line: the handle's look (none in a heading), a name, and a text for each column of numbers."""

    look: Mapping[str, Any] | None
    name: str
    numbers: tuple[str, ...] = ()
    strong: bool = False


def lines(chart: data.Chart, looks: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    """Return the legend of a board: the front of all, the methods from the best, the references; how they are judged.

    The best is the largest hypervolume of the last block (what is stored), then that of the one before it.
    """
    judged = [panel for panel in chart.panels if panel.main]
    volumes = [chart.volumes(panel) for panel in judged]
    names = [name for name in dict.fromkeys(name for one in volumes for name in one) if name]
    names += [name for name in chart.points["label"].unique() if name not in {*names, *data.REFERENCES}]
    names.sort(key=lambda name: [-one.get(name, -1.0) for one in reversed(volumes)])
    kept = [name for name in names if not looks[name].get("grey")]
    ringed = set(chart.points.loc[chart.points["block"].eq("reference"), "label"])
    budgeted = set(chart.points.loc[chart.points["block"].ne("reference"), "label"])

    def numbers(name: str) -> tuple[str, ...]:
        return tuple(f"{one[name]:.3f}" if name in one else "" for one in volumes)

    found = [
        Line(None, "hypervolume", tuple(panel.block for panel in judged), strong=True),
        Line({"color": FRONT, "marker": "", "line": "-", "width": 6}, "Pareto front of all", numbers("")),
        *(Line(_alone(looks[name], name in ringed - budgeted), name, numbers(name)) for name in kept),
    ]
    if len(kept) < len(names):
        grey = {**looks[next(name for name in names if name not in kept)]}
        found.append(Line(grey, f"{len(names) - len(kept)} more methods, in pareto.html"))
    found += [Line(looks[name], name) for name in data.REFERENCES if name in set(chart.points["label"])]
    said = dict.fromkeys(chart.said_reference(panel) for panel in judged)
    return found + [Line(None, f"reference: {one}") for one in said]


def _alone(look: Mapping[str, Any], alone: bool) -> Mapping[str, Any]:
    return {**look, "alone": True, "line": ""} if alone else look


def columns_for(width: float, found: list[Line]) -> int:
    """Return how many columns of the table fit side by side into ``width`` inches."""
    longest = max(len(shortened(line.name)) for line in found)
    return max(1, int(width / (0.72 + 0.068 * longest + 0.5 * max(len(line.numbers) for line in found))))


def draw_legend(ax: Axes, found: list[Line], width: float, columns: int) -> None:
    """Draw the lines from the top left down, in columns of equal length; ``width`` is that of the axes in inches."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation

    ax.set_axis_off()
    figure: Any = ax.get_figure(root=True)
    corner: Any = ax.transAxes
    inches = figure.dpi_scale_trans + ScaledTranslation(0, 1, corner)  # from the top left corner of the axes
    head, body = found[0], found[1:]
    each, wide = -(-len(body) // columns), width / columns
    longest = max(len(shortened(line.name)) for line in body if line.numbers)
    right = min(0.55 + 0.068 * longest, wide - 0.5 * len(head.numbers))
    for number, line in enumerate([head, *body]):
        column, row = divmod(max(number - 1, 0), each)
        x, y = column * wide, -(row + (number > 0) + 0.7) * PITCH
        put: dict[str, Any] = {"transform": inches, "va": "center", "fontsize": _FONT, "color": INK}
        put |= {"fontweight": "bold" if line.strong else "normal", "parse_math": False}
        if line.look is not None:
            handle = Line2D([x + 0.05, x + 0.22, x + 0.39], [y] * 3, clip_on=False, **_handle(line.look))
            handle.set_transform(inches)
            ax.add_artist(handle)
        ax.text(x + (0.0 if line.look is None else 0.5), y, shortened(line.name), **put)
        for place, text in enumerate(line.numbers, 1):
            ax.text(x + right + 0.5 * place, y, text, ha="right", **put)


def _handle(look: Mapping[str, Any]) -> dict[str, Any]:
    edge = INK if look.get("alone") or look.get("reference") else "white"
    return {
        "color": INK if look.get("reference") else look["color"],
        "linestyle": look["line"] or "none",
        "linewidth": look.get("width", 1.5),
        "marker": look["marker"],
        "markevery": [1],
        "markersize": {"*": 13, "D": 7, ".": 6}.get(look["marker"], 7.5),
        "markerfacecolor": look["color"],
        "markeredgecolor": edge,
    }

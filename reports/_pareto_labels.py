"""Names beside the lines of a Pareto panel, where they are few and there is room."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from reports import _pareto_data as data

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

FEW = 6
"""Lines in a panel up to which they are named."""
_PLACES = (
    *((9, 0, "left", "center"), (-9, 0, "right", "center"), (0, 9, "center", "bottom"), (0, -9, "center", "top")),
    *((7, 6, "left", "bottom"), (7, -6, "left", "top"), (-7, 6, "right", "bottom"), (-7, -6, "right", "top")),
)
"""Where a name may stand: points to the right and up, and which of its sides is there."""


def label_ends(ax: Axes, panel: data.Panel, shown: pd.DataFrame, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the names of few methods beside an end of their lines, each where it hides nothing, else nowhere.

    The places of the figure must be final. ``shown`` are the panel's points as drawn.
    """
    mine = shown[shown["block"].eq(panel.block)]
    names = [str(name) for name in mine["label"].unique()]
    if len(names) > FEW or any(looks[name].get("grey") for name in names):
        return
    figure: Any = ax.get_figure(root=True)
    renderer = figure.canvas.get_renderer()
    taken = np.concatenate([np.empty((0, 2)), *_ink(ax)])
    frame = ax.get_window_extent(renderer)
    boxes: list[Bbox] = [text.get_window_extent(renderer) for text in ax.texts if text.get_text()]
    for name in names:
        rows = mine[mine["label"].eq(name)].sort_values(panel.cost.column)
        for (_, end), place in ((end, place) for end in rows.iloc[[0, -1]].iterrows() for place in _PLACES):
            dx, dy, horizontal, vertical = place
            point = (end["at"], min(end["score"], data.WORST))
            text = ax.annotate(name, point, (dx, dy), textcoords="offset points", ha=horizontal, va=vertical,
                               fontsize="small", color=_dark(looks[name]["color"]), zorder=7)  # fmt: skip
            text.set_in_layout(False)
            box = text.get_window_extent(renderer).padded(1.0)
            inside = frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
            if inside and not box.count_contains(taken) and not any(box.overlaps(other) for other in boxes):
                boxes.append(box)
                break
            text.remove()


def _ink(ax: Axes) -> Iterator[np.ndarray]:
    """Yield points on everything drawn, in pixels: markers, bars, lines in small steps; shape ``(N, 2)``."""
    for line in ax.get_lines():
        corners = line.get_transform().transform(line.get_path().vertices)
        if line.get_drawstyle() == "steps-post":
            between = np.column_stack([corners[1:, 0], corners[:-1, 1]])
            corners = np.insert(corners, np.arange(1, len(corners)), between, axis=0)
        yield from _along(corners)
    for collection in ax.collections:
        offsets = collection.get_offset_transform().transform(np.asarray(collection.get_offsets()))
        if len(collection.get_paths()) and collection.get_array() is None and hasattr(collection, "get_segments"):
            for segment in collection.get_segments():
                yield from _along(collection.get_transform().transform(segment))
        else:
            yield from (offsets + np.array(shift) for shift in ((0, 0), (-6, 0), (6, 0), (0, -6), (0, 6)))


def _along(corners: np.ndarray) -> Iterator[np.ndarray]:
    """Yield points every few pixels along a line."""
    for start, end in itertools.pairwise(corners):
        steps = max(2, int(np.hypot(*(end - start)) / 3))
        yield start + np.linspace(0, 1, steps)[:, None] * (end - start)


def _dark(colour: str) -> tuple[float, ...]:
    """Return a colour dark enough for small letters on white."""
    from matplotlib.colors import to_rgb

    return tuple(0.68 * part for part in to_rgb(colour))

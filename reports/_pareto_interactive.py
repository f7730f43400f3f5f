"""The Pareto picture to look into: one figure with a choice of cost, for a browser and without any network.

A click on a point dispatches the event ``prunebench:entry`` on the document, its ``detail`` the entry's id.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmark.store.front import non_dominated, staircase
from reports import _pareto_data as data
from reports import _pareto_looks as styles
from reports._cells import NOTHING, count, number, percent, si

if TYPE_CHECKING:
    import pandas as pd

MOST = 40
"""Methods with a look of their own."""
_SYMBOLS = {"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "P": "cross",
            "X": "x", "p": "pentagon", "h": "hexagon", "<": "triangle-left", ">": "triangle-right", "*": "star",
            ".": "circle"}  # fmt: skip
_DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot", "": "solid"}
_NEUTRAL = "#808080"
"""Seen on white and on black."""


def figure_html(frame: pd.DataFrame, *, full: bool = False) -> str:
    """Return the figure as a fragment of HTML that brings its own script (4.7 MB); ``full`` makes it a whole page.

    A page may hold one such fragment.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    import jinja2
    import markupsafe
    from plotly.offline import get_plotlyjs

    charts = data.charts(frame)
    looks = styles.looks(charts, MOST)
    boards = [_board(chart, looks) for chart in charts]
    names = {panel.key: panel.name for panel in sorted((one for chart in charts for one in chart.panels), key=_place)}
    # Inside a script element only "<" can end it; JSON may write it in another way.
    held = json.dumps(boards, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("pareto.html.j2").render(
        full=full,
        boards=[chart.title for chart in charts],
        costs=list(names.items()),
        data=markupsafe.Markup(held),
        library=markupsafe.Markup(get_plotlyjs()),
    )


def _place(panel: data.Panel) -> tuple[bool, bool, int]:
    """Return a panel's place among the buttons: what is saved and executed first, then masks, then other blocks."""
    return panel.block not in ("stored", "mask"), panel.block == "mask", list(data.COSTS.values()).index(panel.cost)


def _board(chart: data.Chart, looks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a board for the page: what is drawn of each method, and where it lies over each cost."""
    groups = list(chart.points.groupby(["label", "block"], sort=False))
    axis, floor = _vertical(chart.points)
    places = {key: at for at, (key, _) in enumerate(groups)}
    return {
        "title": chart.title,
        "score": chart.score,
        "yaxis": axis,
        "traces": [_trace(rows, looks[str(label)], floor) for (label, _), rows in groups],
        "panels": [_panel(chart, panel, places, floor) for panel in sorted(chart.panels, key=_place)],
    }


def _vertical(points: pd.DataFrame) -> tuple[dict[str, Any], float]:
    """Return the error axis in plotly's words, and the value at which an error of zero is drawn."""
    import math

    scale = styles.scale(points)
    low, high = (math.log10(end) for end in scale.ends) if scale.log else scale.ends
    axis: dict[str, Any] = {"type": "log" if scale.log else "linear", "range": [round(low, 4), round(high, 4)]}
    if scale.log:
        axis |= {"tickvals": list(scale.ticks), "ticktext": list(scale.names)}
    return axis, scale.floor


def _trace(rows: pd.DataFrame, look: Mapping[str, Any], floor: float) -> dict[str, Any]:
    """Return one method of one block without its place over a cost; the text of a point is all that is known of it."""
    import plotly.graph_objects as go

    y = rows["score"].clip(floor, data.WORST)
    up, down = (rows["high"].clip(floor, data.WORST) - y).fillna(0), (y - rows["low"].clip(floor, data.WORST)).fillna(0)
    reference, alone = look.get("reference", False), rows["block"].eq("reference").all()
    colour = look["color"] if not reference else _NEUTRAL
    hollow = look["color"] == "white"
    label = str(rows["label"].iloc[0])
    trace: dict[str, Any] = go.Scatter(
        y=_rounded(y),
        error_y={"array": _rounded(up), "arrayminus": _rounded(down), "width": 0, "thickness": 1.4, "color": colour},
        marker={
            "color": "rgba(0,0,0,0)" if hollow else colour,
            "symbol": _SYMBOLS[look["marker"]],
            "size": {"*": 15, ".": 5}.get(look["marker"], 10),
            "line": {"color": _NEUTRAL, "width": 2 if alone else 0},
        },
        line={"color": colour, "dash": _DASHES[look["line"]], "width": 1.8},
        legendgroup=f"{label} {rows['block'].iloc[0]}",
        text=[_about(row) for _, row in rows.iterrows()],
        customdata=rows["entry"].tolist(),
        hovertemplate="%{text}<extra></extra>",
    ).to_plotly_json()
    return trace | {"joined": not alone}


def _panel(chart: data.Chart, panel: data.Panel, places: Mapping[Any, int], floor: float) -> dict[str, Any]:
    """Return where everything lies over one cost, the fronts, and what is said below."""
    shown = panel.shown(chart.points)
    cost, volumes = panel.cost.column, chart.volumes(panel)
    budgeted = panel.budgeted(shown)
    parts = []
    # As the legend lists them: the best first, then what has no budget, then the yardsticks.
    groups = sorted(
        ((str(label), str(block), rows) for (label, block), rows in shown.groupby(["label", "block"], sort=False)),
        key=lambda one: (one[0] in data.REFERENCES, one[1] == "reference", -volumes.get(one[0], 0.0)),
    )
    for label, block, rows in groups:
        # The names of a joined method and of its own operating point would be the same.
        ringed = block == "reference" and label not in data.REFERENCES
        name = label + (" (own operating point)" if ringed else "")
        if label in volumes and not (ringed and label in budgeted):
            name += f"  {volumes[label]:.3f}"
        best = non_dominated(rows[cost].to_numpy(), rows["score"].to_numpy())
        x = _rounded(rows[cost])
        parts.append({"trace": places[label, block], "x": x, "front": best.tolist(), "name": html.escape(name)})
    below = shown["score"] < data.WORST
    right = 1.04 * float(shown[cost].max()) if len(shown) else 0.0
    drawn = shown.loc[below, "score"].clip(lower=floor)
    stairs = staircase(shown.loc[below, cost].to_numpy(), drawn.to_numpy(), right)
    note = (
        f"{panel.title}. The number behind a name is the hypervolume of its front: the share of the rectangle from "
        f"nothing to the reference that it dominates. Reference: {chart.said_reference(panel)}. "
        "Pale points: beaten by another point of the same method. Bars: 95 % intervals."
    )
    return {
        "key": f"{panel.block}:{cost}",
        "axis": html.escape(chart.axis(panel.cost)),
        "overall": f"Pareto front of all  {volumes.get('', 0.0):.3f}",
        "parts": parts,
        "stairs": {"x": _rounded(stairs[0]), "y": _rounded(stairs[1])},
        "note": note,
    }


def _about(row: pd.Series) -> str:
    """Return what a point tells of itself, in the few tags that plotly reads; texts of records are escaped."""
    block = "no budget" if row["block"] == "reference" else f"{row['block']} block"
    interval = "" if row[["low", "high"]].isna().any() else f" [{row['low']:.2f}, {row['high']:.2f}]"
    lines = [f"<b>{html.escape(str(row['label']))}</b>", block]
    if row["block"] != "reference":
        lines.append(f"kept {percent(row['keep'], 0).text}, reached {percent(row['reached'], 2).text}")
    lines += [
        f"error {row['score']:.2f} %{interval}",
        f"rank {count(row['rank']).text}",
        f"parameters {si(row['params_stored']).text} stored, {si(row['params_nominal']).text} nominal",
        f"size {si(row['bytes'], unit='B').text}, MACs {si(row['macs_first_token']).text}",
    ]
    speed = number(row["rtfx"]).text
    if speed != NOTHING:
        lines.append(f"{speed} s of audio a second, {row['latency']:.2f} ms a second of audio")
    seeds = str(row["seed_list"])
    lines.append(f"seed{'s' if ',' in seeds else ''} {seeds.replace(',', ', ')}")
    return "<br>".join(lines)


def _rounded(values: Any) -> list[float]:
    """Return numbers as short as a picture needs them."""
    return [float(f"{value:.6g}") for value in values]

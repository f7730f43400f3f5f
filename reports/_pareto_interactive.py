"""The Pareto picture to look into: one figure with a choice of cost, for a browser and without any network.

A click on a point dispatches the event ``prunebench:entry`` on the document, its ``detail`` the entry's id.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmark.store.front import own_fronts, staircase
from reports import _pareto_data as data
from reports import _pareto_looks as styles
from reports._cells import absent, count, number, percent, si, times

if TYPE_CHECKING:
    import pandas as pd

MOST = 40
"""Methods with a look of their own."""
_SYMBOLS = {"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "P": "cross",
            "X": "x", "p": "pentagon", "h": "hexagon", "<": "triangle-left", ">": "triangle-right", "*": "star",
            ".": "circle"}  # fmt: skip
_DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot", "": "solid"}
_REST = "other methods"
_NEUTRAL = "#808080"
"""Seen on white and on black."""


def figure_html(frame: pd.DataFrame, *, full: bool = False) -> str:
    """Return the figure as a fragment of HTML that brings its own script (4.7 MB); ``full`` makes it a whole page.

    A page may hold one such fragment.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    return charts_html(data.charts(frame), full=full)


def charts_html(charts: Sequence[data.Chart], *, full: bool = False) -> str:
    """Return what ``figure_html`` does, of boards that are already taken apart."""
    import jinja2
    import markupsafe
    from plotly.offline import get_plotlyjs

    looks = styles.looks(charts, MOST)
    boards = [board(chart, looks) for chart in charts]
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


def board(chart: data.Chart, looks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a board for the page: what is drawn of each method, and where it lies over each cost."""
    axis, floor = _vertical(chart.points)
    rate = chart.points[["score", "low", "high"]].clip(floor, data.WORST)
    own = chart.points["label"].map({name: not look.get("grey") for name, look in looks.items()}).astype(bool)
    points = chart.points.assign(
        group=chart.points["label"].where(own, _REST),
        about=[_told(row) for row in chart.points.to_dict("records")],
        drawn=rate["score"],
        up=(rate["high"] - rate["score"]).fillna(0),
        down=(rate["score"] - rate["low"]).fillna(0),
    )
    traces = [
        _Trace(str(group), str(block), points.index.get_indexer(rows.index))
        for (group, block), rows in points[["group", "block"]].groupby(["group", "block"], sort=False)
    ]
    return {
        "title": chart.title,
        "score": chart.score,
        "yaxis": axis,
        "traces": [_trace(one, points.iloc[one.at], looks.get(one.group, styles.GREY)) for one in traces],
        "panels": [_panel(chart, panel, points, traces) for panel in sorted(chart.panels, key=_place)],
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


class _Trace(NamedTuple):
    """The entries of one method (or of the rest) in one block."""

    group: str
    block: str
    at: np.ndarray
    """Their places in the table of points."""

    def order(self, volumes: Mapping[str, float]) -> tuple[bool, bool, float]:
        """Return the place in the legend: the best first, then the rest, what has no budget, the yardsticks."""
        return self.group in data.REFERENCES, self.block == "reference", -volumes.get(self.group, -1.0)


def _trace(one: _Trace, rows: pd.DataFrame, look: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plotly trace but for its place over a cost and whether it is ``joined``."""
    alone = one.block == "reference"
    colour = _NEUTRAL if look.get("reference") else look["color"]
    bars = {"array": _rounded(rows["up"]), "arrayminus": _rounded(rows["down"])}
    return {
        "type": "scatter",
        "joined": not alone and not look.get("grey"),
        "y": _rounded(rows["drawn"]),
        "error_y": {**bars, "width": 0, "thickness": 1.4, "color": colour, "visible": not look.get("grey")},
        "marker": {
            "color": "rgba(0,0,0,0)" if look["color"] == "white" else colour,
            "symbol": _SYMBOLS[look["marker"]],
            "size": {"*": 15, ".": 5}.get(look["marker"], 10),
            "line": {"color": _NEUTRAL, "width": 2 if alone else 0},
        },
        "line": {"color": colour, "dash": _DASHES[look["line"]], "width": 1.8},
        "legendgroup": html.escape(f"{one.group} {one.block}"),
        "text": rows["about"].tolist(),
        "customdata": rows["entry"].tolist(),
        "hovertemplate": "%{text}<extra></extra>",
    }


def _panel(chart: data.Chart, panel: data.Panel, points: pd.DataFrame, traces: Sequence[_Trace]) -> dict[str, Any]:
    """Return where everything lies over one cost, the fronts, and what is said below."""
    shown = panel.shown(points)
    volumes, budgeted = chart.volumes(panel), panel.budgeted(shown)
    x, y = shown[panel.cost.column].to_numpy(), shown["score"].to_numpy()
    places = points.index.get_indexer(shown.index)
    # As long as the table of points: what does not belong here lies nowhere.
    across, best = np.full(len(points), np.nan), np.zeros(len(points), bool)
    across[places] = x
    best[places] = own_fronts(x, y, (shown["label"] + " " + shown["block"]).to_numpy(str))
    parts = []
    for place in sorted(range(len(traces)), key=lambda place: traces[place].order(volumes)):
        one = traces[place]
        if np.isnan(across[one.at]).all():
            continue
        # The names of a joined method and of its own operating point would be the same.
        ringed = one.block == "reference" and one.group not in data.REFERENCES
        name = one.group + (" (own operating point)" if ringed else "")
        if one.group in volumes and not (ringed and one.group in budgeted):
            name += f"  {volumes[one.group]:.3f}"
        at = [None if np.isnan(value) else float(f"{value:.6g}") for value in across[one.at]]
        part = {"trace": place, "x": at, "front": best[one.at].tolist(), "name": html.escape(name)}
        parts.append(part)
    below = y < data.WORST
    right = 1.04 * float(x.max()) if len(x) else 0.0
    stairs = staircase(x[below], shown["drawn"].to_numpy()[below], right)
    note = (
        f"{panel.title}. The number behind a name is the hypervolume of its front: the share of the rectangle from "
        f"nothing to the reference that it dominates. Reference: {chart.said_reference(panel)}. "
        "Pale points: beaten by another point of the same method. Bars: 95 % intervals."
    )
    if panel.cost.column == "latency":
        note += f" Time {chart.said_time}, the median of its timings, each in turn with an entry's in one process."
    return {
        "key": panel.key,
        "axis": html.escape(chart.axis(panel.cost)),
        "overall": f"Pareto front of all  {volumes.get('', 0.0):.3f}",
        "parts": parts,
        "stairs": {"x": _rounded(stairs[0]), "y": _rounded(stairs[1])},
        "note": note,
    }


def _told(row: Mapping[Any, Any]) -> str:
    """Return what a point tells of itself, in the few tags that plotly reads; texts of records are escaped."""
    block = "no budget" if row["block"] == "reference" else f"{row['block']} block"
    interval = "" if absent(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]"
    lines = [f"<b>{html.escape(str(row['label']))}</b>", html.escape(block)]
    if row["block"] != "reference":
        lines.append(f"kept {percent(row['keep'], 0).text}, reached {percent(row['reached'], 2).text}")
    lines += [
        f"error {row['score']:.2f} %{interval}",
        f"rank {count(row['rank']).text}",
        f"parameters {si(row['params_stored']).text} stored, {si(row['params_nominal']).text} nominal",
        f"size {si(row['bytes'], unit='B').text}, MACs {si(row['macs_first_token']).text}",
    ]
    if not absent(row["latency"]):
        ends = [times(row[f"speedup{end}"]).text for end in ("_lo", "_hi")]
        bounds = "" if absent(row["speedup_lo"]) else f" [{ends[0]}, {ends[1]}]"
        lines.append(f"speed to dense {times(row['speedup']).text}{bounds}: {row['latency']:.2f} ms a second of audio")
        lines.append(f"when it was timed: {number(row['rtfx']).text} s of audio a second")
    seeds = str(row["seed_list"])
    lines.append(f"seed{'s' if ',' in seeds else ''} {html.escape(seeds.replace(',', ', '))}")
    return "<br>".join(lines)


def _rounded(values: Iterable[float]) -> list[float]:
    """Return numbers as short as a picture needs them."""
    return [float(f"{value:.6g}") for value in values]

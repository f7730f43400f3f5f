"""What the Pareto pictures show, still without a picture: panels, points, looks, fronts and hypervolumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmark.store.front import hypervolume
from reports import _content as content
from reports._cells import si

if TYPE_CHECKING:
    import pandas as pd

REFERENCES = ("dense", "shipped")
"""Labels that are yardsticks and no methods."""
WORST = 100.0
"""Per cent of error: the reference of every hypervolume, and the line on which worse points sit."""
OVER = WORST + 0.5
"""Per cent from which on a point has an arrow, for its number is no longer written as 100."""


@dataclass(frozen=True)
class Cost:
    """What can be paid for an error rate: a column of the points, and how it is named."""

    column: str
    short: str
    axis: str
    tied: bool = True
    """Whether it is counted: entries of one budget cost the same, and their bars would lie on one another."""


COSTS = {
    cost.column: cost
    for cost in (
        Cost("params_stored", "stored parameters", "parameters as saved (stored)"),
        Cost("bytes", "bytes", "bytes as saved (stored)"),
        Cost("macs_first_token", "MACs", "MACs executed: a window up to its first token"),
        Cost("latency", "latency", "ms of computing a second of audio", tied=False),
        Cost("params_nominal", "nominal parameters", "non-zero parameters (nominal)"),
    )
}
_STORED = ("params_stored", "bytes", "macs_first_token", "latency")
_TITLES = {"mask": "Mask block: zeros in place", "stored": "Stored block: rows removed"}


@dataclass(frozen=True)
class Panel:
    """One panel: a block's entries over one cost."""

    block: str
    cost: Cost

    @property
    def title(self) -> str:
        """Return what is written above it."""
        return _TITLES.get(self.block, f"Budget in {self.block}")

    @property
    def key(self) -> str:
        """Return what tells it from the other panels."""
        return f"{self.block}:{self.cost.column}"

    @property
    def name(self) -> str:
        """Return its cost, and its block where that does not go without saying."""
        return self.cost.short if self.block in _TITLES else f"{self.cost.short} (budget in {self.block})"

    @property
    def main(self) -> bool:
        """Whether it is the one by whose cost its block is judged."""
        return self.cost == main_cost(self.block)

    def shown(self, points: pd.DataFrame) -> pd.DataFrame:
        """Return the points that belong here: the block's, the two references, and where rows go what has no budget."""
        reference = points["block"].eq("reference")
        if self.block == "mask":
            reference &= points["label"].isin(REFERENCES)
        return points[(points["block"].eq(self.block) | reference) & points[self.cost.column].notna()]

    def budgeted(self, points: pd.DataFrame) -> set[str]:
        """Return the labels that have budgets here, and are judged by them."""
        return set(points.loc[points["block"].eq(self.block), "label"])


def main_cost(block: str) -> Cost:
    """Return the cost by which a block is judged: zeros where they are masks, else what is saved or executed."""
    return COSTS[{"mask": "params_nominal", "macs": "macs_first_token"}.get(block, "params_stored")]


@dataclass(frozen=True)
class Chart:
    """One board: its points, its panels with data, and the reference of each cost."""

    title: str
    score: str
    """The axis of the error rate."""
    points: pd.DataFrame
    panels: list[Panel]
    device: str | None
    model: str
    corpus: str
    language: str
    pace: float | None = None
    """Seconds of audio a second of the model as it came: see ``paces``."""
    _volumes: dict[Panel, dict[str, float]] = field(default_factory=dict)

    def corner(self, panel: Panel) -> tuple[float, str]:
        """Return a panel's cost at which nothing is saved, and whose it is: dense's, or the largest where it lacks."""
        cost = panel.cost.column
        dense = self.points.loc[self.points["label"].eq("dense") & self.points["block"].eq("reference"), cost].dropna()
        if len(dense):
            return float(dense.iloc[0]), "dense"
        return float(panel.shown(self.points)[cost].max()), "the largest shown"

    def volumes(self, panel: Panel) -> dict[str, float]:
        """Return the hypervolume of each label of a panel, and of all together under the empty name.

        A method with budgets in the block is judged by them; one without by its own operating point.
        """
        if panel not in self._volumes:
            self._volumes[panel] = self._measured(panel)
        return self._volumes[panel]

    def _measured(self, panel: Panel) -> dict[str, float]:
        shown = panel.shown(self.points)
        if shown.empty:
            return {}
        reference = (self.corner(panel)[0], WORST)
        x, y = shown[panel.cost.column].to_numpy(), shown["score"].to_numpy()
        labels, here = shown["label"].to_numpy(), shown["block"].eq(panel.block).to_numpy()
        found = {"": hypervolume(x, y, reference)}
        for label in dict.fromkeys(labels):
            mine = labels == label
            if label not in REFERENCES:
                judged = mine & here if (mine & here).any() else mine
                found[label] = hypervolume(x[judged], y[judged], reference)
        return found

    def axis(self, cost: Cost) -> str:
        """Return the name of a cost's axis; measured time is that of one device."""
        return f"{cost.axis}, {self.device}" if cost.column == "latency" and self.device else cost.axis

    @property
    def said_time(self) -> str:
        """Return how measured times are made comparable; empty where nothing is timed."""
        if self.pace is None:
            return ""
        return f"by speed to dense; the model as it came: {si(1000 / self.pace, 'ms').text}"

    def said_reference(self, panel: Panel) -> str:
        """Return the reference of a panel's hypervolume in words."""
        value, whose = self.corner(panel)
        unit = {"bytes": "B", "latency": "ms"}.get(panel.cost.column, "")
        return f"{whose} ({si(value, unit).text}), {WORST:g} % error"


def charts(frame: pd.DataFrame) -> list[Chart]:
    """Return what there is to draw of each board.

    Raises:
        StoreError: nothing to report, or no scores in the frame.
    """
    boards, found = content.boards(frame), paces(frame)
    score = content.score_column(frame)
    own: dict[str, list[float]] = {}
    for entry, rate in zip(frame["entry"], 100 * frame[score] if score in frame else (), strict=False):
        if rate == rate:  # not NaN
            own.setdefault(entry, []).append(rate)
    return [_chart(board, frame, own, found.get(board.rows["setting"].iloc[0])) for board in boards]


def paces(frame: pd.DataFrame) -> dict[str, float]:
    """Return for each setting the seconds of audio a second of the model as it came.

    A cell was timed in turn with it in one process: ``rtfx / speedup`` is how fast that model was at that moment. Its
    median over all timed cells stands for it in every comparison, so that a slow hour of the machine is nobody's
    merit or fault.
    """
    found = (frame["rtfx"] / frame["speedup"]).groupby(frame["setting"]).median().dropna()
    return {str(name): float(pace) for name, pace in found.items()}


def _chart(board: content.Board, frame: pd.DataFrame, own: Mapping[str, list[float]], pace: float | None) -> Chart:
    points = _points(board, frame, own, pace)
    first = board.rows.iloc[0]
    score = f"{board.metric.upper()} on {content.first_split(frame)}, % (95 % interval)"
    device = frame.attrs.get("device")
    model, corpus, language = (str(first[name]) for name in ("model", "corpus", "language"))
    return Chart(board.title, score, points, _panels(points), device, model, corpus, language, pace)


def _panels(points: pd.DataFrame) -> list[Panel]:
    """Return the panels in which there is more than the references; of a board of references only, one."""
    others = [str(block) for block in points["block"].unique() if block not in ("mask", "stored", "reference")]
    asked = [Panel("mask", COSTS["params_nominal"]), *(Panel("stored", COSTS[name]) for name in _STORED)]
    asked += [Panel(block, main_cost(block)) for block in sorted(others)]
    filled = [panel for panel in asked if (~panel.shown(points)["label"].isin(REFERENCES)).any()]
    return filled or [panel for panel in asked if panel.main and panel.block == "stored"]


def _points(
    board: content.Board, frame: pd.DataFrame, own: Mapping[str, list[float]], pace: float | None
) -> pd.DataFrame:
    """Return the entries with a result, one row each; rates in per cent, ``own`` with those of the seeds.

    ``latency`` is in ms a second of audio: what it would be where the model as it came has its ``pace``.
    """
    rows = board.rows
    rows.attrs = frame.attrs
    score = content.score_column(rows)
    numbers = ["keep", "reached", "params_nominal", "params_stored", "bytes", "macs_first_token"]
    numbers += ["rtfx", "rank", "seeds", "speedup", "speedup_lo", "speedup_hi"]
    rates = {score: "score", f"{score}_lo": "low", f"{score}_hi": "high"}
    table = rows[["status", "entry", "block", "label", "seed_list", *numbers, *rates]].rename(columns=rates)
    table.attrs = {}  # pandas copies them deeply with every part of a table
    points = table[table["status"].eq("ok") & table["score"].notna()].reset_index(drop=True)
    points[[*numbers, *rates.values()]] = points[[*numbers, *rates.values()]].astype("float64")
    points[list(rates.values())] *= 100
    for name, speed in (("", "speedup"), ("_lo", "speedup_hi"), ("_hi", "speedup_lo")):
        points[f"latency{name}"] = 1000 / (float("nan") if pace is None else pace) / points[speed]
    points["own"] = points["entry"].map(own)
    return points

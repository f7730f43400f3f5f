"""The same transcripts under several normalisers: their error rates, what moves in the leaderboard, and the picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.figures import FAINT, INK
from reports import _content as content

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_RACE = ["block", "keep"]
_MARKERS = "osD^vPX*"
MOST_LINES = 8
"""Cells that the picture shows: more lines cannot be told apart."""


@dataclass(frozen=True)
class Moved:
    """What one normaliser does to a board, against the first."""

    choice: str
    tau: float | None
    """Kendall's tau-b between the error rates of all cells by both."""
    ranked: int
    """Cells that have a rank by both."""
    ranks: tuple[dict[str, Any], ...]
    """Cells whose rank (only significant differences count) is another one."""
    places: int
    """Cells whose place by the error rate alone, inside their block and kept fraction, is another one."""

    def __str__(self) -> str:
        moved = "; ".join(f"{one['cell']}: {one['from']} to {one['to']}" for one in self.ranks)
        return (
            f"{short([self.choice])[0]}: Kendall's tau {content.NOTHING if self.tau is None else f'{self.tau:.3f}'}, "
            f"{len(self.ranks)} of {self.ranked} ranks change{f' ({moved})' if moved else ''}, "
            f"{self.places} places by rate alone"
        )


@dataclass(frozen=True)
class Same:
    """One board's finished cells: ``rates`` has a row a cell, and columns a normaliser (with ``_lo`` and ``_hi``)."""

    title: str
    split: str
    choices: list[str]
    rates: pd.DataFrame
    moved: list[Moved]
    made_with: dict[str, str]
    """Of each normaliser, the signature of its scores here, which begins with the metric."""

    @property
    def shown(self) -> pd.DataFrame:
        """At most ``MOST_LINES`` cells whose error rates by the first normaliser are about evenly spaced."""
        return spaced(self.rates, self.choices[0])


def same(frame: pd.DataFrame, order: Sequence[str] = (), fewest: int = 2) -> list[Same]:
    """Return one comparison a board of a frame that has scores by at least ``fewest`` normalisers.

    The first normaliser of the frame is what the others are compared with; ``order`` is how they are shown.

    Raises:
        StoreError: the frame is empty, or has no scores.
    """
    if 1 + len(frame.attrs.get("others", {})) < fewest:
        return []
    found = []
    for board in content.boards(frame):
        one = _same(board, order)
        if len(one.choices) >= fewest and len(one.rates):
            found.append(one)
    return found


def _same(board: content.Board, order: Sequence[str]) -> Same:
    import pandas as pd

    rows = board.rows
    error = content.score_column(rows)
    prefixes = {str(rows.attrs["normalizer"]): ""}
    prefixes |= {str(about["normalizer"]): f"{slug}__" for slug, about in rows.attrs.get("others", {}).items()}
    prefixes = {choice: prefix for choice, prefix in prefixes.items() if rows[prefix + error].notna().any()}
    rows = rows[rows["status"].eq("ok")].dropna(subset=[prefix + error for prefix in prefixes.values()])
    choices = sorted(prefixes, key=lambda choice: order.index(choice) if choice in order else len(order))
    columns = {"cell": _titles(rows)}
    for choice in choices:
        columns |= {choice + part: rows[prefixes[choice] + error + part].tolist() for part in ("", "_lo", "_hi")}
    first = next(iter(prefixes), "")
    moved = [moved_by(rows, choice, error, prefixes[first], prefixes[choice]) for choice in choices if choice != first]
    table = pd.DataFrame(columns, index=rows["cell"].rename("id"))
    signed = {choice: " / ".join(sorted(rows[f"{prefixes[choice]}signature"].dropna().unique())) for choice in choices}
    return Same(board.title, content.first_split(rows), choices, table, moved, signed)


def _titles(rows: pd.DataFrame) -> list[str]:
    return [
        row["label"] + ("" if content.absent(row["keep"]) else f", {100 * row['keep']:g} % {row['block']}")
        for _, row in rows.iterrows()
    ]


def moved_by(rows: pd.DataFrame, choice: str, error: str, first: str, other: str) -> Moved:
    """Return what the normaliser of the columns that begin with ``other`` changes against those with ``first``."""
    from scipy.stats import kendalltau

    ranked = rows[rows[f"{first}rank"].notna() & rows[f"{other}rank"].notna()]
    before, after = ranked[f"{first}rank"].astype(int), ranked[f"{other}rank"].astype(int)
    ranks = tuple(
        {"cell": title, "from": int(a), "to": int(b)}
        for title, a, b in zip(_titles(ranked), before, after, strict=True)
        if a != b
    )
    race = ranked.groupby(_RACE, sort=False)
    places = race[first + error].rank(method="min") != race[other + error].rank(method="min")
    tau = float(kendalltau(rows[first + error], rows[other + error]).statistic) if len(rows) > 1 else float("nan")
    return Moved(choice, None if tau != tau else tau, len(ranked), ranks, int(places.sum()))


def spaced(rates: pd.DataFrame, by: str, most: int = MOST_LINES) -> pd.DataFrame:
    """Return at most ``most`` cells whose error rates by one normaliser are about evenly spaced, lowest first."""
    import numpy as np

    ordered = rates.sort_values(by, kind="stable").drop_duplicates(by)
    values = ordered[by].to_numpy()
    wanted = np.linspace(values[0], values[-1], most)
    return ordered.iloc[np.unique(np.abs(values[:, None] - wanted[None, :]).argmin(axis=0))]


def short(choices: Sequence[str]) -> list[str]:
    """Return names for headings: where several rules are off, how many; names stay different."""
    found = []
    for choice in choices:
        name, _, options = choice.partition("[")
        off = options.count("=off")
        found.append(f"{name}, {off} rules off" if off > 1 and off == options.count("=") else choice)
    return [one if found.count(one) == 1 else choice for one, choice in zip(found, choices, strict=True)]


def told(choices: Sequence[str]) -> list[str]:
    """Return what has to be said of shortened names."""
    pairs = zip(short(choices), choices, strict=True)
    return [f"{one}: {choice}." for one, choice in pairs if one != choice]


def texts(found: Same, rates: pd.DataFrame) -> Iterator[list[str]]:
    """Yield headings and one row a cell: error rate in per cent and its 95 % interval, by each normaliser."""
    yield ["cell", *short(found.choices)]
    for _, row in rates.iterrows():
        yield [str(row["cell"]), *(content.interval(row, choice).text for choice in found.choices)]


def lines(found: Same, axes: Axes) -> None:
    """Draw a line a cell over the normalisers, with its 95 % intervals, and its name at the right end."""
    some = found.shown
    places = range(len(found.choices))
    ends = []
    for number, (_, row) in enumerate(some.iterrows()):
        values = [100 * row[choice] for choice in found.choices]
        low, high = (
            [100 * abs(row[choice + part] - row[choice]) for choice in found.choices] for part in ("_lo", "_hi")
        )
        axes.errorbar(
            places, values, [low, high], color=INK, ecolor=FAINT, elinewidth=1.2, linewidth=1,
            marker=_MARKERS[number % len(_MARKERS)], markersize=5,
        )  # fmt: skip
        ends.append(values[-1])
    gap = 0.045 * (axes.get_ylim()[1] - axes.get_ylim()[0])
    height = float("-inf")
    for number, end in sorted(enumerate(ends), key=lambda pair: pair[1]):  # names must not lie on one another
        height = max(end, height + gap)
        name = f"  {some.iloc[number]['cell']}"
        axes.annotate(name, (places[-1], end), (places[-1] + 0.08, height), va="center", fontsize=9, color=INK)
    axes.set_xlim(-0.2, len(places) - 1 + 0.2)
    names = [textwrap.fill(name, 20) for name in short(found.choices)]
    axes.set_xticks(list(places), names, fontsize=9)
    axes.set_ylabel(f"error rate on {found.split}, %")
    axes.grid(axis="y", color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)

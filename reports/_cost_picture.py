"""The picture of training cost: error rate over seconds and over extra passes, a panel a block and kept fraction."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.figures import FAINT, INK, STYLE
from benchmark.store.front import staircase
from reports import _pareto_data as data
from reports import _pareto_looks as styles
from reports._cost_data import PASSES, SECONDS, Costs
from reports._names import shortened
from reports._pareto_looks import put
from reports._spread_scale import scale_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Looks = Mapping[str, Mapping[str, Any]]

MOST_POINTS = 30
"""Entries of a panel that are drawn, from the best."""
_PITCH = 0.17
"""Inches from name to name."""
_WIDTHS = {SECONDS: 3.0, PASSES: 1.3}
_NAMES = "Names stand at the height of their points, as far as there is room. Upright bars: 95 % intervals."
_SECONDS = (
    " Level bars: from the quickest to the slowest seed. Pale band, bold names: the front of seconds and error among "
    "the methods of one budget; dense and shipped have none, and are drawn for comparison. Seconds are those of a "
    "cell's whole path: what cells share is counted in each, and what shares all of it stands at the same seconds."
)


def draw(found: Sequence[Costs]) -> Figure:
    """Return the figure: blocks side by side, kept fractions below each other, what has no budget last."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = [(at, *panel) for at, one in enumerate(found) for panel in _panels(one.entries)]
    blocks = list(dict.fromkeys(block for _, block, _, _ in parts if block != "reference")) or ["reference"]
    lines = sorted({(at, keep) for at, _, keep, _ in parts}, key=lambda line: (line[0], -line[1]))
    kinds = _kinds(found)
    tall = [_PITCH * max(len(rows) for at, _, keep, rows in parts if (at, keep) == line) + 1.2 for line in lines]
    tall = [max(height, 2.4) for height in tall]
    looks = _looks(found)
    caption = textwrap.wrap(_caption(found, kinds), 95 * len(blocks))
    with mpl.rc_context({**STYLE, "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9}):
        figure = Figure(figsize=(8.0 * len(blocks), sum(tall) + 0.6 + 0.17 * len(caption)), layout="constrained")
        FigureCanvasAgg(figure)
        wide = [_WIDTHS[kind] for kind in kinds] * len(blocks)
        axes = figure.subplots(len(lines), len(wide), squeeze=False, height_ratios=tall, width_ratios=wide)
        for ax in axes.flat:
            ax.set_axis_off()
        for at, block, keep, rows in parts:
            line, left = lines.index((at, keep)), len(kinds) * (0 if block == "reference" else blocks.index(block))
            named = "no budget" if keep < 0 else f"{block} block, {100 * keep:g} % kept"
            named = f"{found[at].title}: {named}" if len(found) > 1 else named
            _panel(list(axes[line, left : left + len(kinds)]), kinds, found[at], rows, looks, named, tall[line] - 0.8)
        figure.supxlabel("\n".join(caption), x=0.01, ha="left", fontsize=8.5, color="#555555", parse_math=False)
        metrics = " / ".join(dict.fromkeys(one.metric.upper() for one in found))
        said = f"Training cost against quality: {metrics} on {found[0].split}, %"
        said += f"\n{found[0].title}" if len(found) == 1 else ""
        figure.suptitle(said, fontsize=12, x=0.01, ha="left", parse_math=False)
    return figure


def _kinds(found: Sequence[Costs]) -> list[str]:
    """Return what is drawn: seconds where those of some board may be compared, passes where there are any."""
    seconds = any(one.place is not None for one in found)
    passes = any(one.place is None or one.entries[PASSES].gt(0).any() for one in found)
    return [SECONDS] * seconds + [PASSES] * passes


def _caption(found: Sequence[Costs], kinds: Sequence[str]) -> str:
    """Return how the picture is read, and why seconds are not in it where they are in no board."""
    if SECONDS in kinds:
        return _NAMES + _SECONDS
    return " ".join([_NAMES, *(f"{one.why[0].upper()}{one.why[1:]}." for one in found)])


def _panels(entries: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame]]:
    """Yield block, kept fraction (-1 without a budget) and entries, the yardsticks among them wherever they are."""
    yardsticks = entries["block"].eq("reference") & entries["label"].isin(data.REFERENCES)
    for (block, keep), _ in entries[~yardsticks].groupby(["block", "keep"], sort=False, dropna=False):
        kept = float(str(keep))
        here = entries["block"].eq(str(block)) & (entries["keep"].eq(kept) | entries["keep"].isna() & np.isnan(kept))
        shown = entries[here & ~yardsticks].head(MOST_POINTS)
        yield str(block), -1.0 if np.isnan(kept) else kept, entries[yardsticks | entries.index.isin(shown.index)]
    if yardsticks.all():
        yield "reference", -1.0, entries


def _looks(found: Sequence[Costs]) -> Looks:
    """Return the looks that the Pareto pictures give the same methods."""
    charts = [data.Chart(one.title, "", one.entries, [], None, "", "", "") for one in found]
    return styles.looks(charts, most=sum(len(one.entries) for one in found))


def _panel(
    axes: Sequence[Axes], kinds: Sequence[str], one: Costs, rows: pd.DataFrame, looks: Looks, title: str, height: float
) -> None:
    """Draw the axes of one panel, and the names beside the last; ``height`` is that of the axes in inches."""
    score, low, high = 100 * rows[["error", "error_lo", "error_hi"]].to_numpy().T
    scale = scale_of(score, low, high)
    y = np.maximum(score, scale.floor)
    for ax, kind in zip(axes, kinds, strict=True):
        if kind == SECONDS and one.place is None:
            ax.text(0, 0.5, textwrap.fill(one.why, 40), transform=ax.transAxes, color=FAINT, parse_math=False)
            continue
        ax.set_axis_on()
        ax.grid(color="#ececec", linewidth=0.8)
        ax.tick_params(length=0, labelleft=ax is axes[0])
        put(ax, "y", scale)
        (_seconds if kind == SECONDS else _passes)(ax, one)
        _points(ax, kind, rows, y, looks, np.maximum(low, scale.ends[0]), high)
    if SECONDS in kinds and one.place is not None:
        best = rows[rows["front"].eq(True)]
        steps = staircase(
            best[SECONDS].to_numpy(), np.maximum(100 * best["error"].to_numpy(), scale.floor), axes[0].get_xlim()[1]
        )
        axes[0].plot(*steps, drawstyle="steps-post", color=styles.FRONT, linewidth=6, zorder=1)
    axes[0].set_title(title, loc="left", parse_math=False)
    _names(axes[-1], rows, y, looks, height)


def _seconds(ax: Axes, one: Costs) -> None:
    ax.set_xlabel(f"seconds of training ({one.place})", parse_math=False)
    ax.set_xlim(0, 1.06 * float(one.entries[f"{SECONDS}_max"].max()))


def _passes(ax: Axes, one: Costs) -> None:
    from matplotlib.ticker import NullLocator, StrMethodFormatter

    used = one.entries[PASSES].fillna(0)
    ax.set_xlabel("extra utterances passed")
    if used.gt(0).any():
        ax.set_xscale("symlog", linthresh=float(used[used > 0].min()))
        ax.set_xlim(-0.25 * used[used > 0].min(), 2.2 * used.max())
    values = np.unique(used)
    ax.set_xticks(values if len(values) < 4 else values[[0, -1]])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _points(
    ax: Axes, kind: str, rows: pd.DataFrame, y: np.ndarray, looks: Looks, low: np.ndarray, high: np.ndarray
) -> None:
    """Draw markers and bars."""
    x = rows[kind].fillna(0).to_numpy() if kind == PASSES else rows[kind].to_numpy()
    colours = [INK if looks[label].get("reference") else looks[label]["color"] for label in rows["label"]]
    ax.vlines(x, low, high, colors=colours, linewidth=1.2, alpha=0.55, zorder=2)
    if kind == SECONDS:
        least, most = rows[[f"{SECONDS}_min", f"{SECONDS}_max"]].to_numpy().T
        ax.hlines(y, least, most, colors=colours, linewidth=1.2, alpha=0.55, zorder=2)
    for place, height, label in zip(x, y, rows["label"], strict=True):
        ax.scatter([place], [height], **_marker(looks[label]), zorder=4, clip_on=False)


def _marker(look: Mapping[str, Any]) -> dict[str, Any]:
    edge = INK if look.get("reference") else "white"
    size = {"*": 150, "D": 34}.get(look["marker"], 46)
    return {"marker": look["marker"], "color": look["color"], "edgecolors": edge, "linewidths": 0.8, "s": size}


def _names(ax: Axes, rows: pd.DataFrame, y: np.ndarray, looks: Looks, height: float) -> None:
    """Write the names to the right, each beside its marker, at the height of its point or as near as there is room."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory
    from scipy.optimize import isotonic_regression

    to_axes = ax.transScale + ax.transLimits
    wanted = to_axes.transform(np.column_stack([np.zeros(len(y)), y]))[:, 1]
    order = np.argsort(wanted, kind="stable")
    gap = min(_PITCH / height, 1 / max(len(y), 1))
    ranks = gap * np.arange(len(y))
    # the places nearest to those wanted that are a gap apart: isotonic once the gaps are taken out
    places = np.clip(isotonic_regression(wanted[order] - ranks).x, 0, 1 - ranks[-1]) + ranks
    figure: Any = ax.get_figure(root=True)
    corner: Any = ax.transAxes
    inches = figure.dpi_scale_trans + ScaledTranslation(1, 0, corner)  # from the right edge of the axes
    beside: dict[str, Any] = {"transform": blended_transform_factory(inches, corner), "clip_on": False}
    for row, place, at in zip(rows.iloc[order].to_dict("records"), places, wanted[order], strict=True):
        ax.plot([0.06, 0.17], [at, place], color="#bbbbbb", linewidth=0.6, **beside)
        ax.scatter([0.27], [place], **{**_marker(looks[row["label"]]), "s": 42}, **beside)
        weight = "bold" if row["front"] is True else "normal"
        lacks = "" if row["seeds"] == row["asked"] else f" ({row['seeds']} of {row['asked']} seeds)"
        name = shortened(row["label"]) + lacks
        ax.text(0.36, place, name, va="center", fontsize=8, weight=weight, parse_math=False, **beside)

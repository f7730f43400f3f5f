"""Advice in words and numbers, wherever it is told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from reports._card_made import synthetic
from reports._cells import NOTHING, absent, interval, number, times
from reports._content import first_split, score_column
from reports._recommend_export import SPEC, Export
from reports._recommend_limits import Limit, Quantity
from reports._resampled import resampled

if TYPE_CHECKING:
    import pandas as pd

    from reports._recommend import Advice, Sure

_ENOUGH = 0.95
_MANY = 0.5
"""Below this share of resamples it is said that other entries are about as good."""
_FEW = 0.005
_LISTED = 3
"""Of the entries that other resamples choose."""


# --- numbers --------------------------------------------------------------------------------------------------------


def share(part: float) -> str:
    """Return a share of resamples in per cent; what is not all or nothing is not rounded to it."""
    if part in (0, 1) or _FEW <= part <= 1 - _FEW:
        return f"{100 * part:.0f} %"
    return "< 1 %" if part < 0.5 else "> 99 %"


def value(table: pd.DataFrame, place: int, one: Quantity) -> str:
    """Return a quantity of an entry, with its interval where it has one; of a margin, the difference to dense."""
    row, error = table.iloc[place], score_column(table)
    if one.about_error:
        return interval(row, error).text if one.key == "error" else interval(row, f"{error}_delta", sign="+").text
    found = row[one.column]
    if absent(found):
        return NOTHING
    if one.key in ("rtfx", "speedup") and not absent(row[f"{one.column}_lo"]):
        write = times if one.key == "speedup" else number
        low, high = (write(row[one.column + part]).text for part in ("_lo", "_hi"))
        return f"{write(found).text} [{low}, {high}]"
    return one.text(float(found))


def best_of_all(one: Quantity, table: pd.DataFrame) -> float:
    """Return the value that is furthest on the right side of any limit; NaN where nothing was measured."""
    values = one.values(table)
    if np.isnan(values).all():
        return math.nan
    return float(np.nanmin(values) if one.upper else np.nanmax(values))


def missing(limit: Limit, found: float) -> str:
    """Return by how much a value misses a limit; empty where it does not."""
    over = float(limit.excess(np.array([found]))[0])
    if math.isinf(over):
        return "not measured"
    if over == 0:
        return ""
    if limit.quantity.about_error:
        return f"{100 * (found - limit.bound):.2g} points"
    ratio = found / limit.bound
    return f"{ratio:.1f}×" if ratio >= 2 else f"{100 * abs(ratio - 1):.2g} %"


def loosened(limit: Limit, found: float) -> str:
    """Return the flag of a limit that a value just meets, e.g. ``--max-mb 1.38``: three digits, never too tight."""
    quantity = limit.quantity
    bare = found / quantity.unit
    step = 10.0 ** (math.floor(math.log10(bare)) - 2)
    whole = math.floor(bare / step) + (1 if quantity.upper else 0)
    text = f"{whole * step:.10g}"
    if not Limit(quantity, float(text) * quantity.unit).met(np.array([found]))[0]:  # 8.2 % may be below 0.082
        text = f"{(whole + (1 if quantity.upper else -1)) * step:.10g}"
    return f"{quantity.flag} {text}"


# --- sentences ------------------------------------------------------------------------------------------------------


def sure_lines(found: Advice, sure: Sure) -> Iterator[str]:
    """Yield how sure the choice is, and what is not in that."""
    row = found.shipped
    seeds = int(row["seeds"])
    drawn = resampled(sure.resampled, seeds)
    yield f"chosen again in {share(sure.best)} of {sure.resamples:,} resamples of {drawn}"
    rest = [(title, part) for title, part in sure.others.items() if part >= _FEW][:_LISTED]
    left = sum(sure.others.values()) - sum(part for _, part in rest)
    rest += [(name, part) for name, part in (("others", left), ("nothing fits", sure.nothing)) if part >= _FEW]
    if rest:
        yield "else " + "; ".join(f"{title}: {share(part)}" for title, part in rest)
    for one in found.limits:
        if (part := sure.meets.get(one.quantity.key)) is not None:
            more = "" if part >= _ENOUGH else f"; a lower {one.quantity.flag} asks for more certainty"
            title = f"{one.quantity.title.removesuffix(' %')} {one.text}"
            what = f"{one.quantity.flag} {100 * one.bound:g}" if one.quantity.key == "margin" else title
            yield f"meets {what} in {share(part)}{more}"
    if sure.difference is not None:
        mean, low, high = (f"{round(100 * end, 1) + 0.0:+.1f}".replace("-", "−") for end in sure.difference)
        apart = sure.difference[1] > 0 or sure.difference[2] < 0
        told = "" if apart else ": not told apart by their errors"
        yield f"runner-up minus this one: {mean} points [{low}, {high}]{told}"
    elif found.second is not None:
        yield "no seed in common with the runner-up, so how they differ is not known"
    if sure.best < _MANY:
        yield "others are about as good: --prefer, --margin or one more limit tells them apart"
    yield (
        "one seed: how much another training run would differ is in none of this"
        if seeds == 1
        else f"a bootstrap of {seeds} seeds is a little too sure"
    )


def export_lines(row: pd.Series, written: Export) -> Iterator[str]:
    """Yield the commands, and what must be known of them."""
    if not row["there"]:
        yield "  The model's file is not kept (keep_artefacts, a bundle, or deleted); these commands make it again."
    if written.spec is not None:
        places = f", and fill in {' and '.join(written.fill_in)}" if written.fill_in else ""
        yield f"  First save this as {SPEC}{places}:"
        yield ""
        yield written.spec.rstrip()
        yield ""
    yield from (f"  {command}" for command in written.commands)
    if written.load is not None:
        yield "  Its int8 layers have no form that export writes (--exportable leaves such entries out). It is opened"
        yield "  where the run keeps it, by Python:"
        yield f"  {written.load}"


def looser(found: Advice) -> str:
    """Return what would have to be allowed for the nearest entry to fit; empty where something was not measured."""
    missed = [
        (one, float(one.quantity.values(found.table)[found.nearest]))
        for one, met in zip(found.limits, found.met, strict=True)
        if not met[found.nearest]
    ]
    if not missed or any(math.isnan(there) for _, there in missed):
        return ""
    return f"It fits with {' '.join(loosened(one, there) for one, there in missed)}."


def heading(frame: pd.DataFrame) -> str:
    """Return what the ranking is of."""
    first = frame[frame["status"] == "ok"].iloc[0]
    where = f"{first['model']} on {first['corpus']} ({first['language']}), {first_split(frame)}"
    return f"{where}: {frame.attrs['signature']}"


def notes(frame: pd.DataFrame, table: pd.DataFrame, found: Advice | None = None) -> Iterator[str]:
    """Yield what must be known for the numbers to mean something; ``found`` where one entry was chosen."""
    if found is not None and found.first is not None:
        yield from _notes_of(found)
    device = frame.attrs.get("device")
    middle = "; of speeds the middle half of the repeats" if device else ""
    yield f"Brackets: 95 % bootstrap intervals{middle}."
    if device:
        batch = ", ".join(f"{int(one)}" for one in sorted(table["batch"].dropna().unique()))
        others = ", ".join(one for one in frame.attrs.get("devices") or () if one != device)
        also = f"; also there: {others}" if others else ""
        yield f"Timed on {device}, batch {batch}{also}. RTFx is of the moment of timing."
    if spoken := synthetic(frame):
        yield f"{', '.join(spoken)}: synthetic speech; measure on your own recordings before you ship."
    undone = int((frame["status"] != "ok").sum())
    if undone:
        yield f"{undone} cell{'s' * (undone > 1)} without a result {'are' if undone > 1 else 'is'} left out."
    yield from (f"Left out, broken: {problem}" for problem in frame.attrs.get("problems", ()))


def _notes_of(found: Advice) -> Iterator[str]:
    row = found.shipped
    if int(row["seeds"]) > 1:
        yield (
            f"Errors are means over seeds {row['seed_list']}. Exported is seed {int(row['seed'])}, the first"
            f"{' whose file is kept' if row['there'] else ''}; sizes and times are its own. To take the seed that "
            "tests best would be to choose on the test data."
        )
    lost = [f"{int(row[what])} {what}" for what in ("failed", "stopped", "missing") if row[what] > 0]
    if lost:
        yield f"Seeds of the entry to ship without a result: {', '.join(lost)}."
    if found.aim.key != "error" and not any(one.quantity.about_error for one in found.limits):
        yield "The error was not limited: whatever it is, it decided only between equals."
    yield f"Chosen among {len(found.table)} entries on the data that they are shown on, which flatters the error."

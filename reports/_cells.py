"""How numbers are written in an entry of a table: what is read, and what is sorted by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """One entry of the table: what is read, and what is sorted by (None sorts last)."""

    text: str
    sort: float | str | None


def interval(row: pd.Series | Mapping[Any, Any], name: str, sign: str = "") -> Cell:
    """Return ``4.7 [3.9, 5.6]`` from fractions in ``name``, ``name_lo`` and ``name_hi``."""
    value, low, high = (row[name + part] for part in ("", "_lo", "_hi"))
    if absent(value):
        return Cell(NOTHING, None)
    bounds = "" if absent(low) else f" [{_points(low, sign)}, {_points(high, sign)}]"
    return Cell(_points(value, sign) + bounds, float(value))


def _points(value: float, sign: str) -> str:
    return f"{100 * value:{sign}.1f}".replace("-", "−")


def percent(value: Any, digits: int = 1, unit: str = " %") -> Cell:
    """Return a fraction as per cent."""
    return Cell(NOTHING, None) if absent(value) else Cell(f"{100 * value:.{digits}f}{unit}", float(value))


def yes_or_no(value: Any) -> Cell:
    """Return whether something was shown."""
    return Cell(NOTHING, None) if absent(value) else Cell("yes" if value else "no", int(not value))


def count(value: Any) -> Cell:
    """Return a whole number."""
    return Cell(NOTHING, None) if absent(value) else Cell(f"{int(value):,}", int(value))


def number(value: Any) -> Cell:
    """Return a number with as many digits as matter."""
    if absent(value):
        return Cell(NOTHING, None)
    return Cell(f"{value:.1f}" if value < 100 else f"{value:,.0f}", float(value))


def times(value: Any) -> Cell:
    """Return a ratio, e.g. ``1.32×``."""
    return Cell(NOTHING, None) if absent(value) else Cell(f"{value:.2f}×", float(value))


def si(value: Any, unit: str = "") -> Cell:
    """Return a large number with three digits and a decimal prefix, e.g. ``1.48 M``."""
    if absent(value):
        return Cell(NOTHING, None)
    scaled, prefix = float(value), ""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(scaled) < 999.5 or prefix == "T":
            break
        scaled /= 1000
    text = f"{scaled:.3g}" if scaled < 100 else f"{scaled:.0f}"
    return Cell(f"{text} {prefix}{unit}".rstrip(), float(value))


def absent(value: Any) -> bool:
    """Whether a frame's entry is missing (NaN, NA or None)."""
    import pandas as pd

    return bool(pd.isna(value))

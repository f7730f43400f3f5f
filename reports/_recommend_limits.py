"""What advice can be asked for: limits on error, size, work and measured speed, and what is minimised."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import SpecError, nearest
from reports._cells import number, si, times

if TYPE_CHECKING:
    import pandas as pd

POINT = 0.01
"""One point of an error rate, as a fraction."""
_DIGITS = 12
MARGIN_COLUMN = "worse_at_most"
"""Column of the candidates: the upper end of the interval of the difference to dense; 0 for dense itself."""
_AMOUNT = re.compile(r"(?P<number>[0-9.]+(?:e[+-]?[0-9]+)?)(?P<prefix>[kmgt]?)", re.IGNORECASE)
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


def rounded(rates: np.ndarray) -> np.ndarray:
    """Return error rates, in their shape, without the last digits: equal ones are equal however they were summed."""
    return np.round(rates, _DIGITS)


@dataclass(frozen=True)
class Quantity:
    """Something of an entry that can be limited."""

    key: str
    title: str
    flag: str
    column: str
    text: Callable[[float], str]
    """How a value or a limit, in the column's unit, is written."""
    unit: float = 1.0
    """What 1 of the flag is in the column's unit."""
    upper: bool = True
    """Whether the limit is the most that is allowed; else it is the least."""
    timed: bool = False
    """Measured on a device by ``prunebench profile``."""
    about_error: bool = False

    def values(self, table: pd.DataFrame) -> np.ndarray:
        """Return the entries' values, shape ``(K,)``; NaN where one was not measured."""
        found: np.ndarray = table[self.column].to_numpy(dtype=np.float64, na_value=np.nan)
        return rounded(found) if self.about_error else found


@dataclass(frozen=True)
class Limit:
    """A quantity and its bound, in the unit of the quantity's column."""

    quantity: Quantity
    bound: float

    @property
    def text(self) -> str:
        """The limit in words, e.g. ``≤ 12 %``."""
        sign = "<" if self.quantity.key == "margin" else "≤" if self.quantity.upper else "≥"
        return f"{sign} {self.quantity.text(self.bound)}"

    def met(self, values: np.ndarray) -> np.ndarray:
        """Return which values meet the limit, in their shape; one that was not measured does not."""
        if self.quantity.key == "margin":
            return values < self.bound
        return values <= self.bound if self.quantity.upper else values >= self.bound

    def excess(self, values: np.ndarray) -> np.ndarray:
        """Return by how much of the limit values miss it, 0 where they meet it, infinite where nothing was measured.

        An error rate is compared with one point at least: a limit of 0 has no other size.
        """
        with np.errstate(divide="ignore"):
            if self.quantity.upper:
                least = POINT if self.quantity.about_error else 0.0
                over = (values - self.bound) / max(self.bound, least)
            else:
                over = self.bound / values - 1
        return np.where(np.isnan(over), np.inf, np.maximum(over, 0))


def _points(value: float) -> str:
    return f"{100 * value:.4g}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{_points(value)} %"


def _bytes(value: float) -> str:
    return si(value, unit="B").text


def _count(value: float) -> str:
    return si(value).text


def _number(value: float) -> str:
    return number(value).text


def _times(value: float) -> str:
    return times(value).text


def quantities(metric: str, split: str, column: str) -> dict[str, Quantity]:
    """Return what can be limited, by key.

    Args:
        metric: what the board's error rate is called, ``wer`` or ``cer``.
        split: the split that ranks.
        column: the column of its error rate.
    """
    name = metric.upper()
    told = (
        Quantity("error", f"{name} {split} %", f"--max-{metric}", column, _percent, POINT, about_error=True),
        Quantity("margin", f"{name} to dense, points", "--margin", MARGIN_COLUMN, _points, POINT, about_error=True),
        Quantity("size", "size", "--max-mb", "bytes", _bytes, 1e6),
        Quantity("params", "params stored", "--max-params", "params_stored", _count),
        Quantity("macs", "MACs to first token", "--max-macs", "macs_first_token", _count),
        Quantity("memory", "peak memory", "--max-peak-mb", "peak_memory", _bytes, 1e6, timed=True),
        Quantity("rtfx", "RTFx", "--min-rtfx", "rtfx", _number, upper=False, timed=True),
        Quantity("speedup", "speed to dense", "--min-speedup", "speedup", _times, upper=False, timed=True),
    )
    return {one.key: one for one in told}


def amount(flag: str, text: str) -> float:
    """Return a number such as ``1.5e6``, ``1500k`` or ``1.5M``.

    Raises:
        SpecError: it is none.
    """
    match = _AMOUNT.fullmatch(text.strip())
    try:
        return float(match["number"]) * _PREFIXES[match["prefix"].lower()] if match else float(text)
    except ValueError:
        raise SpecError(f"{flag}: {text!r} is not a number; give e.g. 1500000, 1.5e6 or 1.5M") from None


def check(flag: str, value: float, zero: bool = False) -> float:
    """Return a limit that can be one.

    Raises:
        SpecError: it is no finite number above 0 (``zero``: or 0).
    """
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise SpecError(f"{flag} {value:g}: a limit is a finite number {'of at least' if zero else 'above'} 0")
    return value


def limits(asked: Mapping[str, float | None], known: Mapping[str, Quantity]) -> list[Limit]:
    """Return the limits from the values of their flags, by key of the quantity."""
    return [
        Limit(quantity, round(value * quantity.unit, _DIGITS))
        for key, quantity in known.items()
        if (value := asked.get(key)) is not None
    ]


# --- what is minimised ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Aim:
    """What is made as small as possible among the entries that fit."""

    key: str
    said: str
    """E.g. ``the smallest size``."""
    why: str
    ties: float = 0.0
    """Costs that exceed the least by no more than this fraction count as equal to it; then the error decides."""

    def costs(self, table: pd.DataFrame) -> np.ndarray | None:
        """Return the costs, shape ``(K,)``, infinite where they are not known; None where it is the error."""
        if self.key == "error":
            return None
        columns = {"size": "bytes", "macs": "macs_first_token", "speed": "speedup"}
        found: np.ndarray = table[columns[self.key]].to_numpy(dtype=np.float64, na_value=np.nan)
        return np.nan_to_num(1 / found if self.key == "speed" else found, nan=np.inf, posinf=np.inf)

    @property
    def sentence(self) -> str:
        """What is chosen, and what decides between equals."""
        if not self.ties:
            return f"{self.said} of those that fit ({self.why}); of equals the smaller file"
        equal = f"within {100 * self.ties:g} % counts as equal, and the error decides"
        return f"{self.said} of those that fit ({self.why}); {equal}"


_SAID = {"size": "the smallest file", "speed": "the fastest", "macs": "the fewest MACs to the first token"}
_TIES = {"size": 0.01, "macs": 0.01, "speed": 0.05}


def aim(limited: Sequence[Limit], prefer: str | None, metric: str) -> Aim:
    """Return what is minimised: what is preferred, else what the limits leave open.

    Raises:
        SpecError: nothing that can be preferred here.
    """
    if prefer is not None:
        if prefer not in (metric, *_SAID):
            raise SpecError(f"--prefer {prefer!r} is nothing to choose by here{nearest(prefer, (metric, *_SAID))}")
        return _aim("error" if prefer == metric else prefer, metric, "as preferred")
    about_error = [one.quantity.about_error for one in limited]
    if all(about_error):
        return _aim("size", metric, "only the error is limited")
    return _aim("error", metric, "the error and more is limited" if any(about_error) else "only costs are limited")


def _aim(key: str, metric: str, why: str) -> Aim:
    return Aim(key, _SAID.get(key, f"the least {metric.upper()}"), why, _TIES.get(key, 0.0))

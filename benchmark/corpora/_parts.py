"""Columns of a list that say which part of an audio file an utterance is: here one file is one utterance."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from benchmark.errors import DataError

BEGINS, ENDS = ("offset", "start", "start_time", "begin"), ("duration", "end", "end_time")
SLACK = 1.0
"""Seconds that a file may be longer than is listed: some lists round to whole seconds, and MP3 is padded."""


def is_of_parts(column: str) -> bool:
    """Whether a column of this name tells where in its file an utterance begins or ends."""
    return column.strip().lower() in (*BEGINS, *ENDS)


def listed_seconds(cells: Mapping[str, object], where: str) -> float | None:
    """Return how long the list says that an utterance is; None where it does not.

    Raises:
        DataError: the utterance begins within its file; to take the whole file for it would be wrong in silence.
    """
    told = {column: cell for column, cell in cells.items() if is_of_parts(column) and cell is not None}
    for column, cell in told.items():
        if column.strip().lower() in BEGINS and _is_late(str(cell)):
            raise DataError(
                f"{where}: is a part of a file ({column} {cell!s:.20}); cut it: one file, one utterance (or call the "
                "column otherwise, if it means something else)"
            )
    ends = [_number(str(cell)) for column, cell in told.items() if column.strip().lower() in ENDS]
    return min((end for end in ends if end is not None and end > 0), default=None)


def _is_late(begin: str) -> bool:
    number = _number(begin)
    return any(digit in begin for digit in "123456789") if number is None else number > 0  # 00:01:30 is no number


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None

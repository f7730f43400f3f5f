"""A disk that fills in mid-run: no fault of any cell, so the run stops and says so in one line. No torch import."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import DataError, StoreError

FULL = {errno.ENOSPC, errno.EDQUOT}
"""No room on the device, or none left of the user's share of it."""
_RUST = tuple(f"os error {number}" for number in FULL)


class DiskFullError(StoreError):
    """There is no room for what was made."""


def full_disk(error: BaseException | None) -> BaseException | None:
    """Return what says that a disk is full: an error, or what caused it; None where none does."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        if type(error).__name__ == "SafetensorError" and any(part in str(error) for part in _RUST):
            return error  # written by Rust, which has only its text to tell
        error = error.__cause__ or error.__context__
    return None


def is_full(error: BaseException) -> bool:
    """Whether an error comes from a full disk."""
    return full_disk(error) is not None


@contextmanager
def told_when_full(run: Path) -> Iterator[None]:
    """Make one clear error of whatever a full disk has caused inside.

    Raises:
        DiskFullError: it was that.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        cause = full_disk(error)
        if cause is None:
            raise
        # The cache may be on a disk of its own: who writes there says which, and how to take another.
        place = error if isinstance(error, DataError) else getattr(cause, "filename", None) or run
        raise DiskFullError(
            f"{place}: the disk is full; make room and give the same command again: finished cells and trained nodes "
            f"in {run} are kept"
        ) from error

"""One function over many things on all cores, in processes that see the caller's objects without a copy.

For large work in pure Python only: a process that was forked costs some 20 ms and has its results pickled.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from benchmark.errors import PrunebenchError

T = TypeVar("T")
R = TypeVar("R")
LARGE = 2_000
"""Cells from which scoring and reporting are large work."""
_job: tuple[Callable[[Any], Any], Sequence[Any]] | None = None
"""Of a forked process: what it does, and to what."""


def forked(work: Callable[[T], R], items: Sequence[T], *, large: bool = True) -> Iterator[R]:
    """Yield ``work`` of each item, in order.

    Where the work is not large, there is one core, or a fork is not safe (macOS) or not possible (Windows), it is done
    here one by one. What ``work`` changes is lost in the processes; what it returns or raises must be picklable.

    Raises:
        PrunebenchError: a process was killed.
        Exception: what ``work`` raised.
    """
    workers = min(cores(), len(items))
    if not large or workers < 2 or sys.platform in ("darwin", "win32") or _job is not None:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("fork")
    try:
        with ProcessPoolExecutor(workers, context, initializer=_take, initargs=(work, items)) as pool:
            yield from pool.map(_do, range(len(items)))
    except BrokenProcessPool as error:
        raise PrunebenchError("a process was killed that shared the work: is there enough memory?") from error


def _take(work: Callable[[Any], Any], items: Sequence[Any]) -> None:
    global _job
    _job = work, items


def _do(place: int) -> Any:
    assert _job is not None
    work, items = _job
    return work(items[place])


def cores() -> int:
    """Return the cores given to this process, not the machine's: in a container they differ."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

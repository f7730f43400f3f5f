"""What was left out of a split: its counts, and the table that lists it."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmark.corpora._audio import KINDS, Kind
from benchmark.corpora._cache import cache_folder, write_atomically

log = logging.getLogger(__name__)
_told: set[str] = set()


class Fault(NamedTuple):
    """An utterance that was left out: one line of the report."""

    id: str
    where: str
    kind: Kind
    detail: str


def counts(faults: Sequence[Fault]) -> str:
    """Return how many faults there are of each kind, e.g. ``2 missing audio, 1 too long``."""
    number = Counter(fault.kind for fault in faults)
    return ", ".join(f"{number[kind]} {kind}" for kind in KINDS if number[kind])  # type: ignore[index]


def write_report(source: str, name: str, faults: Sequence[Fault]) -> Path | None:
    """Write what was left out as a table into the cache; return where, or None when nothing was or it cannot be.

    ``source`` tells one corpus from another (two folders are no one corpus), ``name`` what was loaded of it.
    """
    home = cache_folder() / "exclusions" / hashlib.sha256(source.encode()).hexdigest()[:8]
    path = home / f"exclusions-{name.replace('/', '_')}.csv"
    try:
        if not faults:
            path.unlink(missing_ok=True)
            return None
        text = io.StringIO(newline="")
        csv.writer(text).writerows([Fault._fields, *faults])
        write_atomically(path, lambda file: file.write(text.getvalue().encode()))
    except OSError as error:
        log.warning("%s: cannot be written (%s)", path, error.strerror)
        return None
    return path


def warn_once(message: str) -> None:
    """Log a warning that this process has not logged yet: a split is loaded several times a run."""
    if message not in _told:
        _told.add(message)
        log.warning("%s", message)

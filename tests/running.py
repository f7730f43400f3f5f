"""A leaderboard of four cells that is run in several ways, and what must be the same of all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import benchmark
from benchmark.harness.executors.local import Local
from benchmark.harness.run import RunOutcome
from benchmark.store.records import Record, records

SPEC = {
    "name": "on-ray",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 8}},
    "grid": [
        {"methods": ["dense"], "budget": "none"},
        {"methods": ["magnitude"], "budget": "prunable_nominal", "keep": [0.6]},
    ],
    "training": {"steps": 12, "batch": 4, "utterances": 32},
    "seeds": [0, 1],
    "profile": None,
}
TIMES = {"attempt", "finished", "seconds", "commit"}
"""What may differ; a commit is told as dirty where somebody edits the checkout meanwhile."""


def here(run: Path) -> list[Any]:
    """What the records of one process in a folder say, on as many threads as a worker."""
    assert not benchmark.run(SPEC, out=run, quiet=True, executor=Local(workers=0, threads=1)).failed
    return meanings(run)


def but_for_times(value: Any) -> Any:
    """Return a record without what depends on when and how fast it was made."""
    if isinstance(value, dict):
        return {key: but_for_times(item) for key, item in value.items() if key not in TIMES}
    return [but_for_times(item) for item in value] if isinstance(value, list) else value


def meaning(record: Record) -> Any:
    texts = {split: record.transcripts(split).to_dict("list") for split in record.data["data"]}
    return but_for_times(record.data), texts


def meanings(run: Path) -> list[Any]:
    """One result of each cell, and nothing else, by cell."""
    found = records(run)
    assert all(record.ok for record in found) and len({record.cell for record in found}) == len(found) == 4
    return [meaning(record) for record in found]


def holders(run: Path) -> set[int]:
    """The processes that have the lock of a node or a cell open."""
    locks = {str(path) for path in (run / "work" / "locks").glob("*.lock") if not path.name.startswith("driver-")}
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                open_now = {os.readlink(handle) for handle in (process / "fd").iterdir()}
            except OSError:  # it ended while we looked, or is not ours
                continue
            if open_now & locks:
                found.add(int(process.name))
    return found


def wait_for(what: Callable[[], Any], running: Future[RunOutcome]) -> Any:
    """Return the first answer of ``what`` that is not empty, while the run goes on."""
    until = time.monotonic() + 120
    while not running.done() and time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.02)
    running.result(timeout=0)
    pytest.fail("the run ended before what was waited for")

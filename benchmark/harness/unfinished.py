"""Records of cells that came to no result: failed, or stopped while they trained. Never served as results."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.harness.environment import environment
from benchmark.harness.state import Ledger
from benchmark.harness.tree import CellPath
from benchmark.store.records import Attempt, Record

if TYPE_CHECKING:
    from benchmark.harness.bench import Bench
    from benchmark.harness.watch import Stopped

TRACEBACK = 12
"""Lines of the traceback that a failed record keeps."""


def record_failure(path: CellPath, run: Path, error: Exception) -> Record:
    """Commit a failed attempt: it is shown, never served as a result, and tried again by the next run."""
    told = {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": traceback.format_exception(error)[-TRACEBACK:],
    }
    return _commit(path, run, {"status": "failed", "error": told})


def record_stopped(path: CellPath, run: Path, stopped: Stopped, bench: Bench) -> Record:
    """Commit a pruned attempt, one that a look has ended: it keeps what was seen and what it cost."""
    found = {
        "status": "pruned",
        "error": None,
        "stopped": {"at": stopped.at, "of": path.steps, "reason": stopped.reason, "node": stopped.node},
        "watched": stopped.ledger.watched,
        "training": spent(stopped.ledger, bench.train_hash),
        "decoding": {"signature": bench.spec.decoding.signature()},
    }
    return _commit(path, run, found)


def spent(ledger: Ledger, data_hash: str | None) -> dict[str, Any]:
    """Return the record's ``training``: what was spent on a path, and on which data."""
    told = dataclasses.asdict(ledger)
    del told["watched"]  # a part of the record of its own
    if not ledger.skipped_steps:  # fp16 alone skips any
        del told["skipped_steps"]
    return {**told, "data_hash": data_hash}


def _commit(path: CellPath, run: Path, found: Mapping[str, Any]) -> Record:
    asked = path.cell.identity()
    attempt = Attempt.create(run, path.cell.id, asked)
    try:
        return attempt.commit({**found, "spec": asked, "environment": environment()})
    except BaseException:
        attempt.discard()
        raise

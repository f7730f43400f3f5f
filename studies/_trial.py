"""One trial is one cell: carried out here, in this process, by the harness' own worker."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import PrunebenchError, SpecError
from benchmark.harness.tree import CellPath, Tree, barren, grow
from benchmark.specs import Leaderboard
from benchmark.store.folders import keep_spec
from benchmark.store.records import Record, finished, latest_of_cell

if TYPE_CHECKING:
    from benchmark.harness.bench import Bench
    from benchmark.harness.watch import Watch

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Outcome:
    """The record of a trial's cell, and what it cost this study."""

    record: Record
    reused: bool
    """Whether the result was there already."""
    steps_trained: int
    """Optimiser steps that were made for it here; the rest of its program was in the cache."""
    steps_program: int
    """Optimiser steps on its path: what it would cost alone."""
    seconds: float


class Lab:
    """What the trials of one process share: the run folder, loaded model and speech, the cache of trained states."""

    def __init__(self, run: Path, keep_nodes: int, emit: Emit) -> None:
        self.run, self.keep_nodes, self.emit = run, keep_nodes, emit
        self._bench: Bench | None = None

    def carry_out(self, board: Leaderboard, watch: Watch | None = None) -> Outcome:
        """Bring the only cell of ``board`` to a record, a failed or stopped one too.

        Also a configuration that makes no program has one, or the study could not be rebuilt from its records.

        Raises:
            PrunebenchError: a run folder that cannot be used.
        """
        began = time.perf_counter()
        try:
            tree = grow(board)
        except SpecError as error:
            return Outcome(self._refused(board, error), False, 0, 0, time.perf_counter() - began)
        (path,) = tree.cells
        keep_spec(self.run, board.model_dump(mode="json"), [path.cell.id])
        there = finished(self.run, path.cell.id)
        if there is not None:
            return Outcome(there, True, 0, path.steps, time.perf_counter() - began)
        trained = self._work(tree, watch)
        record = latest_of_cell(self.run, path.cell.id)
        if record is None:
            raise PrunebenchError(f"cell {path.cell.id} has no record after it was worked on; run again")
        self._tidy(path)
        return Outcome(record, False, trained, path.steps, time.perf_counter() - began)

    def _refused(self, board: Leaderboard, error: SpecError) -> Record:
        """Record that the configuration of ``board`` makes no program, once."""
        from benchmark.harness.unfinished import record_failure

        path = barren(board)
        there = latest_of_cell(self.run, path.cell.id)
        if there is not None and there.error == f"{type(error).__name__}: {error}":
            return there
        keep_spec(self.run, board.model_dump(mode="json"), [path.cell.id])
        return record_failure(path, self.run, error)

    def _work(self, tree: Tree, watch: Watch | None) -> int:
        """Work on a tree until its cell is settled; return the optimiser steps that were made for it."""
        from benchmark.harness.bench import Bench
        from benchmark.harness.worker import Worker

        if self._bench is None:
            self._bench = Bench(tree.spec)
        steps: dict[str, int] = {}

        def count(event: dict[str, Any]) -> None:
            if event.get("unit") in tree.nodes:
                steps[event["unit"]] = event["step"]
            self.emit(event)

        job = self.run / "work" / "jobs" / secrets.token_hex(6)
        job.mkdir(parents=True)
        try:
            Worker(tree, self.run, job, count, bench=self._bench, watch=watch).work()
        finally:
            shutil.rmtree(job, ignore_errors=True)
        return sum(steps.values())

    def _tidy(self, path: CellPath) -> None:
        """Drop what no other trial can use: the trained state at the end of this one, and the longest unused ones."""
        from benchmark.harness.state import Workshop

        shop = Workshop(self.run)
        if len(path.nodes) > 1 and path.last is not None:
            shop.drop(path.last)
        shop.keep_newest(self.keep_nodes)

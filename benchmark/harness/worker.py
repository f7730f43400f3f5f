"""A worker: claims units of work one by one until nothing is left. Several may share one run folder.

A claim is a kernel file lock (``filelock``), which a dead process gives back; what is finished is seen on disk. So two
workers, of one run or of two, never compute a node twice, and a killed one costs only the unit it was in.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmark.errors import PrunebenchError
from benchmark.harness.tree import CellPath, Node, Tree, grow
from benchmark.specs import Leaderboard
from benchmark.store.records import finished

Emit = Callable[[dict[str, Any]], None]


class Worker:
    """One process' view of a run: the tree, what is done, and what it may take next."""

    def __init__(self, tree: Tree, run: Path, job: Path, emit: Emit) -> None:
        from benchmark.harness.bench import Bench
        from benchmark.harness.state import Workshop

        self.tree, self.run, self.job, self.emit = tree, run, job, emit
        self.bench, self.shop = Bench(tree.spec), Workshop(run)
        self.locks = run / "work" / "locks"
        self.locks.mkdir(parents=True, exist_ok=True)
        self.done: set[str] = set()

    def work(self) -> None:
        """Work until every cell has a result or a failure of this job."""
        while True:
            open_cells = [path for path in self.tree.cells if not self._settled(path)]
            if not open_cells:
                return
            ready = list(self._ready(open_cells))
            if not self._one_of(ready):
                # All that could be done is claimed: sleep until the holder of the first one gives it back.
                with self._lock(ready[0]):
                    pass

    # --- what is there to do ----------------------------------------------------------------------------------------

    def _settled(self, path: CellPath) -> bool:
        if path.cell.id not in self.done and (
            finished(self.run, path.cell.id) is not None or self._failure(path.cell.id).exists()
        ):
            self.done.add(path.cell.id)
        return path.cell.id in self.done

    def _failure(self, unit: str) -> Path:
        return self.job / f"failed-{unit}"

    def _has(self, node: str | None) -> bool:
        return node is None or self.shop.has(node, optimizer=self.tree.needs_optimizer(node))

    def _ready(self, cells: list[CellPath]) -> Iterator[Node | CellPath]:
        """Yield units whose parents are there: trunks that most cells wait for first, then leaves, then evaluations.

        A unit may turn up whose result is there already; the claim looks again.
        """
        wanted: dict[str, int] = {}
        for path in cells:
            missing = [name for name in path.nodes if not self._has(name)]
            if missing and self._has(path.last) and not path.tail:
                missing = []  # only the trunk is gone, and nothing below it needs it any more
            for name in missing:
                wanted[name] = wanted.get(name, 0) + 1
        for name in sorted(wanted, key=lambda name: -wanted[name]):
            node = self.tree.nodes[name]
            if self._has(node.parent) and all(self._has(past) for past in node.rewind_to.values()):
                yield node
        yield from (path for path in cells if self._has(path.last))

    def _one_of(self, units: list[Node | CellPath]) -> bool:
        """Do the first unit that can be claimed."""
        for unit in units:
            lock = self._lock(unit)
            try:
                with lock.acquire(timeout=0):
                    self._do(unit)
                    return True
            except Timeout:
                continue
        return False

    def _lock(self, unit: Node | CellPath) -> FileLock:
        name = unit.id if isinstance(unit, Node) else f"cell-{unit.cell.id}"
        return FileLock(self.locks / f"{name}.lock")

    # --- doing it ---------------------------------------------------------------------------------------------------

    def _do(self, unit: Node | CellPath) -> None:
        from benchmark.harness.execute import evaluate, record_failure, train_node

        name = unit.id if isinstance(unit, Node) else unit.cell.id
        try:
            if isinstance(unit, Node):
                if self._has(unit.id):
                    return
                seed = self.tree.users[unit.id][0].cell.seed
                train_node(unit, self.tree, self.bench, self.shop, seed, self._progress(name))
            else:
                if self._settled(unit):
                    return
                evaluate(unit, self.bench, self.shop, self.run, self._progress(name))
            self.emit({"done": name})
        except (PrunebenchError, ArithmeticError, RuntimeError, ValueError) as error:
            for path in self.tree.users[unit.id] if isinstance(unit, Node) else [unit]:
                if not self._settled(path):
                    record_failure(path, self.run, error)
                    self._failure(path.cell.id).touch()
                    self.emit({"failed": path.cell.id, "error": str(error)})

    def _progress(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self.emit({"unit": name, "step": done, "of": total})


def main(arguments: list[str]) -> int:
    """Entry of a worker process: RUN JOB THREADS; begins when the spec comes, as a line on standard input."""
    import torch
    import transformers  # noqa: F401  (imported while the driver prepares the data)

    run, job, threads = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    torch.set_num_threads(threads)

    def emit(event: dict[str, Any]) -> None:
        print(json.dumps(event), flush=True)

    line = sys.stdin.readline()
    if not line:
        return 1  # the driver died while it prepared
    Worker(grow(Leaderboard.parse(json.loads(line), "the job's spec")), run, job, emit).work()
    return 0

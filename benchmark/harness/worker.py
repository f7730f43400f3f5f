"""A worker: claims units of work one by one until nothing is left. Several may share one run folder.

A claim is a kernel file lock (``filelock``), which a dead process gives back; what is finished is seen on disk. So two
workers, of one run or of two, never compute a node twice, and a killed one costs only the unit it was in.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, SoftFileLock, Timeout

from benchmark.errors import PrunebenchError, StoreError
from benchmark.harness.processes import Emit, ordered, receive
from benchmark.harness.ready import ready
from benchmark.harness.tree import CellPath, Node, Tree, grow
from benchmark.harness.watch import LookFailedError, Stopped, Watch
from benchmark.specs import Leaderboard
from benchmark.store.full_disk import is_full, told_when_full
from benchmark.store.records import finished
from benchmark.store.remote import RemoteError

if TYPE_CHECKING:
    from benchmark.harness.bench import Bench
    from benchmark.harness.looking import Eyes
    from benchmark.harness.state import Workshop

TRIES = 2
"""How often a node of the cache that cannot be read is made again."""


def claim(run: Path, name: str) -> FileLock:
    """Return the lock of a node, a cell (``cell-<id>``) or a step of its own (``profile``) in a run folder."""
    locks = run / "work" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{name}.lock")


def check_locks(run: Path) -> None:
    """Refuse a disk without kernel file locks: ``filelock`` makes do with marks there, which a dead process leaves.

    Raises:
        StoreError: it has none.
    """
    lock = claim(run, f"check-{secrets.token_hex(6)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lock.acquire()
        kernel = not isinstance(lock, SoftFileLock)
        lock.release()
    except NotImplementedError:  # an older filelock
        kernel = False
    Path(lock.lock_file).unlink(missing_ok=True)
    if not kernel:
        raise StoreError(
            f"{run}: this file system has no file locks, so workers would take each other's work; use another"
        )


class Worker:
    """One process' view of a run: the tree, what is done, and what it may take next.

    Args:
        tree: what is to be done.
        run: the run folder, which is there.
        job: a folder, which is there, for the marks of what came to no result; workers of one job share it.
        emit: told of progress and of what is done, failed or stopped.
        bench: where given, what it has loaded is shared; the tree's own spec counts for everything else.
        watch: who looks at cells while they train, and may stop them.
        shop: where nodes are kept; None: in the run folder.

    Raises:
        SpecError: the bench is of another model, corpus or training pool.
    """

    def __init__(
        self,
        tree: Tree,
        run: Path,
        job: Path,
        emit: Emit,
        bench: Bench | None = None,
        watch: Watch | None = None,
        shop: Workshop | None = None,
    ) -> None:
        from benchmark.harness.bench import Bench
        from benchmark.harness.state import Workshop

        self.tree, self.run, self.job, self.emit = tree, run, job, emit
        self.bench = Bench(tree.spec) if bench is None else bench.for_spec(tree.spec)
        self.shop = Workshop(run) if shop is None else shop
        self.watch = watch
        self._eyes: Eyes | None = None
        self.done: set[str] = set()
        self.lost: dict[str, int] = {}

    def work(self) -> None:
        """Work until every cell has a result, or was a failure or stopped in this job.

        Raises:
            DiskFullError: there is no room for what was made; the unit under way is lost, and nothing else.
            StoreError: a run folder without file locks.
            Exception: what the ``look`` of the watch raised.
        """
        with told_when_full(self.run):
            check_locks(self.run)
            self._work()

    def do(self, unit: Node | CellPath, after: Callable[[], None]) -> None:
        """Do a unit that was handed out, and then what is to be done ``after`` it before somebody else may take it.

        Raises:
            DiskFullError, StoreError: as ``work``.
        """
        with told_when_full(self.run), self._lock(unit):
            self._do(unit)
            after()

    def _work(self) -> None:
        while True:
            open_cells = [path for path in self.tree.cells if not self._settled(path)]
            if not open_cells:
                return
            # A node may vanish between two looks (another run tidied it): look again, and its parents turn up.
            ready = next((found for found in (list(self._ready(open_cells)) for _ in range(3)) if found), [])
            if not ready:
                raise PrunebenchError(f"{len(open_cells)} cell(s) wait for nothing that could be done; run again")
            if not self._one_of(ready):
                # All that could be done is claimed: sleep until the holder of the first one gives it back.
                with self._lock(ready[0]):
                    pass

    # --- what is there to do ----------------------------------------------------------------------------------------

    def _settled(self, path: CellPath) -> bool:
        if path.cell.id not in self.done and (
            finished(self.run, path.cell.id) is not None or self._given_up(path.cell.id).exists()
        ):
            self.done.add(path.cell.id)
        return path.cell.id in self.done

    def _given_up(self, cell: str) -> Path:
        return self.job / f"unfinished-{cell}"

    def _ready(self, cells: list[CellPath]) -> Iterator[Node | CellPath]:
        """Yield what can be done now. A unit may turn up whose result is there already; the claim looks again."""
        return ready(self.tree, cells, lambda node, optimizer: self.shop.has(node, optimizer=optimizer))

    def _one_of(self, units: list[Node | CellPath]) -> bool:
        """Do the first unit that can be claimed."""
        for unit in units:
            lock = self._lock(unit)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:  # apart from the claim: a time-out of a lock in the work itself is an error of the work
                self._do(unit)
            finally:
                lock.release()
            return True
        return False

    def _lock(self, unit: Node | CellPath) -> FileLock:
        return claim(self.run, unit.id if isinstance(unit, Node) else f"cell-{unit.cell.id}")

    # --- doing it ---------------------------------------------------------------------------------------------------

    def _do(self, unit: Node | CellPath) -> None:
        from benchmark.harness.execute import evaluate, train_node
        from benchmark.harness.state import NodeLost

        name = unit.id if isinstance(unit, Node) else unit.cell.id
        if isinstance(unit, Node) and self.shop.has(unit.id, optimizer=self.tree.needs_optimizer(unit.id)):
            return
        eyes = self._eyes_for(unit) if isinstance(unit, Node) else None
        try:
            if isinstance(unit, Node):
                seed = self.tree.users[unit.id][0].cell.seed
                stopped = train_node(unit, self.tree, self.bench, self.shop, seed, self._progress(name), eyes)
                if stopped is not None:
                    self._stop(unit, stopped)
            else:
                if self._settled(unit):
                    return
                evaluate(unit, self.bench, self.shop, self.run, self._progress(name))
        except BrokenPipeError:  # the driver is gone: nobody asked for this any more
            raise
        except RemoteError:  # no fault of the cell either, and the next one would meet it too
            raise
        except LookFailedError as failed:  # no fault of the cell
            raise failed.error from failed.error.__cause__
        except NodeLost as error:
            self.lost[error.node] = self.lost.get(error.node, 0) + 1
            if self.lost[error.node] > TRIES:
                self._fail(unit, error)
            else:
                self.shop.drop(error.node)  # made again by whoever needs it next
                return
        except Exception as error:  # a plug-in may raise anything; its cells fail, by name, and the others go on
            if is_full(error):  # no fault of the cell, and the next one would meet it too
                raise
            self._fail(unit, error)
        self.emit({"done": name})

    def _fail(self, unit: Node | CellPath, error: Exception) -> None:
        from benchmark.harness.unfinished import record_failure

        for path in self.tree.users[unit.id] if isinstance(unit, Node) else [unit]:
            if not self._settled(path):
                record_failure(path, self.run, error)
                self._given_up(path.cell.id).touch()
                self.emit({"failed": path.cell.id, "error": str(error)})

    def _eyes_for(self, node: Node) -> Eyes | None:
        """Return who looks while a node is trained, if anybody does."""
        from benchmark.harness.looking import Eyes

        if self.watch is None or not self.watch.sees(node, self.tree):
            return None
        if self._eyes is None:
            self._eyes = Eyes(self.watch, self.bench)
        return self._eyes

    def _stop(self, node: Node, stopped: Stopped) -> None:
        from benchmark.harness.unfinished import record_stopped

        (path,) = self.tree.users[node.id]
        record_stopped(path, self.run, stopped, self.bench)
        self._given_up(path.cell.id).touch()
        self.emit({"stopped": path.cell.id})

    def _progress(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self.emit({"unit": name, "step": done, "of": total})


def _be_handed(tree: Tree, url: str, emit: Emit) -> None:
    """Do the units of a run on an object store that the driver names, a line each, until it has no more."""
    from benchmark.harness.distant import Handed
    from benchmark.store.depot import Depot

    handed = Handed(tree, Depot(url), lambda event: emit(event) if "unit" in event else None)
    while (line := ordered()) is not None:
        handed.do(line["do"])
        emit({"over": line["do"]})


def main(arguments: list[str]) -> int:
    """Entry of a worker process: RUN JOB THREADS; begins when its order comes, as a line of JSON on standard input.

    The order holds the spec, and the modules of plug-ins that were registered by hand, with the path to find them on.
    With a URL in it, a line for each unit follows, and RUN and JOB are not used.
    Events go to what was standard output; whatever a plug-in prints goes to standard error.
    """
    run, job, threads = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    told, emit = receive(threads)
    if told is None:
        return 1  # the driver died while it prepared
    try:
        tree = grow(Leaderboard.parse(told["spec"], "the job's spec"))
        if told.get("url") is None:
            Worker(tree, run, job, emit).work()
        else:
            _be_handed(tree, told["url"], emit)
    except PrunebenchError as error:
        emit({"fatal": str(error)})
        return 2
    return 0

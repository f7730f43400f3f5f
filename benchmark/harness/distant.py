"""Units that a driver hands out, done without a shared folder: what they need is fetched, what they make is sent."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmark.errors import StoreError
from benchmark.harness.processes import Emit
from benchmark.harness.state import NodeLost, State, Workshop
from benchmark.harness.tree import CellPath, Node, Tree
from benchmark.harness.worker import Worker, check_locks, claim
from benchmark.store.depot import Depot
from benchmark.store.folders import OPTIMIZER
from benchmark.store.records import RECORD, finished
from benchmark.store.remote import RemoteError

KEPT = 4
"""Nodes that stay on a machine beside those in hand: trunks that its next units begin at, most likely."""
ORIGIN = "origin"
"""File in a node's folder here: the folder in the store that it equals."""


class Distant(Workshop):
    """Nodes of an object store; those that were made or used here last are on this machine too."""

    def __init__(self, depot: Depot) -> None:
        super().__init__(depot.scratch)
        self.depot = depot
        self.here = Workshop(depot.scratch)

    def has(self, node: str, *, optimizer: bool) -> bool:
        """Whether the store has a node; what only this machine has, from a call that was cut off, is sent now."""
        mark = self.depot.node(node)
        if mark is None and self.here.has(node, optimizer=optimizer):
            self._send(node)
            return True
        return mark is not None and (not optimizer or OPTIMIZER in mark["files"])

    def save(self, node: str, state: State) -> None:
        """Write a state here and in the store, its mark last."""
        self.here.save(node, state)
        self._send(node)

    def load(self, node: str | None, *, optimizer: bool = True) -> State:
        """Read a state, fetched where this machine lacks it.

        Raises:
            NodeLost: it is gone or broken, in the store too.
            RemoteError: the store cannot be reached.
        """
        if node is None:
            return State()
        with claim(self.run, node):  # so that nobody drops it here in between
            self._fetch(node, optimizer)
            return super().load(node, optimizer=optimizer)

    def drop(self, node: str) -> None:
        """Delete a node here and in the store."""
        self.here.drop(node)
        self.depot.drop_node(node)

    def names(self) -> set[str]:
        """Return the nodes that are here or in the store; costs one listing."""
        return self.here.names() | self.depot.nodes().keys()

    def tidy(self) -> None:
        """Keep only the newest nodes on this machine; the store keeps all."""
        self.here.keep_newest(KEPT)

    def _send(self, node: str) -> None:
        folder = self.path(node)
        (folder / ORIGIN).unlink(missing_ok=True)
        stamp = self.depot.put_node(node, folder)
        (folder / ORIGIN).write_text(stamp)

    def _fetch(self, node: str, optimizer: bool) -> None:
        mark = self.depot.node(node)
        if mark is None:
            raise NodeLost(node, f"node {node} is gone from {self.depot.shown}")
        folder = self.path(node)
        wanted = {name for name in mark["files"] if optimizer or name != OPTIMIZER}
        origin = folder / ORIGIN
        same = origin.is_file() and origin.read_text() == mark["folder"]
        if same and all((folder / name).is_file() for name in wanted):
            return
        incoming = self.run / "incoming"  # not among the nodes, which others tidy
        incoming.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=incoming))
        try:
            self._bring(node, mark, wanted, place)
            (place / ORIGIN).write_text(mark["folder"])
            self.folder.mkdir(parents=True, exist_ok=True)
            self.here.drop(node)
            place.replace(folder)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _bring(self, node: str, mark: dict[str, Any], wanted: set[str], place: Path) -> None:
        """Fetch files of a node, and see that they are as its mark says."""
        try:
            self.depot.get_node(node, mark["folder"], wanted, place)
        except RemoteError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise NodeLost(node, f"node {node} is not whole in {self.depot.shown} ({error})") from error
        for name in wanted:
            if (place / name).stat().st_size != mark["files"][name]:
                raise NodeLost(node, f"node {node} is not whole in {self.depot.shown}: {name} is cut off")


class Handed:
    """Does one unit after the other, on this machine, for the driver of a run on an object store.

    Args:
        tree: of which the units are.
        depot: where the run is.
        emit: told of progress.
    """

    def __init__(self, tree: Tree, depot: Depot, emit: Emit) -> None:
        self.depot = depot
        self.units: dict[str, Node | CellPath] = {**tree.nodes, **{path.cell.id: path for path in tree.cells}}
        self.tree = tree
        if not depot.is_marked():
            raise StoreError(
                f"{depot.shown}: no run is seen there from {os.uname().nodename}; a worker must see the same place as "
                "the command that was typed, so memory:// and a folder of one machine alone cannot be"
            )
        depot.scratch.mkdir(parents=True, exist_ok=True)
        check_locks(depot.scratch)
        self._marks = tempfile.TemporaryDirectory(prefix="prunebench-")
        self.shop = Distant(depot)
        self.worker = Worker(tree, depot.scratch, Path(self._marks.name), emit, shop=self.shop)

    def do(self, name: str) -> None:
        """Do the unit of a name, and send what came of it: a node, a result, or why there is none.

        Raises:
            RemoteError: the store cannot be reached.
            DiskFullError: there is no room here.
        """
        if name not in self.units:
            raise StoreError(f"unit {name} is none of this leaderboard; is this the prunebench of the driver?")
        unit = self.units[name]
        if isinstance(unit, CellPath):  # of a worker that died when it had sent its result
            self.depot.pull_cells([name])
            if finished(self.depot.mirror, name) is not None:
                return
        self.worker.do(unit, after=lambda: self._send(unit))
        self.shop.tidy()

    def _send(self, unit: Node | CellPath) -> None:
        """Send the attempts that lie here: of a cell its own, of a node those of the cells that failed with it."""
        for path in self.tree.users[unit.id] if isinstance(unit, Node) else [unit]:
            for folder in (self.depot.scratch / "runs" / path.cell.id).glob("*"):
                if (folder / RECORD).is_file():
                    self.depot.put_attempt(folder)
                    shutil.rmtree(folder)

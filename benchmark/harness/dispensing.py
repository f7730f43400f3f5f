"""Hands out the units of a run on an object store: the store says what is done, and one driver who does what next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from benchmark.errors import StoreError
from benchmark.harness.ready import ready
from benchmark.harness.tree import CellPath, Node, Tree
from benchmark.harness.worker import TRIES
from benchmark.store.depot import Depot
from benchmark.store.folders import OPTIMIZER
from benchmark.store.records import finished


class Dispenser:
    """What is done, what is in hand, and what comes next. Threads may share one.

    Nobody who did a unit is asked what came of it: the store is looked at. A unit that left no result came to nothing
    where its failure is recorded there, and is tried again where what it begins at was lost meanwhile.
    """

    def __init__(self, tree: Tree, depot: Depot) -> None:
        self.tree, self.depot = tree, depot
        self._cells = {path.cell.id: path for path in tree.cells}
        self._nodes = depot.nodes()
        self._open = {cell for cell in self._cells if finished(depot.mirror, cell) is None}
        self._held: set[str] = set()
        self._tries: dict[str, int] = {}
        self._deaths: dict[str, int] = {}
        self._before: dict[str, set[str]] = {}
        """Attempts of the cells of each unit in hand, as it was handed out."""
        self._changed = threading.Condition()

    @property
    def left(self) -> int:
        """Cells that were neither finished nor given up."""
        return len(self._open)

    def take(self, wait: bool = False) -> str | None:
        """Return the next unit for who asks; None where nothing can be done now (``wait``: and nothing is in hand)."""
        with self._changed:
            while True:
                name = next((name for name in map(_name, self._ready()) if self._free(name)), None)
                if name is not None:
                    self._held.add(name)
                    self._before[name] = self._attempts(name)
                    return name
                if not wait or not self._held:
                    return None
                self._changed.wait()

    def back(self, name: str, *, died: bool = True) -> None:
        """Take a unit back that was not done; one that several workers ``died`` over is handed out no more."""
        with self._changed:
            self._deaths[name] = self._deaths.get(name, 0) + died
            self._held.discard(name)
            self._changed.notify_all()

    def over(self, name: str) -> list[dict[str, Any]]:
        """Look at what came of a unit, and return what is new: events as those of workers (``executors.interface``).

        Raises:
            RemoteError: the store cannot be reached.
        """
        with self._changed:
            try:
                node = self.tree.nodes.get(name)
                return self._cell_over(self._cells[name]) if node is None else self._node_over(node)
            finally:
                self._held.discard(name)
                self._changed.notify_all()

    @property
    def stuck(self) -> list[str]:
        """Why cells are left when nobody can do anything more, as a line; none where none is left."""
        if not self._open:
            return []
        deadly = sorted(name for name, deaths in self._deaths.items() if deaths > TRIES)
        why = f"units that {TRIES + 1} workers died over: {', '.join(deadly)}"
        return [f"{len(self._open)} cell(s) wait for {why if deadly else 'nothing that could be done'}"]

    def _free(self, name: str) -> bool:
        return name not in self._held and self._deaths.get(name, 0) <= TRIES

    def _ready(self) -> Iterator[Node | CellPath]:
        return ready(self.tree, [self._cells[cell] for cell in self._cells if cell in self._open], self._has)

    def _users(self, name: str) -> list[str]:
        """Return the open cells that come to nothing with a unit."""
        cells = [path.cell.id for path in self.tree.users[name]] if name in self.tree.nodes else [name]
        return [cell for cell in cells if cell in self._open]

    def _attempts(self, name: str) -> set[str]:
        folders = (self.depot.mirror / "runs" / cell for cell in self._users(name))
        return {path.name for folder in folders for path in folder.glob("*")}

    def _has(self, node: str, optimizer: bool) -> bool:
        return node in self._nodes and (not optimizer or OPTIMIZER in self._nodes[node])

    def _look(self, *nodes: str | None) -> bool:
        """Look for nodes in the store; return whether all are there."""
        for node in nodes:
            if node is not None:
                mark = self.depot.node(node)
                self._nodes.pop(node, None)
                if mark is not None:
                    self._nodes[node] = mark["files"]
        return all(node is None or node in self._nodes for node in nodes)

    def _node_over(self, node: Node) -> list[dict[str, Any]]:
        if self._look(node.id) and self._has(node.id, self.tree.needs_optimizer(node.id)):
            return [{"done": node.id}]
        self.depot.pull_cells(self._users(node.id))
        return self._came_to_nothing(node.id, self._look(node.parent, *node.rewind_to.values()))

    def _cell_over(self, path: CellPath) -> list[dict[str, Any]]:
        cell = path.cell.id
        self.depot.pull_cells([cell])
        if finished(self.depot.mirror, cell) is not None:
            self._open.discard(cell)
            return [{"done": cell}]
        return self._came_to_nothing(cell, self._look(path.last, *path.rewind_to.values()))

    def _came_to_nothing(self, name: str, had_all: bool) -> list[dict[str, Any]]:
        """Give up cells over a unit whose failure is recorded; one whose parent was lost meanwhile is tried again.

        The mirror has what was committed of these cells.

        Raises:
            StoreError: the unit left nothing at all, and nothing was lost.
        """
        cells = self._users(name)
        if not self._attempts(name) - self._before[name]:
            self._tries[name] = self._tries.get(name, 0) + 1
            if not had_all and self._tries[name] <= TRIES:
                return []
            why = "is said to be done" if had_all else f"lost what it begins at {self._tries[name]} times"
            raise StoreError(f"unit {name} {why}, and {self.depot.shown} holds nothing of it; who else writes there?")
        self._open.difference_update(cells)
        return [{"failed": cell} for cell in cells]


def _name(unit: Node | CellPath) -> str:
    return unit.id if isinstance(unit, Node) else unit.cell.id

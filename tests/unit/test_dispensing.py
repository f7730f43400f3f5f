"""Who gets which unit of a run on an object store, and when a cell is given up."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import StoreError
from benchmark.harness import dispensing
from benchmark.harness.dispensing import TRIES, Dispenser
from benchmark.harness.ready import ready
from benchmark.harness.tree import Node, Tree, grow
from benchmark.specs import Leaderboard

SPEC = {
    "name": "dispensed",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 4}},
    "grid": [
        {"methods": ["dense"], "budget": "none"},
        {"methods": ["magnitude"], "budget": "prunable_nominal", "keep": [0.6, 0.4]},
    ],
    "training": {"steps": 12, "batch": 4, "utterances": 8},
    "profile": None,
}


class Store:
    """Stands in for a depot: which nodes and results are there."""

    def __init__(self, mirror: Path) -> None:
        self.there: dict[str, dict[str, int]] = {}
        self.results: set[str] = set()
        self.mirror, self.shown = mirror, "store://run"
        self.failed: list[str] = []

    def nodes(self) -> dict[str, dict[str, int]]:
        return dict(self.there)

    def node(self, node: str) -> dict[str, Any] | None:
        return {"files": self.there[node]} if node in self.there else None

    def pull_cells(self, cells: list[str]) -> None:
        for number, cell in enumerate(self.failed):
            if cell in cells:
                (self.mirror / "runs" / cell / f"attempt-{number}").mkdir(parents=True, exist_ok=True)

    def put(self, tree: Tree, name: str) -> None:
        if name in tree.nodes:
            self.there[name] = {"model.safetensors": 1, "optimizer.safetensors": 1}
        else:
            self.results.add(name)


@pytest.fixture
def tree() -> Tree:
    return grow(Leaderboard.parse(SPEC, "a test"))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Store(tmp_path)
    monkeypatch.setattr(dispensing, "finished", lambda _, cell: cell if cell in made.results else None)
    return made


def test_each_unit_is_handed_out_once_and_after_what_it_needs(tree: Tree, store: Any) -> None:
    dispenser = Dispenser(tree, store)
    order: list[str] = []
    while (name := dispenser.take()) is not None:
        if name in tree.nodes:
            parent = tree.nodes[name].parent
            assert parent is None or parent in store.there
        order.append(name)
        store.put(tree, name)
        assert dispenser.over(name) == [{"done": name}]
    cells = [path.cell.id for path in tree.cells]
    assert sorted(order) == sorted([*tree.nodes, *cells]) and dispenser.left == 0


def test_nothing_is_handed_out_to_two(tree: Tree, store: Any) -> None:
    dispenser = Dispenser(tree, store)
    found = []
    while (name := dispenser.take()) is not None:
        found.append(name)
    assert len(found) == len(set(found)) >= 1
    assert {tree.nodes[name].parent for name in found} == {None}
    dispenser.back(found[0])
    assert dispenser.take() == found[0]


def test_what_is_done_already_is_not_handed_out(tree: Tree, store: Any) -> None:
    for name in tree.nodes:
        store.put(tree, name)
    store.results.add(tree.cells[0].cell.id)
    dispenser = Dispenser(tree, store)
    assert dispenser.take() == tree.cells[1].cell.id
    assert dispenser.left == len(tree.cells) - 1


def test_a_unit_whose_failure_is_recorded_is_given_up_with_all_that_hang_on_it(tree: Tree, store: Any) -> None:
    store.failed += [path.cell.id for path in tree.cells]
    store.pull_cells(store.failed)  # all of them have failed before: that is no failure of now
    dispenser = Dispenser(tree, store)
    first = dispenser.take()
    assert first is not None and first in tree.nodes
    users = {path.cell.id for path in tree.users[first]}
    store.failed += users
    assert {event["failed"] for event in dispenser.over(first)} == users
    assert dispenser.left == len(tree.cells) - len(users)
    assert first not in iter(dispenser.take, None)


def test_a_unit_that_leaves_nothing_at_all_is_an_error(tree: Tree, store: Any) -> None:
    store.failed += [path.cell.id for path in tree.cells]
    store.pull_cells(store.failed)
    dispenser = Dispenser(tree, store)
    first = dispenser.take()
    assert first is not None
    with pytest.raises(StoreError, match=f"unit {first} is said to be done, and store://run holds nothing of it"):
        dispenser.over(first)
    assert dispenser.left == len(tree.cells)


def test_a_unit_that_several_workers_died_over_is_handed_out_no_more(tree: Tree, store: Any) -> None:
    dispenser = Dispenser(tree, store)
    first = dispenser.take()
    assert first is not None
    for _ in range(TRIES):
        dispenser.back(first)
        assert dispenser.take() == first
    dispenser.back(first)
    assert first not in iter(dispenser.take, None)
    (said,) = dispenser.stuck
    assert said == f"{len(tree.cells)} cell(s) wait for units that 3 workers died over: {first}"


def test_a_unit_that_workers_only_gave_back_is_not_to_blame(tree: Tree, store: Any) -> None:
    dispenser = Dispenser(tree, store)
    first = dispenser.take()
    assert first is not None
    for _ in range(9):
        dispenser.back(first, died=False)
        assert dispenser.take() == first


def test_a_parent_that_was_lost_is_made_again_and_its_child_tried_a_few_times(tree: Tree, store: Any) -> None:
    child = next(name for name, node in tree.nodes.items() if node.parent is not None)
    parent = tree.nodes[child].parent
    assert parent is not None
    dispenser = Dispenser(tree, store)
    tries = 0
    with pytest.raises(StoreError, match=f"unit {child} lost what it begins at 3 times, and store://run holds nothing"):
        while (name := dispenser.take()) is not None:
            if name == child:
                tries += 1
                store.there.pop(parent)  # its files are gone, and who met that dropped the mark
                assert dispenser.over(name) == []
            else:
                store.put(tree, name)
                dispenser.over(name)
    assert tries == TRIES + 1


def test_who_waits_gets_what_another_gives_back(tree: Tree, store: Any) -> None:
    dispenser = Dispenser(tree, store)
    held = []
    while (name := dispenser.take()) is not None:
        held.append(name)
    got: list[str | None] = []
    waiting = threading.Thread(target=lambda: got.append(dispenser.take(wait=True)))
    waiting.start()
    dispenser.back(held[0])
    waiting.join(timeout=60)
    assert got == [held[0]]


def test_who_waits_goes_home_when_nobody_holds_anything(tree: Tree, store: Any) -> None:
    for name in [*tree.nodes, *(path.cell.id for path in tree.cells)]:
        store.put(tree, name)
    assert Dispenser(tree, store).take(wait=True) is None


def test_trunks_that_most_cells_wait_for_come_first(tree: Tree) -> None:
    first = next(ready(tree, tree.cells, lambda node, optimizer: False))
    assert isinstance(first, Node)
    roots = [node for node in tree.nodes.values() if node.parent is None]
    assert len(tree.users[first.id]) == max(len(tree.users[node.id]) for node in roots)

"""Carry out an ablation, or say what it would cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.registry import REGISTRY
from benchmark.specs import Cell
from studies._ablation import AblationSpec
from studies._arms import Arm, arms, leaderboards

if TYPE_CHECKING:
    from benchmark.harness.tree import CellPath, Tree
    from benchmark.store.records import Record


@dataclass(frozen=True)
class Planned:
    """An ablation as the harness sees it."""

    spec: AblationSpec
    arms: list[Arm]
    trees: list[Tree]
    """One a training recipe."""
    cells: list[list[CellPath]]
    """Of each arm, one a seed; arms that differ in the normaliser alone have the same ones."""

    @property
    def tree(self) -> Tree:
        """All recipes' cells as one tree: recipes that differ in the number of steps alone share their trunks."""
        from benchmark.harness.tree import Tree

        nodes = {name: node for tree in self.trees for name, node in tree.nodes.items()}
        paths = {path.cell.id: path for tree in self.trees for path in tree.cells}
        return Tree(self.trees[0].spec, nodes, list(paths.values()))


def planned(spec: AblationSpec) -> Planned:
    """Unfold a spec into arms and their cells.

    Raises:
        SpecError: what is unknown, cannot be, or would change nothing.
        DataError: a model or corpus that is not there.
    """
    from benchmark.harness.tree import grow

    found = arms(spec)
    trees = [grow(board) for board in leaderboards(spec, found)]
    by_key = {_key_of(path.cell, tree): path for tree in trees for path in tree.cells}
    cells = [[by_key[_key(arm, seed)] for seed in spec.seeds] for arm in found]
    return Planned(spec, found, trees, cells)


def _key(arm: Arm, seed: int) -> str:
    options = REGISTRY.get("method", arm.method.name, **arm.method.options).config.model_dump(
        mode="json", exclude_defaults=True
    )
    budget = arm.point.asked().model_dump()
    return json.dumps([arm.method.name, options, budget, arm.training.identity(), seed], sort_keys=True)


def _key_of(cell: Cell, tree: Tree) -> str:
    budget, recipe = cell.budget.model_dump(), tree.spec.training.identity()
    return json.dumps([cell.method.name, cell.method.options, budget, recipe, cell.seed], sort_keys=True)


# --- carrying out -------------------------------------------------------------------------------------------------


def ablate(spec: AblationSpec, out: Path, workers: int | None = None, quiet: bool = False) -> int:
    """Bring every arm to its records in the run folder ``out``, compare, write table and figure; return the exit code.

    What is finished is not done again. 1: a cell has no result; its arm stands in the table with the reason.

    Raises:
        PrunebenchError: a wrong spec, unusable data, or a folder that cannot be used.
    """
    from benchmark.cli._flow import say_failed, say_written
    from benchmark.cli._tables import console
    from benchmark.store.folders import check_run
    from studies._effects import effects
    from studies._forest import show, write

    made = planned(spec)  # before anything is written
    check_run(out)
    from benchmark.harness import run as harness

    failed: dict[str, Record] = {}
    for tree in made.trees:
        outcome = harness.run(tree.spec, out=out, workers=workers, quiet=quiet)
        failed |= {record.cell: record for record in outcome.failed}
    try:
        table = effects(made, out)
        written = write(table, out)
    finally:  # whatever the comparison runs into, why a cell failed is said
        say_failed(list(failed.values()))
    show(table, console())
    say_written(written)
    return 1 if failed else 0


# --- planning -----------------------------------------------------------------------------------------------------


def plan(spec: AblationSpec, out: Path) -> None:
    """Print arms, cells, what is done, and the optimiser steps that the rest costs. Writes nothing."""
    from benchmark.cli._tables import print_table
    from benchmark.cli.plan import newest, steps_left, what_is_there

    made = planned(spec)
    found = newest(out)

    def state(path: CellPath) -> str:
        record = found.get(path.cell.id)
        return "missing" if record is None else "done" if record.ok else "failed"

    tree = made.tree
    states = {path.cell.id: state(path) for path in tree.cells}
    print(f"{spec.name}: {len(made.arms)} arms ({spec.design}), {len(tree.cells)} cells in {out}")
    headings = ("point", "arm", "method", "seeds", "steps", "done", "state")
    rows = [_row(arm, paths, states) for arm, paths in zip(made.arms, made.cells, strict=True)]
    print_table(headings, rows, right=("seeds", "steps", "done"), whole=("point", "seeds", "steps", "done", "state"))
    counted = [f"{list(states.values()).count(name)} {name}" for name in ("done", "missing", "failed")]
    print(", ".join(counted))
    left = steps_left(tree, {cell for cell, said in states.items() if said != "done"}, what_is_there(out)[1])
    print(
        f"training steps: {tree.steps_shared:,} shared, {tree.steps_unshared:,} without sharing "
        f"({100 * tree.saving:.1f} % saved); {left:,} still to do"
    )


def _row(arm: Arm, paths: Sequence[CellPath], states: dict[str, str]) -> list[str]:
    from benchmark.store.naming import label

    said = [states[path.cell.id] for path in paths]
    state = next((name for name in ("failed", "missing") if name in said), "done")
    named = label(arm.method.name, arm.method.options)
    done, steps = said.count("done"), max(path.steps for path in paths)
    return [str(arm.point), str(arm), named, str(len(paths)), str(steps), str(done), state]

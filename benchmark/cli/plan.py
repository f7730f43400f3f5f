"""``prunebench plan SPEC``: what is cached, what is missing, and what it will cost."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli import _options as options
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard

if TYPE_CHECKING:
    from benchmark.api import Model
    from benchmark.harness.ready import Has
    from benchmark.harness.tree import Tree
    from benchmark.store.records import Record


STATES = {"ok": "done", "failed": "failed", "pruned": "stopped"}
"""Status of a record to what is said of its cell; a stopped one, as a failed one, is computed when it is asked for."""


@dataclass(frozen=True)
class Costs:
    """Optimiser steps of a leaderboard, in all and from here."""

    shared: int
    unshared: int
    saving: float
    left: int
    artefact_bytes: int | None
    """All artefacts as dense models, an upper bound; None where the model does not tell."""


def plan(
    spec: options.SpecSource = "default",
    methods: options.Methods = None,
    budgets: options.Budgets = None,
    seeds: options.Seeds = None,
    steps: options.Steps = None,
    normalizer: options.Normalizer = None,
    languages: options.Languages = None,
    out: options.Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show the cells of a spec, which are done, and how many training steps the rest costs. Writes nothing."""
    from benchmark.harness.tree import grown

    chosen = options.read_spec(spec, methods, budgets, seeds, steps, normalizer, languages)
    trees, place = grown(chosen), options.place_of(chosen, out)
    _check_languages(trees)
    folder, has = what_is_there(place)
    found = newest(folder)
    rows = [_row(path, found) for tree in trees for path in tree.cells]
    undone = {row["id"] for row in rows if row["state"] != "done"}
    shared, unshared = sum(tree.steps_shared for tree in trees), sum(tree.steps_unshared for tree in trees)
    costs = Costs(
        shared,
        unshared,
        1 - shared / unshared if unshared else 0.0,
        sum(steps_left(tree, undone, has) for tree in trees),
        _disk(chosen, len(rows), found),
    )
    if as_json:
        print(json.dumps({"name": chosen.name, "out": _shown(place), "cells": rows, **asdict(costs)}, indent=1))
    else:
        _print(chosen, place, rows, costs)


def newest(folder: Path) -> dict[str, Record]:
    """Return the newest result, or else other attempt, of each cell; a folder that does not exist yet has none."""
    from benchmark.store.folders import MARKER
    from benchmark.store.records import latest

    return {record.cell: record for record in latest(folder)} if (folder / MARKER).exists() else {}


def _row(path: Any, found: dict[str, Record]) -> dict[str, Any]:
    cell, record = path.cell, found.get(path.cell.id)
    return {
        "id": cell.id,
        "language": cell.corpus["language"],
        "method": cell.method.name,
        "options": cell.method.options,
        "budget": cell.budget.kind,
        "keep": cell.budget.keep,
        "seed": cell.seed,
        "steps": path.steps,
        "state": "missing" if record is None else STATES[record.data["status"]],
    }


def what_is_there(place: Path | str) -> tuple[Path, Has]:
    """Return the run folder of a place, a URL's brought up to date, and what says which nodes lie in its cache."""
    from benchmark.store.remote import is_url

    if is_url(place):
        from benchmark.store.depot import Depot
        from benchmark.store.folders import OPTIMIZER

        depot = Depot(str(place))
        if depot.is_run():
            depot.pull()
        nodes = depot.nodes()
        return depot.mirror, lambda node, optimizer: OPTIMIZER in nodes.get(node, ()) if optimizer else node in nodes
    folder = Path(place)
    if not (folder / "work").is_dir():
        return folder, lambda node, optimizer: False
    from benchmark.harness.state import Workshop

    shop = Workshop(folder)
    return folder, lambda node, optimizer: shop.has(node, optimizer=optimizer)


def _shown(place: Path | str) -> str:
    from benchmark.store.remote import hidden

    return hidden(str(place))


def steps_left(tree: Tree, wanted: set[str], has: Has) -> int:
    """Return the optimiser steps that the given cells still need, with the nodes taken as they are there."""
    todo: list[str | None] = []
    for path in tree.cells:
        if path.cell.id in wanted:
            todo += [path.last, *path.rewind_to.values()]
    needed: set[str] = set()
    while todo:
        node = todo.pop()
        if node is None or node in needed or has(node, tree.needs_optimizer(node)):
            continue
        needed.add(node)
        todo += [tree.nodes[node].parent, *tree.nodes[node].rewind_to.values()]
    return sum(tree.nodes[node].fit.steps for node in needed)


def _disk(spec: Leaderboard, cells: int, found: dict[str, Record]) -> int | None:
    """Return the bytes that all artefacts take at most: each as large as the dense one."""
    if spec.keep_artefacts == "none" and spec.profile is None:
        return 0
    known = (record.data["counts"].get("params_dense") for record in found.values() if record.ok)
    dense = next((4 * count for count in known if count), None) or _parameter_bytes(spec)
    return None if dense is None else dense * cells


def _parameter_bytes(spec: Leaderboard) -> int | None:
    """Return the model's size in fp32, from the headers of its safetensors; None where they are not on this machine."""
    source: Model = REGISTRY.get("model", spec.model.name, **spec.model.options)
    index = source.file("model.safetensors.index.json")  # of a checkpoint in several files
    names = (
        ["model.safetensors"] if index is None else sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    )
    files = [source.file(name) for name in names]
    return None if None in files else 4 * sum(_weights(path) for path in files if path is not None)


def _weights(path: Path) -> int:
    """Return how many weights a file holds."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _check_languages(trees: list[Tree]) -> None:
    """Refuse a language that a model is known not to know, by the files of it that are on this machine.

    Raises:
        SpecError: it does not know it.
    """
    from benchmark.whisper.checkpoints import check_language

    for tree in trees:
        model, corpus = tree.spec.model, tree.spec.corpus
        source: Model = REGISTRY.get("model", model.name, **model.options)
        check_language(source, REGISTRY.get("corpus", corpus.name, **corpus.options).language)


def _print(spec: Leaderboard, place: Path | str, rows: list[dict[str, Any]], costs: Costs) -> None:
    from benchmark.cli._tables import print_table

    print(f"{spec.name}: {len(rows)} cells in {_shown(place)}")
    headings = ("cell", "language", "method", "budget", "kept", "seed", "steps", "state")
    print_table(headings, map(_texts, rows), right=("kept", "seed", "steps"), whole=headings)
    counted = {state: sum(row["state"] == state for row in rows) for state in ("done", "missing", *STATES.values())}
    print(", ".join(f"{number} {state}" for state, number in counted.items() if number or state != "stopped"))
    print(
        f"training steps: {costs.shared:,} shared, {costs.unshared:,} without sharing "
        f"({100 * costs.saving:.1f} % saved); {costs.left:,} still to do"
    )
    if costs.artefact_bytes is not None:
        after = (
            "" if spec.keep_artefacts == "all" else f" until they are timed, then keep_artefacts: {spec.keep_artefacts}"
        )
        print(f"artefacts: at most {costs.artefact_bytes / 1e6:,.0f} MB of disk{after}")


def _texts(row: dict[str, Any]) -> list[str]:
    listed = ",".join(f"{key}={value}" for key, value in row["options"].items())
    label = f"{row['method']}[{listed}]" if listed else row["method"]
    keep = "–" if row["keep"] is None else f"{row['keep']:g}"
    return [row["id"], row["language"], label, row["budget"], keep, str(row["seed"]), str(row["steps"]), row["state"]]


@REGISTRY.register("verb", "plan")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("plan")(plan)

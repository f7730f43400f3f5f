"""Iterative magnitude pruning through the harness: what a rewind restores, and that several budgets pay one trunk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmark
from benchmark.cli.main import invoke
from benchmark.harness.bench import Bench
from benchmark.harness.between import carry_out
from benchmark.harness.state import Workshop
from benchmark.harness.tree import Tree, grow
from benchmark.specs import Leaderboard
from benchmark.store.records import Record, latest
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure

KEEPS = (0.8, 0.64, 0.5)
OPTIONS: dict[str, Any] = {"after_prune": "rewind", "rewind_at": 0.5, "split": 0.5, "round_share": 0.1, "rate": 0.8}
SPEC: dict[str, Any] = {
    "name": "lottery",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 4}},
    "grid": [
        {"methods": [{"name": "imp", "options": OPTIONS}], "budget": "prunable_nominal", "keep": list(KEEPS)},
        {
            "methods": [{"name": "imp", "options": {**OPTIONS, "scope": "layer"}}],
            "budget": "prunable_nominal",
            "keep": [0.8],
        },
    ],
    "training": {"steps": 10, "batch": 2, "utterances": 8},
    "profile": None,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("lottery") / "run"
    outcome = benchmark.run(SPEC, out=folder, workers=0, quiet=True)
    assert not outcome.failed
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tree() -> Tree:
    return grow(Leaderboard.parse(SPEC, "a test"))


def by_keep(run: Path, scope: str = "global") -> dict[float, Record]:
    found = {}
    for record in latest(run):
        if record.data["spec"]["method"]["options"].get("scope", "global") == scope:
            found[record.data["budget"]["asked"]] = record
    return found


def test_several_budgets_pay_their_trunk_once(run: Path, tree: Tree) -> None:
    chains = {keep: record.data["training"]["nodes"] for keep, record in by_keep(run).items()}
    assert [len(chains[keep]) for keep in KEEPS] == [3, 4, 5]  # two Fits before the first pruning, one after each
    for fewer, more in ((0.8, 0.64), (0.64, 0.5)):
        assert chains[more][: len(chains[fewer]) - 1] == chains[fewer][:-1]
        assert chains[fewer][-1] not in chains[more]
    assert {record.data["training"]["steps"] for record in latest(run)} == {10}
    paid = {node for record in latest(run) for node in record.data["training"]["nodes"]}
    assert sum(tree.nodes[node].fit.steps for node in paid) == tree.steps_shared < tree.steps_unshared == 40


def test_plan_shows_shared_and_unshared_steps(
    run: Path, tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.yaml").write_text(json.dumps(SPEC))
    assert invoke(["plan", str(tmp_path / "spec.yaml"), "--out", str(run)]) == 0
    said = capsys.readouterr().out
    assert f"training steps: {tree.steps_shared} shared, 40 without sharing" in said and "; 0 still to do" in said


def test_a_rewind_gives_kept_weights_their_early_values_and_moments_and_pruned_ones_none(run: Path, tree: Tree) -> None:
    bench, shop = Bench(Leaderboard.parse(SPEC, "a test")), Workshop(run)
    path = next(path for path in tree.cells if path.cell.budget.keep == 0.64)
    early, late = (shop.load(node) for node in path.nodes[:2])
    node = tree.nodes[path.nodes[2]]
    assert [type(step).__name__ for step in node.before] == ["Prune", "Rewind"]
    state = carry_out(node.before, late, node.rewind_to, bench, shop, 0, training=True)
    assert state.optimizer and early.optimizer and state.weights and early.weights and late.weights
    for name, moments in early.optimizer.items():
        for part, value in moments.items():
            assert torch.equal(state.optimizer[name][part], value), (name, part)
    model = bench.model(state)
    Masker(model, bench.structure, state.plan).apply_()
    moved = 0
    for matrix in bench.structure.matrices:
        mask, weight = state.plan.mask(matrix), model.get_parameter(matrix.name).detach().cpu()
        assert torch.equal(weight[mask], early.weights[matrix.name][mask]) and not weight[~mask].any()
        moved += int((early.weights[matrix.name] != late.weights[matrix.name]).sum())
    assert moved > 0  # the two differ, so it was no accident
    # The ranking is that of the trained weights, not of the ones that are restored.
    every = torch.cat([late.weights[matrix.name].abs().flatten() for matrix in bench.structure.matrices])
    kept = torch.cat([state.plan.mask(matrix).flatten() for matrix in bench.structure.matrices])
    assert every[kept].min() >= every[~kept].max()


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_model_that_is_kept_holds_the_share_of_the_model_or_of_every_matrix(run: Path, scope: str) -> None:
    record = by_keep(run, scope)[0.8]
    structure = Structure.of(benchmark.load(record.path))
    plan = Plan.load(record.path / "plan.safetensors")
    shares = [float(plan.mask(matrix).float().mean()) for matrix in structure.matrices]
    assert record.data["plan"]["nominal"] == pytest.approx(0.8, abs=0.005)
    spread = max(shares) - min(shares)
    assert spread < 0.005 if scope == "layer" else spread > 0.02

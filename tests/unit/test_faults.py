"""What goes wrong inside a cell stays inside it: bad losses, broken plug-ins, lost nodes, talkative code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import benchmark
from benchmark.api import Budget, Fit, Method, Penalty, Prune, Rule, Step
from benchmark.errors import SpecError
from benchmark.harness.batches import Tokenised, stream_order
from benchmark.harness.optimizer import rate
from benchmark.harness.state import NodeLost, State, Workshop
from benchmark.harness.training import Given, fit
from benchmark.harness.tree import checked_program, grow
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard, Training
from benchmark.store.records import records
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import tiny_whisper

SPEC: dict[str, Any] = {
    "name": "faults",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 4}},
    "grid": [{"methods": ["dense"]}],
    "training": {"steps": 4, "batch": 2, "utterances": 8},
    "profile": None,
}


class Poison(Penalty):
    """Not a number."""

    def loss(self, view: View) -> torch.Tensor:
        return view.parameter(view.structure.matrices[0]).sum() * torch.nan


class Raises(Rule):
    """Breaks."""

    def decide(self, view: View) -> Plan:
        raise KeyError("no such thing")


def with_method(monkeypatch: pytest.MonkeyPatch, name: str, steps: list[Step]) -> None:
    class Broken(Method):
        """A method of a test."""

        budgets = frozenset({"none"})

        def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
            yield from steps

    Broken.name = name
    REGISTRY.names("method")
    monkeypatch.setitem(REGISTRY._plugins["method"], name, Broken)
    monkeypatch.setitem(REGISTRY._owners, ("method", name), name)


# --- a Fit --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 7, 60])
def test_no_step_of_a_fit_is_lost(warmup: float, decay: Any, steps: int) -> None:
    recipe = Training(warmup=warmup, decay=decay)
    rates = [rate(step, recipe, steps) for step in range(steps)]
    assert min(rates) > 0
    assert max(rates) == 1 if round(warmup * steps) < steps else max(rates) < 1


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    model = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12)
    draw = np.random.default_rng(0)
    data = Tokenised(draw.normal(size=(4, 8, 16)).astype(np.float16), [[4, 5, 6]] * 4)
    view = View(model, Structure.of(model), Plan(), 0)
    recipe = Training(batch=2)
    with pytest.raises(FloatingPointError, match=r"loss \(with Poison in it\) became nan"):
        fit(model, data, stream_order(4, 2, 0, 0, 3), recipe, Given(steps=3, seed=0, penalty=Poison(), view=view))


# --- a run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([Fit(steps=2), Prune(rule=Raises()), Fit(steps=2)], "KeyError: 'no such thing'"),
        (
            [Fit(steps=2), Fit(steps=2, penalty=Poison())],
            "FloatingPointError: training loss (with Poison in it) became nan",
        ),
    ],
)
def test_a_broken_method_fails_alone_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], said: str
) -> None:
    with_method(monkeypatch, "broken", steps)
    spec = {**SPEC, "grid": [{"methods": ["broken", "dense"]}]}
    outcome = benchmark.run(spec, out=tmp_path / "run", workers=0, quiet=True)
    (failed,) = outcome.failed
    assert failed.error.startswith(said)
    assert len(outcome.records) == 2
    assert any("Error" in line for line in failed.data["error"]["traceback"])


def test_what_is_no_step_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_method(monkeypatch, "wrong", [Fit(steps=4), Raises()])  # type: ignore[list-item]
    method = REGISTRY.get("method", "wrong")
    with pytest.raises(SpecError, match="yields Raises, which is no step"):
        checked_program("wrong", method, Budget(), 4)


MINE = """
import benchmark
from benchmark.api import Budget, Fit, Method

@benchmark.register("method", "mine")
class Mine(Method):
    \"\"\"Trains, and talks while it does.\"\"\"

    budgets = frozenset({"none"})

    def program(self, budget, total_steps):
        print('{"unit": "no event of ours"}')
        print({"a": 1})
        yield Fit(steps=total_steps)
"""


@pytest.mark.parametrize("where", ["module", "main"])
def test_a_method_registered_by_hand_runs_and_may_print(tmp_path: Path, where: str) -> None:
    spec = {**SPEC, "grid": [{"methods": ["mine"]}]}
    (tmp_path / "mine.py").write_text(MINE)
    first = MINE if where == "main" else "import mine"
    code = f"{first}\nimport benchmark\nif __name__ == '__main__':\n    outcome = benchmark.run({spec!r}, out='run')\n"
    (tmp_path / "script.py").write_text(code + "    assert len(outcome.records) == 1 and not outcome.failed\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(benchmark.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


# --- the cache ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_broken_node_is_made_again(tmp_path: Path, harm: str) -> None:
    tree = grow(Leaderboard.parse(SPEC, "a test"))
    (path,) = tree.cells
    shop = Workshop(tmp_path / "run")
    benchmark.run(SPEC, out=tmp_path / "run", workers=0, quiet=True)
    (first,) = records(tmp_path / "run")
    node = path.nodes[0]
    assert shop.has(node, optimizer=True)
    assert not shop.has(path.nodes[1], optimizer=False)  # a leaf is dropped when its cells are done
    file = shop.path(node) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100]) if harm == "cut" else file.unlink()
    with pytest.raises(NodeLost):
        shop.load(node)
    (first.path / "record.json").unlink()  # so the cell is open again, and needs the node
    outcome = benchmark.run(SPEC, out=tmp_path / "run", workers=0, quiet=True)
    assert not outcome.failed
    (again,) = records(tmp_path / "run")
    assert again.attempt != first.attempt and not first.path.exists()  # what was not committed is cleared away
    assert again.data["training"]["losses"] == first.data["training"]["losses"]
    assert again.data["training"]["trained_on"][0]["threads"] == 1
    assert len(again.data["training"]["data_hash"]) == 64


def test_a_leaf_that_another_leaderboard_needs_stays(tmp_path: Path) -> None:
    from benchmark.harness.place import Place
    from benchmark.harness.run import _tidy
    from benchmark.store.folders import keep_spec, open_run

    run = open_run(tmp_path / "run", create=True)
    tree = grow(Leaderboard.parse(SPEC, "a test"))
    other = {**SPEC, "corpus": {**SPEC["corpus"], "evaluate": {"test": 5}}}
    assert grow(Leaderboard.parse(other, "a test")).nodes.keys() == tree.nodes.keys()
    leaf = tree.cells[0].last
    assert leaf is not None
    Workshop(run).save(leaf, State())
    keep_spec(run, Leaderboard.parse(other, "a test").model_dump(mode="json"), [])
    _tidy(tree, Place(run))
    assert Workshop(run).has(leaf, optimizer=False)

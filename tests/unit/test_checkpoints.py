"""A Fit that is killed goes on from its checkpoint and ends with the bits of one that ran through."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.harness import checkpoints as module
from benchmark.harness.batches import stream_order
from benchmark.harness.bench import Bench
from benchmark.harness.checkpoints import MARK, Checkpoints, generators, restore
from benchmark.harness.execute import train_node
from benchmark.harness.state import Ledger, Workshop
from benchmark.harness.training import Given, Trained, fit
from benchmark.harness.tree import Tree, grow
from benchmark.pruning.penalties import SparseGroupLasso
from benchmark.specs import Leaderboard, Training
from benchmark.whisper.masking import Masker
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import drop_out, material, random_plan, tiny_whisper

pytestmark = pytest.mark.usefixtures("one_thread", "on_cpu")
LENGTHS = (2, 9, 5, 3, 11, 4, 2, 7)
STEPS, BATCH, EVERY, KILLED = 9, 4, 3, 7
PENALTY = SparseGroupLasso(solver="proximal", l1_enc=0.01, l1_dec=0.02, group_enc=0.03, group_dec=0.04)
ROOT = Path(__file__).resolve().parents[2]


def model_of(dropout: float = 0.2) -> Any:
    """With dropout: what is drawn after the checkpoint must be what would have been drawn."""
    model: Any = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12)
    drop_out(model, dropout)
    return model


def train(folder: Path | None, killed: int | None = None, accumulate: int = 1) -> tuple[Trained, Any]:
    """Train with everything that has a state: dropout (where batches are whole), moments, schedule, penalty, masks."""
    model = model_of(0.2 if accumulate == 1 else 0.0)
    structure = Structure.of(model)
    plan = random_plan(structure, seed=1)

    def progress(done: int, of: int) -> None:
        assert of == STEPS
        if done == killed:
            os.kill(os.getpid(), signal.SIGKILL)

    trained = fit(
        model,
        material(LENGTHS),
        stream_order(len(LENGTHS), BATCH, 0, 0, STEPS),
        Training(batch=BATCH, learning_rate=5e-3, weight_decay=0.1, warmup=0.4, accumulate=accumulate),
        Given(
            steps=STEPS,
            seed=3,
            penalty=PENALTY,
            view=View(model, structure, plan, 0),
            masker=Masker(model, structure, plan),
            progress=progress,
            checkpoints=None if folder is None else Checkpoints(folder, EVERY),
        ),
    )
    return trained, model


def assert_same(one: tuple[Trained, Any], other: tuple[Trained, Any]) -> None:
    for (name, ours), theirs in zip(one[1].state_dict().items(), other[1].state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    assert one[0].losses == other[0].losses and one[0].loss == other[0].loss
    for name, parts in one[0].optimizer.items():
        assert all(torch.equal(value, other[0].optimizer[name][part]) for part, value in parts.items()), name
    assert (one[0].steps, one[0].utterances, one[0].tokens) == (other[0].steps, other[0].utterances, other[0].tokens)


def kill_one(folder: Path) -> None:
    """Start a process that trains until step ``KILLED`` and is killed there."""
    code = (
        "import torch; torch.set_num_threads(1); torch.cuda.is_available = lambda: False\n"
        "from pathlib import Path; from tests.unit.test_checkpoints import train\n"
        f"train(Path({str(folder)!r}), killed={KILLED})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a killed process."""
    folder = tmp_path_factory.mktemp("killed") / "node"
    kill_one(folder)
    return folder


@pytest.fixture
def killed(left: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(left, tmp_path / "node")
    return tmp_path / "node"


def test_a_killed_fit_ends_with_the_bits_of_one_that_ran_through(
    killed: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [path.name for path in killed.iterdir()] == ["step-00000006"]  # the newest alone, of 3 and 6
    assert {path.suffix for path in (killed / "step-00000006").iterdir()} == {".safetensors", ".json"}
    seen: list[int] = []
    due = Checkpoints.due
    monkeypatch.setattr(Checkpoints, "due", lambda self, steps: bool(seen.append(steps)) or due(self, steps))
    again = train(killed)
    assert seen == [7, 8]  # only what was left was trained
    assert_same(again, train(None))
    assert "prunebench" not in capfd.readouterr().err


def test_what_trained_before_and_after_is_both_told(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = json.loads((killed / "step-00000006" / MARK).read_text())["trained_on"]
    assert [(one["device"], one["threads"], "commit" in one) for one in before] == [("cpu", 1, True)]
    later = {"device": "cuda", "threads": 4, "commit": "0000000"}
    monkeypatch.setattr("benchmark.harness.training.here", lambda: later)
    again, _ = train(killed)
    assert again.trained_on == [*before, later]
    elsewhere = {"device": "cuda", "threads": 2, "commit": None}
    ledger = Ledger(trained_on=[later, elsewhere]).after(again, taught=False)
    assert ledger.trained_on == [later, elsewhere, *before]


def test_one_that_accumulates_goes_on_too(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    whole = train(folder, accumulate=2)
    assert [path.name for path in folder.iterdir()] == ["step-00000006"]
    assert_same(train(folder, accumulate=2), whole)


def test_the_generators_matter(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test before would not see a state that nothing depends on."""
    monkeypatch.setattr("benchmark.harness.callback.restore", lambda found: None)
    assert train(killed)[0].losses != train(None)[0].losses


def _cut(place: Path) -> None:
    data = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(data[: len(data) // 2])


def _reheaded(place: Path) -> None:
    data = bytearray((place / "optimizer.safetensors").read_bytes())
    data[8:12] = b"\0\0\0\0"
    (place / "optimizer.safetensors").write_bytes(data)


def _other_model(place: Path) -> None:
    save_file({"x": torch.zeros(2)}, place / "model.safetensors")
    about = json.loads((place / MARK).read_text())
    about["sizes"]["model.safetensors"] = (place / "model.safetensors").stat().st_size
    (place / MARK).write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (_cut, "model.safetensors has"),
        (_reheaded, "header"),
        (_other_model, "weights are those of another model"),
        (lambda place: (place / "optimizer.safetensors").unlink(), "optimizer.safetensors"),
        (lambda place: (place / MARK).write_text("{"), "Expecting"),
        (lambda place: (place / MARK).write_text("[]"), "indices"),
    ],
    ids=["cut", "header", "other model", "missing", "no json", "no mapping"],
)
def test_a_broken_checkpoint_is_named_and_the_fit_starts_again(
    broken: Any, said: str, killed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken(killed / "step-00000006")
    again = train(killed)
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("prunebench: ")]
    assert len(told) == 1 and str(killed / "step-00000006") in told[0] and said in told[0]
    assert told[0].endswith("it is deleted and the Fit starts again")
    assert_same(again, train(None))


def test_one_that_was_being_written_is_passed_over_for_the_one_before(killed: Path) -> None:
    half = killed / "step-00000009"
    half.mkdir()
    save_file({"x": torch.zeros(2)}, half / "model.safetensors")
    assert_same(train(killed), train(None))


def test_a_full_disk_ends_the_checkpoints_and_not_the_fit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    done = train(tmp_path / "node")
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert_same(done, train(None))
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("prunebench: ")]
    assert len(told) == 1 and "No space left" in told[0] and "goes on without further ones" in told[0]
    assert not list((tmp_path / "node").iterdir())


def test_generators_come_back_with_what_they_would_have_drawn() -> None:
    random.gauss(0, 1), np.random.normal()  # both keep a second number back
    found = generators()

    def draw() -> list[float]:
        numbers = [random.random(), random.gauss(0, 1), np.random.normal(), np.random.rand(), float(torch.rand(1))]
        return [*numbers, np.random.normal(), random.gauss(0, 1)]

    first = draw()
    assert draw() != first
    restore(found)
    assert draw() == first


# --- nodes ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree() -> Tree:
    recipe = {"steps": STEPS, "batch": BATCH, "learning_rate": 5e-3, "checkpoint_every": EVERY}
    spec = {"grid": [{"methods": [{"name": "dense", "options": {"split": 0.5}}]}], "training": recipe}
    return grow(Leaderboard.model_validate(spec))


@pytest.fixture
def bench(tree: Tree) -> Bench:
    made = Bench(tree.spec)
    made.__dict__["_loaded"] = (model_of(), None)
    made.material = material(LENGTHS)
    return made


def weights(shop: Workshop, node: str) -> dict[str, torch.Tensor]:
    return load_file(shop.path(node) / "model.safetensors")


def test_a_finished_node_leaves_no_checkpoint_and_an_interrupted_one_goes_on(
    tree: Tree, bench: Bench, tmp_path: Path
) -> None:
    first = next(iter(tree.nodes.values()))
    whole, broken = Workshop(tmp_path / "whole"), Workshop(tmp_path / "broken")
    train_node(first, tree, bench, whole, 0, None)
    assert not list((whole.run / "work" / "checkpoints").iterdir())
    seen: list[int] = []

    def interrupt(done: int, of: int) -> None:
        seen.append(done)
        if seen == [1, 2, 3, 4]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_node(first, tree, bench, broken, 0, interrupt)
    places = list((broken.run / "work" / "checkpoints" / first.id).iterdir())
    assert [place.name for place in places] == ["step-00000003"]
    train_node(first, tree, bench, broken, 0, interrupt)
    assert seen[4:] == list(range(4, first.fit.steps + 1))
    assert not (broken.run / "work" / "checkpoints" / first.id).exists()
    theirs = weights(whole, first.id)
    assert all(torch.equal(value, theirs[name]) for name, value in weights(broken, first.id).items())
    ours, expected = (shop.load(first.id).ledger for shop in (broken, whole))
    assert (ours.steps, ours.tokens, ours.losses) == (expected.steps, expected.tokens, expected.losses)

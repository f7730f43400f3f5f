"""Trackers: TensorBoard where it is installed, others where they are asked for, and nothing imported otherwise."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainerCallback

from benchmark.cli.main import invoke
from benchmark.errors import SpecError
from benchmark.harness import trackers as module
from benchmark.harness.batches import Tokenised, stream_order
from benchmark.harness.checkpoints import Checkpoints
from benchmark.harness.trackers import logging_into, trackers
from benchmark.harness.training import Given, fit
from benchmark.spec_files import as_spec
from benchmark.specs import Training
from tests.tiny import tiny_whisper

NAMES = ("tensorboard", "mlflow", "wandb")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have just these trackers installed."""

    def only(*names: str) -> None:
        monkeypatch.setattr(module, "_installed", lambda name: name in names)

    return only


def test_tensorboard_is_told_by_default_where_it_is_installed(install: Callable[..., None]) -> None:
    install("tensorboard", "mlflow", "wandb")
    assert trackers(Training()) == ["tensorboard"]
    assert trackers(Training(report_to=())) == []
    assert trackers(Training(report_to=("wandb", "mlflow", "wandb"))) == ["wandb", "mlflow"]
    install("mlflow")
    assert trackers(Training()) == []


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_asked_for_and_missing_is_an_error_with_its_extra(name: Any, install: Callable[..., None]) -> None:
    install()
    said = rf"^training\.report_to: {name} is not installed; pip install 'prunebench\[{name}\]', or leave it out$"
    with pytest.raises(SpecError, match=said):
        trackers(Training(report_to=(name,)))
    spec = as_spec("tiny")
    with pytest.raises(SpecError, match=said):  # when the spec is checked, not after an hour
        as_spec(spec.model_copy(update={"training": Training(report_to=(name,))}))


def test_the_command_line_says_it_in_one_line(
    install: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install()
    flags = ["run", "tiny", "--report-to", "mlflow", "--out", str(tmp_path / "run")]
    assert invoke(flags) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_a_folder_that_has_a_trackers_name_is_no_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B leaves ``./wandb`` where it ran."""
    (tmp_path / "prunebench_no_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("prunebench_no_tracker") is not None
    assert not module._installed("prunebench_no_tracker")


def test_nothing_is_imported_for_a_spec_that_is_checked_or_a_fit_that_tells_nobody() -> None:
    code = (
        "import sys, benchmark; from benchmark.spec_files import as_spec; as_spec('tiny')\n"
        "assert 'torch' not in sys.modules\n"
        "import benchmark.harness.training\n"
        f"assert not {{*{NAMES!r}}} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# --- in a Fit ---------------------------------------------------------------------------------------------------------


def train(logs: Path | None, recipe: Training, checkpoints: Checkpoints | None = None, stop: int | None = None) -> Any:
    model = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12)
    draw = np.random.default_rng(0)
    data = Tokenised(draw.normal(size=(6, 8, 16)).astype(np.float16), [[4, 5, 6]] * 6)

    def progress(done: int, of: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    order = stream_order(6, 2, 0, 0, 6)
    held: dict[str, Any] = {"checkpoints": checkpoints, "logs": logs, "progress": progress}
    return fit(model, data, order, recipe, Given(steps=6, seed=0, **held))


class Told(TrainerCallback):
    """Stands in for a tracker: notes what it is told, and where it would write."""

    seen: list[tuple[int, float]]
    places: dict[str, str]

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        Told.places = {name: os.environ[name] for name in ("TENSORBOARD_LOGGING_DIR", "MLFLOW_TRACKING_URI")}
        Told.places["run"] = args.run_name
        if "loss" in logs:
            Told.seen.append((state.global_step, float(logs["loss"])))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, install: Callable[..., None]) -> type[Told]:
    import transformers.trainer as library

    install("tensorboard")
    Told.seen, Told.places = [], {}
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(library, "get_reporting_integration_callbacks", lambda names: [Told] if names else [])
    assert issubclass(Trainer, object)
    return Told


def test_a_tracker_is_told_every_loss_in_a_folder_of_the_fit(told: type[Told], tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "node"
    done = train(folder, Training(batch=2))
    assert [step for step, _ in told.seen] == [1, 2, 3, 4, 5, 6]
    assert [loss for _, loss in told.seen] == pytest.approx(done.losses, rel=1e-4)
    assert told.places == {
        "TENSORBOARD_LOGGING_DIR": str(folder),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder.resolve()}/mlflow.db",
        "run": "node",
    }
    assert folder.is_dir() and "TENSORBOARD_LOGGING_DIR" not in os.environ and "MLFLOW_TRACKING_URI" not in os.environ


def test_nobody_is_told_where_nobody_is_to_be(told: type[Told], tmp_path: Path) -> None:
    quiet = train(tmp_path / "logs", Training(batch=2, report_to=()))
    assert not told.seen and not (tmp_path / "logs").exists()
    assert train(None, Training(batch=2)).losses == quiet.losses
    assert not told.seen
    assert train(tmp_path / "logs", Training(batch=2)).losses == quiet.losses  # being told changes nothing


def test_a_resumed_fit_goes_on_counting(told: type[Told], tmp_path: Path) -> None:
    points = Checkpoints(tmp_path / "points", 2)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "logs", Training(batch=2), points, stop=5)
    before = list(told.seen)
    train(tmp_path / "logs", Training(batch=2), points)
    assert [step for step, _ in told.seen] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in before] == [1, 2, 3, 4]


def test_a_place_that_the_user_has_said_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker.example")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    with logging_into(tmp_path, ["mlflow"]):
        assert os.environ["MLFLOW_TRACKING_URI"] == "http://tracker.example"
        assert os.environ["WANDB_DIR"] == str(tmp_path)
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://tracker.example" and "WANDB_DIR" not in os.environ


@pytest.mark.parametrize("theirs", [False, True])
def test_a_run_of_wandb_ends_with_its_fit_and_one_of_the_users_stays(
    theirs: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended: list[str] = []
    wandb = SimpleNamespace(
        run=object() if theirs else None, finish=lambda: ended.append("run"), teardown=lambda: ended.append("session")
    )
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    with logging_into(tmp_path, ["wandb"]):
        wandb.run = object()
    assert ended == ([] if theirs else ["run", "session"])


def test_a_fit_that_fails_before_wandb_is_imported_fails_with_its_own_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(SpecError, match="no GPU"), logging_into(tmp_path, ["wandb"]):
        raise SpecError("no GPU")


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_tensorboard_itself_writes_the_curve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = train(tmp_path / "node", Training(batch=2))
    events = EventAccumulator(str(tmp_path / "node"))
    events.Reload()
    curve = [(one.step, one.value) for one in events.Scalars("train/loss")]
    assert [step for step, _ in curve] == [1, 2, 3, 4, 5, 6]
    assert [value for _, value in curve] == pytest.approx(done.losses, rel=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
def test_mlflow_itself_keeps_one_run_a_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sqlite3

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for node in ("one", "two"):  # in one process, as a worker has them
        done = train(tmp_path / node, Training(batch=2, report_to=("mlflow",)))
        kept = sqlite3.connect(tmp_path / node / "mlflow.db")
        assert kept.execute("select name, status from runs").fetchall() == [(node, "FINISHED")]
        curve = kept.execute("select step, value from metrics where key = 'loss' order by step").fetchall()
        assert [step for step, _ in curve] == [1, 2, 3, 4, 5, 6]
        assert [value for _, value in curve] == pytest.approx(done.losses, rel=1e-4)

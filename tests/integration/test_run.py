"""The main job in miniature, on the real embedded model: run, kill, run again, two at once, load the artefacts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import benchmark
from benchmark.errors import DataError, SpecError
from benchmark.spec_files import load_spec
from benchmark.specs import Leaderboard
from benchmark.store.records import Record, latest, records
from benchmark.whisper.plan import Plan

SPEC = {
    "name": "small",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 16}},
    "grid": [
        {"methods": ["shipped", "dense"], "budget": "none"},
        {"methods": ["magnitude", "imp"], "budget": "prunable_nominal", "keep": [0.6]},
        {"methods": ["l1_group", "sgl_adaptive"], "budget": "prunable_stored", "keep": [0.6]},
    ],
    "training": {"steps": 8, "batch": 4, "utterances": 32},
    "profile": None,
}


@pytest.fixture(scope="module")
def spec_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "small.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    return path


@pytest.fixture(scope="module")
def whole(spec_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted, in this process, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    outcome = benchmark.run(_spec(spec_file), out=folder, workers=0, quiet=True)
    torch.set_num_threads(threads)
    assert len(outcome.records) == 6
    assert not outcome.failed
    return folder


def _spec(path: Path) -> Leaderboard:
    return load_spec(path)


def _start(spec: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmark", "run", str(spec), "--out", str(out), "--workers", "2"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _meaning(record: Record) -> tuple[object, ...]:
    """What must be equal between two runs: everything but times and places."""
    texts = [tuple(record.transcripts(split)["hypothesis"]) for split in record.data["data"]]
    counts = {key: value for key, value in record.data["counts"].items() if key != "bytes"}
    hashes = {split: data["hash"] for split, data in record.data["data"].items()}
    return record.cell, record.data["plan"], counts, hashes, texts, record.data["training"]["losses"]


def test_a_killed_run_goes_on_and_ends_with_the_same_records(whole: Path, spec_file: Path, tmp_path: Path) -> None:
    killed = _start(spec_file, tmp_path / "run")
    marks = tmp_path / "run" / "runs"
    while len(list(marks.glob("*/*/record.json"))) < 2:
        try:
            killed.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail("the run ended before it could be killed")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = {record.attempt for record in records(tmp_path / "run")}
    assert 2 <= len(before) < 6

    # Two processes go on in the same folder at once: between them, nothing is done twice.
    both = [_start(spec_file, tmp_path / "run") for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    after = records(tmp_path / "run")
    assert before < {record.attempt for record in after}
    assert len(after) == 6
    assert sorted(map(_meaning, after), key=str) == sorted(map(_meaning, latest(whole)), key=str)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus": {"name": "synthetic-ta", "evaluate": {"test": 4}}}, "does not know the language 'ta'"),
        ({"decoding": {"max_new_tokens": 5000}}, "this model has room for 60"),
    ],
)
def test_a_request_that_cannot_be_met_leaves_nothing(tmp_path: Path, changes: dict, said: str) -> None:
    spec = Leaderboard.parse({**SPEC, "training": {"steps": 8, "utterances": 4}, **changes}, "a test")
    with pytest.raises(SpecError, match=said):
        benchmark.run(spec, out=tmp_path / "run", workers=1, quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_transcript_that_is_too_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmark.harness.bench as bench

    honest = bench.tokenise
    monkeypatch.setattr(bench, "tokenise", lambda *asked: [*honest(*asked)[:-1], [5] * 65])
    with pytest.raises(DataError, match=r"utterance \S+ of split 'train': its transcript is 65 tokens long"):
        benchmark.run(Leaderboard.parse(SPEC, "a test"), out=tmp_path / "run", workers=0, quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_second_call_computes_nothing(whole: Path, spec_file: Path) -> None:
    before = {record.attempt for record in records(whole)}
    benchmark.run(_spec(spec_file), out=whole, workers=0, quiet=True)
    assert {record.attempt for record in records(whole)} == before


def test_artefacts_load_and_pruned_weights_are_exactly_zero(whole: Path) -> None:
    for record in latest(whole):
        model = benchmark.load(record.path)
        plan = Plan.load(record.path / "plan.safetensors")
        counts = record.data["counts"]
        assert sum(p.numel() for p in model.parameters()) == counts["params_stored"]
        if record.data["spec"]["method"]["name"] in ("magnitude", "imp"):
            name, mask = next(iter(plan.masks.items()))
            assert (model.get_parameter(name)[~mask] == 0).all()
            assert counts["params_stored"] == counts["params_dense"]
        if record.data["spec"]["method"]["name"] in ("l1_group", "sgl_adaptive"):
            assert counts["params_stored"] < counts["params_dense"]


def test_costs_are_stated_and_equal(whole: Path) -> None:
    for record in latest(whole):
        trained = record.data["spec"]["method"]["name"] != "shipped"
        assert record.data["training"]["steps"] == (8 if trained else 0)
        assert record.data["training"]["utterances"] == (32 if trained else 0)
        assert record.data["environment"]["threads"] >= 1


def test_a_failed_cell_is_recorded_as_failed_and_tried_again(
    spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import benchmark.harness.execute as execute
    from benchmark.errors import BudgetMissedError

    spec = _spec(spec_file)
    only = spec.model_copy(update={"grid": spec.grid[1:2]})

    def miss(*_: object, **__: object) -> None:
        raise BudgetMissedError("missed on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(execute, "check_budget", miss)
        outcome = benchmark.run(only, out=tmp_path, workers=0, quiet=True)
    assert [record.error for record in outcome.failed] == ["BudgetMissedError: missed on purpose"] * 2
    again = benchmark.run(only, out=tmp_path, workers=0, quiet=True)
    assert not again.failed
    assert len(records(tmp_path)) == 4

"""Test audio that is in the training pool too: told before a run, and in the records of what was trained on it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

import benchmark
from benchmark.harness.bench import Bench
from benchmark.specs import Leaderboard
from benchmark.store.frame import frame
from reports._notes import notes


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leaderboard:
    """Three utterances in training; of the two in the test, one is the same audio by another name."""
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for split, tones in {"train": (1, 2, 3), "test": (3, 4)}.items():
        rows = ["audio\ttext"]
        for tone in tones:
            name = f"{split}-{tone}.wav"
            soundfile.write(tmp_path / "data" / name, 0.3 * np.sin(np.arange(8000) * 0.05 * tone), 16_000)
            rows.append(f"{name}\tराम")
        (tmp_path / "data" / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    options = {"path": str(tmp_path / "data"), "language": "hi"}
    return Leaderboard.parse(
        {
            "name": "heard",
            "corpus": {"name": "manifest", "options": options, "evaluate": {"test": None}},
            "grid": [{"methods": ["shipped", "dense"]}],
            "training": {"steps": 2, "batch": 2},
            "profile": None,
        },
        "a test",
    )


def test_it_is_told_before_the_run(spec: Leaderboard, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Bench(spec).prepare()
    assert "manifest: 1 of 2 utterances of test are in train too, by their audio" in caplog.text


def test_records_of_what_was_trained_say_so(spec: Leaderboard, tmp_path: Path) -> None:
    outcome = benchmark.run(spec, out=tmp_path / "run", workers=0, quiet=True)
    found = {record.data["spec"]["method"]["name"]: record.data["data"]["test"] for record in outcome.records}
    assert found["dense"]["in_training"] == 1 and "in_training" not in found["shipped"]


def test_boards_say_so(spec: Leaderboard, tmp_path: Path) -> None:
    benchmark.run(spec, out=tmp_path / "run", workers=0, quiet=True)
    table = frame(tmp_path / "run", normalizer="identity")
    assert dict(zip(table["method"], table["test_in_training"], strict=True)) == {"shipped": 0, "dense": 1}
    assert any("2 utterances" in note and ", 1 HEARD IN TRAINING TOO" in note for note in notes(table))

"""The timing of one record: measured beside dense where it is not known yet, and read where it is."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
from transformers import StaticCache

import benchmark
from benchmark.errors import StoreError
from benchmark.harness import run as harness
from benchmark.harness import timing
from benchmark.measure.decoding import Decoding
from benchmark.measure.memory import Peaks
from benchmark.specs import CorpusSpec, Leaderboard, ProfileSpec
from benchmark.store.records import MODEL
from benchmark.store.timings import read_timing, timings, write_timing
from benchmark.whisper.files import load

SPEC: dict[str, Any] = {
    "name": "timed",
    "corpus": {"name": "synthetic-hi", "evaluate": {"dev": 2}},
    "grid": [{"methods": ["shipped"]}],
    "profile": None,
}
SETTINGS = ProfileSpec(utterances=2, batch=2, repeats=3, seconds=0.01)


def test_a_record_is_timed_once_on_a_device_and_with_these_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, corpus = tmp_path / "run", CorpusSpec(**SPEC["corpus"])
    (record,) = benchmark.run(SPEC, out=run, workers=0, quiet=True).records
    row = timing.time_one(record, run, SETTINGS, corpus)
    assert (row["cell"], row["attempt"], row["batch"]) == (record.cell, record.attempt, 2)
    assert row["rtfx"] > 0 and row["speedup"] > 0 and row["encoder_ms"] > 0
    (found,) = timings(run)
    assert {one["batch"] for one in found["rows"]} == {1, 2}

    def never(*_: Any, **__: Any) -> None:
        pytest.fail("it was timed again")

    monkeypatch.setattr(timing, "time_records", never)
    (record.path / MODEL).unlink()
    assert timing.time_one(record, run, SETTINGS, corpus) == row  # known, with or without a model
    newer = [{**one, "speedup": 7.0} for one in found["rows"]]
    write_timing(run, found["device"], newer, found["about"])
    write_timing(run, "another device", [{**newer[-1], "speedup": 9.0}], found["about"])
    assert timing.time_one(record, run, SETTINGS, corpus)["speedup"] == 7.0  # the newest of this device
    monkeypatch.undo()
    with pytest.raises(StoreError, match="kept no model, so it cannot be timed"):
        timing.time_one(record, run, SETTINGS.model_copy(update={"repeats": 4}), corpus)


def test_a_leaderboard_is_timed_with_the_cache_of_its_spec_and_one_artefact_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = {"steps": 2, "batch": 2, "utterances": 4}
    spec = {**SPEC, "grid": [{"methods": ["shipped", "int8"]}], "training": training, "profile": SETTINGS.model_dump()}
    short = {"max_new_tokens": 4}
    static = {**spec, "decoding": {**short, "cache": "static"}}
    run, asked = tmp_path / "run", Leaderboard.parse(static, "the test")
    benchmark.run(static, out=run, workers=0, quiet=True)
    opened: list[weakref.ref[Any]] = []
    caches: list[Any] = []

    def watched(path: Path) -> Any:
        assert all(one() is None for one in opened), "the artefact before is in memory yet"
        model = load(path)
        model.register_forward_pre_hook(
            lambda _, args, kwargs: caches.append(kwargs.get("past_key_values")), with_kwargs=True
        )
        opened.append(weakref.ref(model))
        return model

    def measured(folders: list[Path], *_: Any, decoding: Decoding, batches: list[int], **__: Any) -> list[Peaks]:
        return [Peaks(dict.fromkeys(batches, len(decoding.cache))) for _ in folders]

    monkeypatch.setattr(timing, "load", watched)
    monkeypatch.setattr(timing, "peak_memory", measured)
    (path,) = harness.profile(run, asked, quiet=True)
    assert len(opened) == 2 and all(one() is None for one in opened)
    assert {type(one.self_attention_cache) for one in caches if one is not None} == {StaticCache}
    rows = read_timing(path)["rows"]
    assert {row["cache"] for row in rows} == {"static"} and {row["peak_memory"] for row in rows} == {len("static")}
    assert path.parent.name.endswith("-t1-static-cache")
    assert not harness.profile(run, asked, quiet=True), "timed already, whatever threads this process has"
    (plain,) = harness.profile(run, asked.model_copy(update={"decoding": Decoding(**short)}), quiet=True)
    assert {row["cache"] for row in read_timing(plain)["rows"]} == {"dynamic"}
    (again,) = harness.profile_folder(run, run, SETTINGS, quiet=True)
    assert {row["cache"] for row in read_timing(again)["rows"]} == {"static"}, "the kept spec says so"

"""The timing of one record: measured beside dense where it is not known yet, and read where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import benchmark
from benchmark.errors import StoreError
from benchmark.harness import timing
from benchmark.specs import CorpusSpec, ProfileSpec
from benchmark.store.records import MODEL
from benchmark.store.timings import timings, write_timing

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

"""What a card says of a record: scores against dense as the leaderboard has them, times, versions, limits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmark.harness.describing import about
from benchmark.harness.exporting import Source
from benchmark.measure.bootstrap import paired
from benchmark.measure.scores import Normalised, scored
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from benchmark.store.records import Record, read_record
from benchmark.store.timings import write_timing
from benchmark.whisper.card import About, Score
from tests.fake_runs import commit, ok_data, spec
from tests.tiny import tiny_whisper

CORPUS = {
    "name": "synthetic-hi",
    "version": "1",
    "language": "hi",
    "options": {},
    "train": "train",
    "evaluate": {"test": 80},
}


def told(record: Record, normalizer: str | None = "identity") -> About:
    return about(Source(tiny_whisper(), None, "a name", record), "prunebench export x", normalizer)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    run = open_run(tmp_path_factory.mktemp("fake") / "run", create=True)
    found = {}
    for name, cell, error in (
        ("dense", spec(corpus=CORPUS), 0.05),
        ("another dense", spec(corpus=CORPUS, seed=1), 0.5),
        ("stored", spec("l1_group", "prunable_stored", 0.6, corpus=CORPUS), 0.2),
        ("mask", spec("magnitude", "prunable_nominal", 0.6, corpus=CORPUS), 0.1),
        ("untrained", spec("shipped", training=None, corpus=CORPUS), 0.07),
    ):
        found[name] = commit(run, ok_data(cell), error)
    rows: list[dict[str, Any]] = [
        {
            **{"cell": found[name].cell, "attempt": found[name].attempt, "batch": batch, "utterances": 32},
            **{"speedup": 1.5, "speedup_lo": 1.4, "speedup_hi": 1.6, "encoder_ms": 2.0, "peak_memory": 10**6},
            **{"rtfx": rtfx, "rtfx_lo": 90.0, "rtfx_hi": 110.0},
        }
        for name, batch, rtfx in (("stored", 8, 100.0), ("stored", 1, 50.0), ("mask", 8, 99.0))
    ]
    write_timing(run, "this-cpu", rows)
    write_timing(run, "another-cpu", rows[:1])
    write_timing(run, "this-cpu", [rows[0] | {"rtfx": 120.0, "peak_memory": None}])
    return found


def main_score(found: About) -> Score:
    (score,) = (one for one in found.scores if (one.split, one.metric) == ("test", "wer"))
    return score


def test_the_difference_is_paired_with_the_dense_of_its_seed(cells: dict[str, Record]) -> None:
    score = main_score(told(cells["stored"]))
    ours, dense = (scored(cells[name], "test", Normalised("identity")).main for name in ("stored", "dense"))
    expected = paired(ours.errors, dense.errors, ours.lengths)
    assert score.difference == pytest.approx((expected.difference, expected.lo, expected.hi))
    assert score.rate == pytest.approx(ours.errors.sum() / ours.lengths.sum())
    assert score.interval is not None and score.interval[0] < score.rate < score.interval[1]
    assert told(cells["stored"]).compared.startswith(f"cell `{cells['dense'].cell}`: the same model, data and seed")
    assert main_score(told(cells["dense"])).difference is None and told(cells["dense"]).compared == ""
    untrained = told(cells["untrained"])
    assert main_score(untrained).difference is not None and "which this is not" in untrained.compared


def test_it_says_what_the_leaderboard_says(cells: dict[str, Record]) -> None:
    table = frame(cells["mask"].path.parents[2], "identity").set_index("cell")
    row = table.loc[cells["mask"].cell]
    for score in told(cells["mask"]).scores:
        name = f"{score.split.replace('-', '_')}_{score.metric}"
        ends = [row[name + end] for end in ("", "_lo", "_hi", "_delta", "_delta_lo", "_delta_hi")]
        assert score.interval is not None and score.difference is not None
        assert [score.rate, *score.interval, *score.difference] == pytest.approx(ends)
        assert score.utterances == row[f"{score.split.replace('-', '_')}_utterances"]
    drawn = {score.split: score.resampled for score in told(cells["mask"]).scores}
    assert drawn == {"test": "80 utterances", "test-unseen-voice": "40 utterances"}  # one speaker said them all


def test_each_metric_has_its_own_unit_in_its_signature(cells: dict[str, Record]) -> None:
    by_metric = {score.metric: score.signature for score in told(cells["mask"]).scores}
    assert by_metric["wer"].startswith("wer|identity:1|word|greedy,max=44|prunebench:")
    assert by_metric["cer"] == by_metric["wer"].replace("wer|", "cer|", 1).replace("|word|", "|char|", 1)
    (own,) = {scored(cells["mask"], "test", Normalised("identity")).signature}
    assert by_metric["wer"] == own


def test_times_are_the_newest_of_the_attempt_by_device_and_batch(cells: dict[str, Record]) -> None:
    found = {(one.device, one.batch): one for one in told(cells["stored"]).timings}
    assert sorted(found) == [("another-cpu", 8), ("this-cpu", 1), ("this-cpu", 8)]
    assert (found["this-cpu", 8].rtfx, found["this-cpu", 8].peak_memory) == (120.0, None)
    assert (found["this-cpu", 1].rtfx, found["this-cpu", 1].peak_memory) == (50.0, 10**6)
    assert told(cells["dense"]).timings == ()


def test_what_it_does_not_say_is_said(cells: dict[str, Record]) -> None:
    assert any("masks make a model neither smaller nor faster" in line for line in told(cells["mask"]).limits)
    assert not any("masks" in line for line in told(cells["stored"]).limits)
    assert any("One training run (seed 0)" in line for line in told(cells["stored"]).limits)
    assert told(cells["untrained"]).limits == ()
    (made,) = (line for line in told(cells["stored"]).made if line.startswith("Made by"))
    assert "(commit 0000000)" in made and "on fake-cpu, 1 thread" in made


def test_an_attempt_that_lies_alone_has_its_own_interval(cells: dict[str, Record], tmp_path: Path) -> None:
    record = cells["stored"]
    alone = tmp_path / "runs" / record.cell / record.attempt
    shutil.copytree(record.path, alone)
    found = told(read_record(alone))
    assert main_score(found).difference is None and main_score(found).interval is not None
    assert main_score(found).resampled == "80 utterances"
    assert (found.timings, found.compared) == ((), "") and found.recipe is not None and found.recipe.spec is not None
    assert told(read_record(alone), None).scores == ()


def test_an_older_attempt_is_not_given_the_numbers_of_a_newer_one(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec(corpus=CORPUS)), 0.05)
    cell = spec("l1_group", "prunable_stored", 0.6, corpus=CORPUS)
    older = commit(run, ok_data(cell), 0.2)
    commit(run, ok_data(cell), 0.4)
    score = main_score(told(older))
    assert score.difference is None and score.rate == pytest.approx(0.2, abs=0.1)

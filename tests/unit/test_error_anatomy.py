"""Kinds of error add up to the error rate, and are those that jiwer counts."""

from __future__ import annotations

import re
from pathlib import Path

import jiwer
import pandas as pd
import pytest

from benchmark.errors import NothingToReportError
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from benchmark.store.records import latest
from reports._content import boards
from reports.errors import Errors
from tests.fake_runs import commit, fail, make, ok_data, spec


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("anatomy") / "run", keeps=(0.6, 0.4))


def test_kinds_are_those_that_jiwer_counts(run: Path, tmp_path: Path) -> None:
    table = frame(run, normalizer="identity")
    paths = {path.suffix: path for path in Errors().write(table, tmp_path)}
    assert set(paths) == {".md", ".csv", ".png", ".svg"}
    told = pd.read_csv(paths[".csv"]).set_index("entry")
    records = {record.cell: record for record in latest(run)}
    done = table[table["status"] == "ok"]
    assert len(told) == len(done) == 15
    for row in done.itertuples():
        texts = records[row.cell].transcripts("test")
        counted = jiwer.process_words(texts["reference"].tolist(), texts["hypothesis"].tolist())
        words = counted.hits + counted.substitutions + counted.deletions
        one = told.loc[row.entry]
        for kind in ("substitutions", "deletions", "insertions"):
            assert one[kind] == pytest.approx(getattr(counted, kind) / words)
        assert one["error"] == pytest.approx(counted.wer)
        assert one["length"] == pytest.approx(sum(map(len, counted.hypotheses)) / words)
        assert one["runaway"] == texts["truncated"].sum()
    assert "insertions %" in paths[".md"].read_text() and paths[".png"].read_bytes().startswith(b"\x89PNG")


def test_all_seeds_are_counted(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    for seed, error in enumerate((0.1, 1.9, 0.4)):
        commit(run, ok_data(spec("imp", "prunable_nominal", 0.5, seed=seed)), error, {"test": 30})
    fail(run, spec("imp", "prunable_nominal", 0.5, seed=3), "too far")
    table = frame(run, normalizer="identity")
    (board,) = boards(table)
    paths = Errors().write(table, tmp_path)
    (one,) = pd.read_csv(paths[1]).to_dict("records")
    texts = [record.transcripts("test") for record in latest(run) if record.ok]
    sides = ([text for some in texts for text in some[side]] for side in ("reference", "hypothesis"))
    counted = jiwer.process_words(*sides)
    words = counted.hits + counted.substitutions + counted.deletions
    for kind in ("substitutions", "deletions", "insertions"):
        assert one[kind] == pytest.approx(getattr(counted, kind) / words)
    assert one["error"] == pytest.approx(board.rows["test_error"].squeeze())
    assert one["length"] == pytest.approx(sum(map(len, counted.hypotheses)) / words)
    assert one["runaway"] == sum(some["truncated"].sum() for some in texts) > 0 and one["seeds"] == 3
    assert re.search(r"\| imp +\| mask +\| +50 % \| +3 \|", paths[0].read_text())


def test_nothing_finished(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    fail(run, spec("imp", "prunable_nominal", 0.5), "too far")
    with pytest.raises(NothingToReportError, match="no finished cell with a budget"):
        Errors().write(frame(run, normalizer="identity"), tmp_path / "out")
    assert not (tmp_path / "out").exists()

"""A record of status ``pruned``: checked, never a result, merged, shown as stopped, and never counted as failed."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmark.cli.main import invoke
from benchmark.errors import NothingToReportError, StoreError
from benchmark.harness.tree import grow
from benchmark.registry import REGISTRY
from benchmark.spec_files import load_spec
from benchmark.store.files import to_json
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from benchmark.store.merging import merge
from benchmark.store.naming import short_hash
from benchmark.store.records import Attempt, Record, finished, latest, read_record, records
from reports.languages import grids
from tests.fake_runs import Plain, commit, fail, ok_data, spec

WATCHED = {"split": "dev", "utterances": 100, "signature": "wer|...", "values": [[40, 0.9], [80, 0.7]]}


def stop(run: Path, cell_spec: dict[str, Any], cell: str | None = None, **changes: Any) -> Record:
    """Write one attempt that was stopped."""
    attempt = Attempt.create(run, cell or short_hash(cell_spec) * 2, cell_spec)
    stopped = {"at": 80, "of": 120, "reason": "worse than the median"}
    training = {"steps": 80, "utterances": 1280, "tokens": 9000, "seconds": 8.0, "losses": [1.0], "nodes": []}
    told = {"status": "pruned", "error": None, "stopped": stopped, "watched": WATCHED, "training": training}
    return attempt.commit({**told, "spec": cell_spec, **changes})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return open_run(tmp_path / "run", create=True)


def test_it_is_no_result_and_gives_way_to_one(run: Path) -> None:
    one = spec("magnitude", "prunable_nominal", 0.6)
    record = stop(run, one)
    assert (record.ok, record.failed, record.stopped) == (False, False, True)
    assert record.error == "stopped at step 80 of 120: worse than the median"
    assert finished(run, record.cell) is None and latest(run) == [record]
    failed = fail(run, one, "too far")
    assert latest(run) == [failed] and (failed.failed, failed.stopped) == (True, False)  # the newest
    done = commit(run, ok_data(one, nominal=0.6), 0.1, {"test": 5})
    again = stop(run, one)
    assert latest(run) == [done] and again.attempt > done.attempt
    assert (done.failed, done.stopped, done.error) == (False, False, "")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stopped": None}, "lacks 'stopped'"),
        ({"watched": None}, "lacks 'watched'"),
        ({"stopped": [80, 120]}, "'stopped' holds"),
        ({"stopped": {"at": 80, "of": 120}}, "'stopped' lacks 'reason'"),
        ({"watched": {"split": "dev"}}, "'watched' lacks 'signature'"),
    ],
)
def test_what_it_must_say(run: Path, change: dict[str, Any], says: str) -> None:
    record = stop(run, spec())
    path = record.path / "record.json"
    path.write_text(to_json(json.loads(path.read_text()) | change))
    with pytest.raises(StoreError, match=says):
        read_record(path)


def test_it_is_merged_like_any_other(run: Path, tmp_path: Path) -> None:
    record = stop(run, spec())
    assert merge([run], tmp_path / "both").attempts == 1
    (copied,) = records(tmp_path / "both")
    assert copied.data == record.data


def test_reports_say_where_it_was_stopped_and_call_it_no_failure(run: Path, tmp_path: Path) -> None:
    commit(run, ok_data(spec()), 0.1, {"test": 5})
    stop(run, spec("magnitude", "prunable_nominal", 0.6))
    table = frame(run, normalizer=Plain())
    row = table[table["method"] == "magnitude"].iloc[0]
    assert (row["status"], row["steps"]) == ("pruned", 80)
    assert row["error"] == "stopped at step 80 of 120: worse than the median"
    assert row[["reached", "test_wer", "rank"]].isna().all()
    for name in REGISTRY.names("report"):
        with suppress(NothingToReportError):
            REGISTRY.get("report", name).write(table, tmp_path / "out")
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    console = Console(width=250, file=io.StringIO(), force_terminal=False)
    REGISTRY.get("report", "table").show(table, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for said in (text, page, shown):
        assert "stopped at step 80 of 120: worse than the median" in said and "FAILED" not in said
        assert "1 cell of a study stopped while training: no result, and no failure." in said
    assert '<tr class="pruned"' in page and '<tr class="failed"' not in page


def test_the_table_of_languages_says_stopped(run: Path) -> None:
    for code in ("hi", "en"):
        corpus = {"name": f"fake-{code}", "version": "1", "language": code, "options": {}}
        commit(run, ok_data(spec(corpus=corpus)), 0.1, {"test": 5})
        if code == "hi":
            stop(run, spec("imp", "prunable_nominal", 0.6, corpus=corpus))
        else:
            fail(run, spec("imp", "prunable_nominal", 0.6, corpus=corpus), "broke")
    (grid,) = grids(frame(run, normalizer=Plain()))
    assert grid.texts.loc[("mask", 0.6, "imp")].to_dict() == {"hi WER": "stopped", "en WER": "FAILED"}


def test_plan_says_stopped_and_counts_its_steps_as_to_be_done(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = grow(load_spec("tiny")).cells[-1].cell
    stop(run, first.identity(), first.id)
    assert invoke(["plan", "tiny", "--out", str(run)]) == 0
    said = capsys.readouterr().out
    assert "0 failed, 1 stopped" in said
    assert invoke(["plan", "tiny", "--out", str(run), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [cell["state"] for cell in plan["cells"]].count("stopped") == 1
    assert plan["left"] == plan["shared"]

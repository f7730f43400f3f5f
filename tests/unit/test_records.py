"""The record on disk: the commit mark, what is refused and why, and the union of two folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import StoreError
from benchmark.store.files import TEMPORARY, to_json, write_atomically
from benchmark.store.folders import FORMAT, MARKER, check_run, open_run
from benchmark.store.merging import merge
from benchmark.store.records import (
    RECORD,
    SPEC,
    Attempt,
    Record,
    finished,
    latest,
    new_stamp,
    read_record,
    records,
)
from benchmark.store.timings import timings, write_timing
from benchmark.store.transcripts import file_name
from tests.fake_runs import commit, fail, ok_data, spec


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return open_run(tmp_path / "run", create=True)


def a_result(run: Path, **changes: Any) -> Record:
    return commit(run, ok_data(spec(**changes)), 0.1, {"test": 3})


def one_line(error: pytest.ExceptionInfo[StoreError], *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


# --- the commit mark ----------------------------------------------------------------------------------------------


def test_what_was_committed_is_read_back(run: Path) -> None:
    record = a_result(run)
    assert records(run) == [record]
    assert record.ok
    assert record.error == ""
    assert record.data["format"] == FORMAT
    assert json.loads((record.path / SPEC).read_text()) == record.data["spec"]
    assert list(record.transcripts("test").columns[:2]) == ["id", "speaker"]


def test_no_mark_no_result(run: Path) -> None:
    attempt = Attempt.create(run, "cell", spec())
    attempt.write_transcripts("c", "hi", "test", {"id": ["a"], "reference": ["b"], "hypothesis": ["c"]})
    assert records(run) == []
    assert finished(run, "cell") is None
    attempt.discard()
    assert not attempt.path.exists()


def test_a_crash_while_the_mark_is_written_leaves_no_result(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    attempt = Attempt.create(run, "cell", spec())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        attempt.commit(ok_data(spec()))
    assert records(run) == []
    assert not list(attempt.path.glob(f".*{TEMPORARY}"))


def test_an_attempt_is_committed_once(run: Path) -> None:
    attempt = Attempt.create(run, "cell", spec())
    attempt.commit(ok_data(spec()))
    with pytest.raises(StoreError, match="committed once"):
        attempt.commit(ok_data(spec()))
    attempt.discard()
    assert len(records(run)) == 1


def test_an_incomplete_result_is_not_committed(run: Path) -> None:
    attempt = Attempt.create(run, "cell", spec())
    with pytest.raises(StoreError, match="lacks 'counts'"):
        attempt.commit(ok_data(spec()) | {"counts": None})
    assert records(run) == []


def test_a_failure_is_a_record_and_never_a_result(run: Path) -> None:
    failed = fail(run, spec(), "too far")
    assert finished(run, failed.cell) is None
    assert latest(run) == [failed]
    assert failed.error == "BudgetMissedError: too far"
    done = a_result(run)
    assert done.cell == failed.cell
    later = fail(run, spec(), "again")
    assert latest(run) == [done]
    assert finished(run, done.cell) == done
    assert [record.attempt for record in records(run)] == [failed.attempt, done.attempt, later.attempt]


def test_the_newest_result_counts(run: Path) -> None:
    results = [a_result(run) for _ in range(3)]
    assert latest(run) == [finished(run, results[0].cell)] == [results[-1]]


def test_stamps_are_unique_and_sort_by_time() -> None:
    stamps = [new_stamp() for _ in range(200)]
    assert len(set(stamps)) == 200
    assert [stamp[:23] for stamp in stamps] == sorted(stamp[:23] for stamp in stamps)


def test_a_hub_name_cannot_leave_the_folder() -> None:
    assert "/" not in file_name("mozilla/../common_voice", "hi", "test")


def test_transcripts_need_their_columns(run: Path) -> None:
    attempt = Attempt.create(run, "cell", spec())
    with pytest.raises(StoreError, match="lack the column 'hypothesis'"):
        attempt.write_transcripts("c", "hi", "test", [{"id": "a", "reference": "b"}])


def test_transcripts_that_lost_a_column_are_named(run: Path) -> None:
    import pandas as pd

    record = a_result(run)
    split, about = next(iter(record.data["data"].items()))
    path = record.path / about["transcripts"]
    pd.read_parquet(path).drop(columns="reference").to_parquet(path)
    with pytest.raises(StoreError, match="without a column 'reference'") as error:
        record.transcripts(split)
    one_line(error, str(path))


def test_missing_and_broken_transcripts_are_named(run: Path) -> None:
    record = a_result(run)
    with pytest.raises(StoreError, match="no transcripts of split 'dev'; it has: test"):
        record.transcripts("dev")
    path = record.path / record.data["data"]["test"]["transcripts"]
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(StoreError) as error:
        record.transcripts("test")
    one_line(error, str(path), "run again")


# --- bad records --------------------------------------------------------------------------------------------------


def test_a_cut_off_record_is_one_line_with_what_where_and_the_way_out(run: Path) -> None:
    record = a_result(run)
    path = record.path / RECORD
    path.write_bytes(path.read_bytes()[:100])
    for read in (lambda: records(run), lambda: latest(run), lambda: finished(run, record.cell)):
        with pytest.raises(StoreError) as error:
            read()
        one_line(error, str(path), "cut off", "remove that attempt's folder")
    problems: list[str] = []
    assert records(run, problems) == []
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": FORMAT + 1}, "newer"),
        ({"format": None}, "no format number"),
        ({"format": True}, "no format number"),
        ({"status": "maybe"}, "none of"),
        ({"status": None}, "lacks 'status'"),
        ({"data": None}, "lacks 'data'"),
        ({"cell": "other"}, "move the folder back"),
        ({"status": "failed"}, "lacks 'error'"),
        ({"status": "failed", "error": "boom"}, "'error' holds 'boom' where an object"),
        ({"counts": [1]}, "'counts' holds"),
        ({"data": ["test"]}, "'data' holds"),
        ({"data": {"test": {}}}, "'data.test' lacks 'hash'"),
        ({"spec": {"seed": 0}}, "'spec.method' holds None"),
    ],
)
def test_a_record_that_cannot_be_used_is_refused(run: Path, change: dict[str, Any], says: str) -> None:
    path = a_result(run).path / RECORD
    write_atomically(path, to_json(json.loads(path.read_text()) | change))
    with pytest.raises(StoreError, match=says) as error:
        read_record(path)
    one_line(error, str(path))


def test_a_record_that_is_no_object_is_refused(run: Path) -> None:
    path = a_result(run).path / RECORD
    path.write_text("[1]")
    with pytest.raises(StoreError, match="holds a list"):
        read_record(path.parent)


def test_json_is_strict() -> None:
    assert json.loads(to_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": (1,)})) == {
        "a": None,
        "b": [None, 1.5],
        "c": [1],
    }


# --- the run folder -----------------------------------------------------------------------------------------------


def test_a_run_folder_is_made_once_and_opened_again(tmp_path: Path) -> None:
    run = open_run(tmp_path / "a" / "b", create=True)
    before = (run / MARKER).read_bytes()
    assert open_run(run, create=True) == open_run(run) == run
    assert (run / MARKER).read_bytes() == before
    assert [path.name for path in run.iterdir()] == [MARKER]


def test_another_process_may_open_the_same_folder_at_the_same_time(tmp_path: Path) -> None:
    (tmp_path / f".{MARKER}.0badcafe{TEMPORARY}").write_text("half")
    assert open_run(tmp_path, create=True) == tmp_path


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    for create in (True, False):
        with pytest.raises(StoreError, match="not a run folder"):
            open_run(tmp_path, create=create)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_folder_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        records(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StoreError) as error:
            open_run(path, create=True)
        one_line(error, str(path), "give a folder you may write to")


def test_a_check_of_a_run_folder_leaves_nothing(run: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert check_run(run) == run
    assert check_run(tmp_path / "new" / "deep") == tmp_path / "new" / "deep"
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StoreError, match="give a folder you may write to"):
            check_run(path)
    (tmp_path / "file").unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_newer_run_folder_is_refused(run: Path) -> None:
    write_atomically(run / MARKER, to_json({"format": FORMAT + 1}))
    for create in (True, False):
        with pytest.raises(StoreError, match="update prunebench"):
            open_run(run, create=create)


# --- timings ------------------------------------------------------------------------------------------------------


def test_timings_come_back_oldest_first(run: Path) -> None:
    rows = [{"cell": "c", "attempt": "a", "rtfx": 9.5}]
    paths = [write_timing(run, device, rows, {"cores": 2}) for device in ("cpu/2 threads", "gpu", "cpu/2 threads")]
    assert all(path.is_relative_to(run / "timings") and len(path.relative_to(run).parts) == 3 for path in paths)
    assert [timing["device"] for timing in timings(run)] == ["cpu/2 threads", "gpu", "cpu/2 threads"]
    assert timings(run)[0]["rows"] == rows
    with pytest.raises(StoreError, match="lacks its cell"):
        write_timing(run, "gpu", [{"cell": "c"}])
    paths[0].write_text(paths[0].read_text()[:50])
    with pytest.raises(StoreError, match="profile again"):
        timings(run)


# --- merging ------------------------------------------------------------------------------------------------------


def snapshot(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    a, b = (open_run(tmp_path / name, create=True) for name in "ab")
    a_result(a)
    fail(b, spec("imp"), "too far")
    Attempt.create(a, "unfinished", spec())
    for run, device in ((a, "one"), (b, "two")):
        write_timing(run, device, [{"cell": "c", "attempt": "a"}])
    return a, b


def test_a_merge_is_the_union_and_the_second_changes_nothing(two: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = two
    common = a_result(a, seed=3)
    shutil.copytree(common.path, b / "runs" / common.cell / common.attempt)
    into = tmp_path / "into"
    done = merge(two, into)
    assert (done.attempts, done.timings) == (3, 2)
    assert {r.attempt for r in records(into)} == {r.attempt for run in two for r in records(run)}
    assert len(timings(into)) == 2
    assert not (into / "runs" / "unfinished").exists()
    for record in records(into):
        assert record.path.joinpath(SPEC).exists()
    assert len(records(into)[0].path.name) == len(common.attempt)
    before = snapshot(into)
    again = merge(two, into)
    assert (again.attempts, again.timings, again.present) == (0, 0, 3)
    assert snapshot(into) == before
    merge([into], into)
    assert snapshot(into) == before


@pytest.mark.parametrize("where", ["between sources", "in the target"])
def test_one_name_with_two_contents_stops_the_merge_before_it_starts(
    two: tuple[Path, Path], tmp_path: Path, where: str
) -> None:
    a, b = two
    record = records(a)[0]
    other = b if where == "between sources" else open_run(tmp_path / "into", create=True)
    copy = other / "runs" / record.cell / record.attempt
    shutil.copytree(record.path, copy)
    write_atomically(copy / RECORD, to_json(record.data | {"seconds": 1.0}))
    before = snapshot(tmp_path / "into") if (tmp_path / "into").exists() else None
    with pytest.raises(StoreError, match="different content") as error:
        merge(two, tmp_path / "into")
    one_line(error, record.attempt)
    assert (snapshot(tmp_path / "into") if (tmp_path / "into").exists() else None) == before


def test_a_killed_merge_counts_nothing_half_and_is_finished_by_the_next(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "into"
    replace = Path.replace

    def killed_at_the_mark(self: Path, target: Path) -> Path:
        if Path(target).name == RECORD:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed_at_the_mark)
        merge(two, into)
    assert records(into) == []
    merge(two, into)
    assert len(records(into)) == 2


def test_what_is_no_run_folder_is_not_merged(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(StoreError, match="not a run folder"):
        merge([two[0], tmp_path / "plain"], tmp_path / "into")
    assert not (tmp_path / "into").exists()

"""What ``prunebench report`` refuses in one line, and what it writes all the same; nothing is ever half-written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmark.api import Report
from benchmark.cli.main import invoke
from benchmark.errors import StoreError
from benchmark.registry import REGISTRY
from benchmark.store.folders import open_run
from benchmark.store.staging import staged
from tests import fake_runs
from tests.fake_runs import commit, ok_data, spec

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run one report in an empty folder, by the identity; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = invoke(["report", *(str(argument) for argument in arguments), "--normalizer", "identity", "-q"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def refused(call: Call, tmp_path: Path) -> Refused:
    """Run a report that cannot be made: one line, code 2, nothing written; return the line."""

    def run(*arguments: str | Path) -> str:
        before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
        code, _, err = call(*arguments)
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith("prunebench: error: ")
        assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before
        return err

    return run


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one seed, timed on one device."""
    return fake_runs.make(tmp_path_factory.mktemp("timed") / "run", keeps=(0.6,))


# --- devices ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["fake-gpu", ""])
def test_a_device_that_timed_nothing_is_no_fact(timed: Path, refused: Refused, device: str) -> None:
    said = refused(timed, "--out", "report", "--device", device)
    assert f"device {device!r} timed none of these" in said and fake_runs.DEVICE in said


# --- what cannot stand in one ranking -----------------------------------------------------------------------------


def test_other_test_data_are_refused_with_the_filter_that_parts_them(
    tmp_path: Path, call: Call, refused: Refused
) -> None:
    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec("magnitude", "prunable_nominal", 0.5)), 0.2, {"test": 12})
    for method in ("imp", "random"):
        commit(run, ok_data(spec(method, "prunable_nominal", 0.5)), 0.2, {"test": 9})
    said = refused(run, "--out", "report", "--only", "table")
    (option,) = re.findall(r"choose those on one with (--data \w+), or run both on one copy", said)
    assert call(run, "--out", "report", "--only", "table", *option.split())[0] == 0
    assert set(pd.read_csv("report/cells.csv")["method"]) == {"imp", "random"}, "the larger part"


def test_other_decoding_is_refused_with_the_folders_that_part_it(tmp_path: Path, call: Call, refused: Refused) -> None:
    old, new = (open_run(tmp_path / name, create=True) for name in ("old", "new"))
    commit(new, ok_data(spec()), 0.1)
    commit(new, ok_data(spec("imp", "prunable_nominal", 0.5)), 0.1)
    other = ok_data(spec("random", "prunable_nominal", 0.5)) | {"decoding": {"signature": "greedy,max=99"}}
    commit(old, other, 0.1)
    asked = ("--out", "report", "--only", "table")
    assert f"give run folders of one: {new} without {old}" in refused(new, old, *asked)
    assert call(new, *asked)[0] == 0
    # Both in one folder: the attempts of one have to go.
    stray = commit(new, other, 0.1).path
    assert f"remove the 1 of 3 that are not greedy,max=44, such as {stray}, and run again" in refused(new, *asked)
    shutil.rmtree(stray)
    assert call(new, *asked)[0] == 0


# --- nothing to report --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [("--out", "report"), ("--frame", "cells.csv"), ("--frame", "f.csv", "--out", "r")])
def test_of_an_empty_store_nothing_is_written(tmp_path: Path, refused: Refused, asked: tuple[str, ...]) -> None:
    run = open_run(tmp_path / "empty", create=True)
    assert "there is nothing to report: the run folder holds no finished and no failed cell" in refused(run, *asked)


def test_what_has_nothing_to_show_spares_what_was_asked_for_besides(tmp_path: Path, timed: Path, call: Call) -> None:
    out = tmp_path / "report"
    code, said, err = call(timed, "--out", out, "--frame", "f.csv", "--only", "spread,table,batches")
    assert code == 2 and err.count("\n") == 1
    assert "error: batches: on fake-cpu-2t all is timed at batch 8 only" in err and "; spread: " in err
    assert err.rstrip().endswith(f". The other reports are in {out}")
    names = ("leaderboard.md", "leaderboard.tex", "leaderboard.csv", "cells.csv")
    assert [line.strip() for line in said.splitlines()[1:]] == ["f.csv", *(str(out / name) for name in names)]
    assert {path.name for path in out.iterdir()} == set(names) and Path("f.csv").is_file()


def test_nothing_to_show_at_all_leaves_no_folder(timed: Path, refused: Refused) -> None:
    assert "The other reports" not in refused(timed, "--out", "report", "--only", "spread")


# --- places that cannot be written --------------------------------------------------------------------------------


def test_a_folder_in_the_way_of_a_file_is_named_and_nothing_is_written(
    tmp_path: Path, timed: Path, refused: Refused
) -> None:
    out = tmp_path / "half"
    (out / "cells.csv").mkdir(parents=True)
    (out / "leaderboard.md").write_text("of an earlier report")
    for asked in ((), ("--frame", "cells.parquet")):
        said = refused(timed, "--out", out, "--only", "table", *asked)
        assert f"{out / 'cells.csv'}: a folder lies where a file is to be written" in said


@pytest.mark.parametrize("out", ["afile", "afile/report", "cells.csv", "cells.csv/report"])
def test_a_file_in_the_way_of_the_folder_is_found_before_anything_is_scored(
    tmp_path: Path, timed: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("benchmark.cli.report.scored_frame", never)
    (tmp_path / "afile").write_text("")
    said = refused(timed, "--frame", "cells.csv", "--out", out)
    assert ("cannot both be there" if out.startswith("cells") else f"{out}: cannot be written") in said
    assert "afile: cannot be written" in refused(timed, "--frame", "afile/x.csv")


def test_a_report_that_cannot_read_a_record_leaves_nothing_of_the_others(
    tmp_path: Path, timed: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Last(Report):
        """Comes after all others."""

        name = "zz"

        def write(self, frame: pd.DataFrame, out: Path) -> list[Path]:
            assert (out / "leaderboard.md").is_file()
            raise StoreError("a transcript is gone")

    monkeypatch.setitem(REGISTRY._plugins, "report", {**REGISTRY._of("report"), "zz": Last})
    (tmp_path / "report").mkdir()
    for out in ("report", "new/report"):
        assert "a transcript is gone" in refused(timed, "--out", out, "--only", "table,zz")


def test_other_files_stay_and_those_of_a_name_are_replaced(tmp_path: Path, timed: Path, call: Call) -> None:
    out = tmp_path / "report"
    out.mkdir()
    for name in ("leaderboard.md", "significance.md"):
        (out / name).write_text("of an earlier report")
    (out / "notes").mkdir()
    code, said, err = call(timed, "--out", out, "--only", "table")
    assert (code, err) == (0, "")
    assert {path.name for path in out.iterdir()} == {
        *("leaderboard.md", "leaderboard.tex", "leaderboard.csv", "cells.csv", "significance.md", "notes")
    }
    assert (out / "significance.md").read_text() == "of an earlier report" != (out / "leaderboard.md").read_text()
    assert [line.strip() for line in said.splitlines()[1:]] == [
        str(out / name) for name in ("leaderboard.md", "leaderboard.tex", "leaderboard.csv", "cells.csv")
    ]
    assert [path for path in tmp_path.iterdir() if path != out] == []


def test_staged_files_are_renamed_and_not_copied(tmp_path: Path) -> None:
    for out in (tmp_path / "there", tmp_path / "not" / "yet"):
        with staged(out) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "a.txt").write_text("a")
            inode = (folder / "sub" / "a.txt").stat().st_ino
            assert not out.exists()
        assert (out / "sub" / "a.txt").stat().st_ino == inode and not folder.exists()

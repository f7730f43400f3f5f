"""What ``prunebench report`` refuses in one line, and what it writes all the same; nothing is ever half-written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmark.cli.main import invoke
from benchmark.store.folders import open_run
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

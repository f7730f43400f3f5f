"""Fixtures of the tests of bundles: somebody's run folder, its bundle, our run folder, and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import invoke
from benchmark.store.folders import keep_spec, open_run
from benchmark.store.records import Attempt
from benchmark.store.timings import write_timing
from tests.bundling import CELLS, Call, cell_of, result


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run one command in an empty folder; return its exit code, stdout and stderr."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = invoke([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's run folder: four results, a failure, timings and a spec."""
    run = open_run(tmp_path_factory.mktemp("theirs") / "run", create=True)
    made = [result(run, cell, error) for cell, error in zip(CELLS, (0.05, 0.2, 0.4, 0.25), strict=True)]
    missed = cell_of("random", "prunable_stored", 0.1)
    Attempt.create(run, missed.id, missed.identity()).commit(
        {"status": "failed", "error": {"type": "BudgetMissedError", "message": "missed"}, "spec": missed.identity()}
    )
    rows = [{"cell": path.parent.name, "attempt": path.name, "batch": 8, "rtfx": 90.0, "speedup": 1.5} for path in made]
    write_timing(run, "their-cpu", rows)
    keep_spec(run, {"grid": [{"methods": [{"name": "dense"}]}], "normalizer": "auto"}, [cell.id for cell in CELLS])
    return run


@pytest.fixture(scope="module")
def packed(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("packed") / "b.zip"
    assert invoke(["bundle", str(theirs), "--to", str(to)]) == 0
    return to


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Our own run folder: one result on the same test data."""
    run = open_run(tmp_path / "ours", create=True)
    result(run, cell_of("magnitude", "prunable_nominal", 0.4), 0.3)
    return run

"""Fixtures of the tests of ``prunebench recommend``: its command, what it tells or refuses, and two runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import invoke
from benchmark.store.folders import open_run
from tests import fake_runs
from tests.fake_runs import commit, ok_data, spec

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run one command in an empty folder; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str | Path | float) -> tuple[int, str, str]:
        code = invoke(["recommend", *(str(argument) for argument in arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def told(call: Call) -> Callable[..., dict[str, Any]]:
    """Run one command with --json; return what it tells."""

    def run(*arguments: str | Path | float, code: int = 0) -> dict[str, Any]:
        found, out, err = call(*arguments, "--normalizer", "identity", "--json")
        assert (found, err) == (code, "")
        data: dict[str, Any] = json.loads(out)
        return data

    return run


@pytest.fixture
def refused(call: Call) -> Callable[..., str]:
    """Run a command that cannot be carried out: one line and code 2; return the line."""

    def run(*arguments: str | Path | float) -> str:
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("prunebench: error: ") and err.count("\n") == 1
        return err

    return run


@pytest.fixture(scope="module")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_runs.make(tmp_path_factory.mktemp("fake") / "run")


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three entries and dense, two or three seeds, errors close to each other; sizes differ from seed to seed."""
    run = open_run(tmp_path_factory.mktemp("seeded") / "run", create=True)
    entries = (("dense", None, 0.10), ("l1_group", 0.8, 0.12), ("taylor", 0.8, 0.14), ("l1_group", 0.5, 0.17))
    for method, keep, error in entries:
        for seed in (0, 1, 2) if method != "taylor" else (1, 2):
            cell = spec(method, "none" if keep is None else "prunable_stored", keep, seed=seed)
            data = ok_data(cell, stored=keep or 1.0)
            data["counts"]["bytes"] += 1000 * seed
            commit(run, data, error, {"test": 40})
    return run

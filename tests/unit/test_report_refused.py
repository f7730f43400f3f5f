"""What ``prunebench report`` refuses in one line, and what it writes all the same; nothing is ever half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli.main import invoke
from tests import fake_runs

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

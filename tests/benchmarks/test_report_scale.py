"""How long a report of ten thousand records takes, and how much memory; ask for it with ``-m benchmark``."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.big_store import RECORDS, make

SECONDS, BYTES = 30, 2e9


@pytest.mark.benchmark
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("normalizer", ["identity", "auto"])
def test_a_large_store_reports_in_time(
    normalizer: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["report", str(store), "--out", str(tmp_path / "out"), "--normalizer", normalizer]
    with (tmp_path / "said").open("w+") as said:
        start, size = time.perf_counter(), 0
        child = subprocess.Popen([sys.executable, "-m", "benchmark", *asked], stdout=said, stderr=said)
        while child.poll() is None:
            size = max(size, memory(child.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - start
        said.seek(0)
        text = said.read()
    with capsys.disabled():
        print(f"\n{RECORDS:,} records, {normalizer}: {seconds:.1f} s, {size / 1e9:.2f} GB")
    assert child.returncode == 1 and "it is left out" in text  # the record that is cut off
    assert len(pd.read_csv(tmp_path / "out" / "cells.csv", usecols=["cell"])) == RECORDS - 1
    assert seconds < SECONDS and size < BYTES


def memory(process: int) -> int:
    """Return the bytes of a process and those that it forked; what they share counts once."""
    found = 0
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        found = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (OSError, StopIteration):  # it has just ended
        return found
    return found + sum(memory(int(child)) for child in children)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("big") / "run")

"""How long a report of ten thousand records takes, and how much memory; ask for it with ``-m benchmark``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.big_store import RECORDS, make

SECONDS, BYTES = 30, 2e9


@pytest.mark.benchmark
@pytest.mark.parametrize("normalizer", ["identity", "auto"])
def test_a_large_store_reports_in_time(
    normalizer: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["report", str(store), "--out", str(tmp_path / "out"), "--normalizer", normalizer]
    with (tmp_path / "said").open("w+") as said:
        start = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-m", "benchmark", *asked], stdout=said, stderr=said)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    size = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with capsys.disabled():
        print(
            f"\n{RECORDS:,} records, {normalizer}: {seconds:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of work), "
            f"{size / 1e9:.2f} GB"
        )
    assert child.returncode == 1 and "it is left out" in text  # the record that is cut off
    assert len(pd.read_csv(tmp_path / "out" / "cells.csv", usecols=["cell"])) == RECORDS - 1
    assert seconds < SECONDS and size < BYTES


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("big") / "run")

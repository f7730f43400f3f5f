"""A disk that really fills under worker processes, and two leaderboards that share trunks in one folder at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import benchmark
from benchmark.harness.executors.local import Local
from benchmark.store.full_disk import DiskFullError
from benchmark.store.records import records

pytestmark = pytest.mark.slow

SPEC: dict[str, Any] = {
    "name": "shared",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 4}},
    "grid": [{"methods": ["dense"]}, {"methods": ["magnitude"], "budget": "prunable_nominal", "keep": [0.6]}],
    "training": {"steps": 4, "batch": 2, "utterances": 8},
    "profile": None,
}


ROOT = Path(__file__).resolve().parents[2]
COUNTING = """
import os
from benchmark.harness import execute
honest = execute.train_node
def counted(node, *rest):
    with open(os.environ["TRAINED"], "a") as file:
        file.write(node.id + chr(10))
    return honest(node, *rest)
execute.train_node = counted
"""
"""Noted by every process of a run: which nodes it trains."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB, less than a trunk of the embedded model with its optimiser."""
    place = tmp_path / "disk"
    place.mkdir()
    asked = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no tmpfs can be mounted here ({error})")
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here ({done.stderr.strip()})")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_is_one_error_and_the_run_goes_on(small_disk: Path) -> None:
    run = small_disk / "run"
    with pytest.raises(DiskFullError, match=r"the disk is full; make room and give the same command again") as caught:
        benchmark.run(SPEC, run, workers=0, quiet=True)
    assert str(small_disk) in str(caught.value) and "\n" not in str(caught.value)
    command = [sys.executable, "-m", "benchmark", "run", str(spec_file(small_disk.parent)), "--out", str(run)]
    told = subprocess.run([*command, "--workers", "1", "-q"], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "the disk is full" in told.stderr.splitlines()[-1] and "Traceback" not in told.stderr
    assert not records(run)
    subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk)], check=True)
    assert not benchmark.run(SPEC, run, workers=0, quiet=True).failed
    assert len(records(run)) == 2


def spec_file(folder: Path, **changes: Any) -> Path:
    path = folder / f"spec-{len(list(folder.glob('spec-*.yaml')))}.yaml"
    path.write_text(yaml.safe_dump({**SPEC, **changes}))
    return path


def test_two_leaderboards_in_one_folder_at_once_do_nothing_twice(tmp_path: Path) -> None:
    other = [{"methods": ["dense"]}, {"methods": ["l1_group"], "budget": "prunable_stored", "keep": [0.6]}]
    both = [spec_file(tmp_path), spec_file(tmp_path, name="other", grid=other)]
    run, told = tmp_path / "run", tmp_path / "trained"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(COUNTING)
    surroundings = {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}", "TRAINED": str(told)}
    command = [sys.executable, "-m", "benchmark", "run", "--out", str(run), "--workers", "1", "-q"]
    started = [subprocess.Popen([*command, str(spec)], stdout=subprocess.DEVNULL, env=surroundings) for spec in both]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    found = records(run)
    assert all(record.ok for record in found)
    assert set(Counter(record.cell for record in found).values()) == {1} and len(found) == 3
    trained = Counter(told.read_text().splitlines())
    nodes = {node for record in found for node in record.data["training"]["nodes"]}
    assert set(trained) == nodes and set(trained.values()) == {1}


def test_jobs_of_submitit_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitit: Any = pytest.importorskip("submitit", reason="not installed (pip install 'prunebench[slurm]')")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(COUNTING)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{ROOT}")
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained"))
    jobs = submitit.AutoExecutor(folder=tmp_path / "logs", cluster="local")
    jobs.update_parameters(timeout_min=10)
    asked = {"out": tmp_path / "run", "executor": Local(workers=0, threads=1), "quiet": True}
    sent = [jobs.submit(benchmark.run, str(spec_file(tmp_path)), **asked) for _ in range(2)]
    outcomes = [job.result() for job in sent]
    assert all(len(outcome.records) == 2 and not outcome.failed for outcome in outcomes)
    found = records(tmp_path / "run")
    assert len(found) == 2 and all(record.ok for record in found)
    trained = Counter((tmp_path / "trained").read_text().splitlines())
    assert set(trained.values()) == {1}
    assert set(trained) == {node for record in found for node in record.data["training"]["nodes"]}

"""A leaderboard on a Ray cluster of two nodes of one CPU: equal to the local one, whoever is killed in between."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import benchmark
from benchmark.errors import PrunebenchError, SpecError
from benchmark.harness.executors.local import Local
from benchmark.harness.executors.on_ray import OnRay
from benchmark.harness.run import RunOutcome
from benchmark.store.records import Record, records

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who holds a lock is found by /proc"),
]
utils: Any = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed (pip install 'prunebench[ray]')")

SPEC = {
    "name": "on-ray",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 8}},
    "grid": [
        {"methods": ["dense"], "budget": "none"},
        {"methods": ["magnitude"], "budget": "prunable_nominal", "keep": [0.6]},
    ],
    "training": {"steps": 12, "batch": 4, "utterances": 32},
    "seeds": [0, 1],
    "profile": None,
}
TIMES = {"attempt", "finished", "seconds", "commit"}
"""What may differ; a commit is told as dirty where somebody edits the checkout meanwhile."""
MEMORY = 80 * 2**20


def started() -> Any:
    """Start two nodes of one CPU, whose parts give up a dead head after seconds and not after a minute."""
    node = {"num_cpus": 1, "object_store_memory": MEMORY}
    cluster = utils.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    return cluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")
    found = started()
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the records of one process here say, on as many threads as a task of Ray."""
    run = tmp_path_factory.mktemp("local")
    assert not benchmark.run(SPEC, out=run, quiet=True, executor=Local(workers=0, threads=1)).failed
    return meanings(run)


def but_for_times(value: Any) -> Any:
    """Return a record without what depends on when and how fast it was made."""
    if isinstance(value, dict):
        return {key: but_for_times(item) for key, item in value.items() if key not in TIMES}
    return [but_for_times(item) for item in value] if isinstance(value, list) else value


def meaning(record: Record) -> Any:
    texts = {split: record.transcripts(split).to_dict("list") for split in record.data["data"]}
    return but_for_times(record.data), texts


def meanings(run: Path) -> list[Any]:
    """One result of each cell, and nothing else, by cell."""
    found = records(run)
    assert all(record.ok for record in found) and len({record.cell for record in found}) == len(found) == 4
    return [meaning(record) for record in found]


def holders(run: Path) -> set[int]:
    """The processes that have the lock of a node or a cell open."""
    locks = {str(path) for path in (run / "work" / "locks").glob("*.lock") if not path.name.startswith("driver-")}
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                open_now = {os.readlink(handle) for handle in (process / "fd").iterdir()}
            except OSError:  # it ended while we looked, or is not ours
                continue
            if open_now & locks:
                found.add(int(process.name))
    return found


def made(run: Path) -> dict[Path, int]:
    """What is finished in a run, trunks and records, and when it was written."""
    files = [*(run / "work" / "nodes").glob("*/model.safetensors"), *(run / "runs").glob("*/*/record.json")]
    return {
        path: path.stat().st_mtime_ns for path in files if (path.parent / "node.json").exists() or "runs" in path.parts
    }


def wait_for(what: Callable[[], Any], running: Future[RunOutcome]) -> Any:
    """Return the first answer of ``what`` that is not empty, while the run goes on."""
    until = time.monotonic() + 120
    while not running.done() and time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.02)
    running.result(timeout=0)
    pytest.fail("the run ended before what was waited for")


def test_both_workers_are_killed_and_ray_starts_others(cluster: Any, local: list[Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(benchmark.run, SPEC, run, quiet=True, executor=OnRay(address=cluster.address))
        both = wait_for(lambda: found if len(found := holders(run)) == 2 else None, running)
        for worker in both:
            assert b"ray::" in Path(f"/proc/{worker}/cmdline").read_bytes()
            os.kill(worker, signal.SIGKILL)
        assert not records(run)  # nothing was done yet, so others than these have done it all
        assert not running.result().failed
    assert meanings(run) == local


def test_a_dead_head_is_one_error_and_the_same_call_goes_on(
    cluster: Any, local: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.harness.executors.on_ray.GONE", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where what Ray said is kept
    run = tmp_path / "run"
    marks = run / "work" / "nodes"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(benchmark.run, SPEC, run, quiet=True, executor=OnRay(address=cluster.address))
        wait_for(lambda: list(marks.glob("*/node.json")), running)
        for part in cluster.head_node.all_processes["gcs_server"]:
            part.process.kill()
        with pytest.raises(PrunebenchError) as caught:
            running.result()
    said = str(caught.value)
    assert said.startswith(f"Ray at {cluster.address} is gone") and said.endswith("run the same command again")
    assert "\n" not in said
    (log,) = tmp_path.glob("prunebench-ray-*.log")
    assert str(log) in said and "GCS" in log.read_text()
    cluster.shutdown()  # with what still works there
    before = made(run)
    assert any("nodes" in path.parts for path in before)
    again = started()
    try:
        assert not benchmark.run(SPEC, run, quiet=True, executor=OnRay(address=again.address)).failed
    finally:
        again.shutdown()
    after = made(run)
    assert all(after[path] == when for path, when in before.items() if path in after)  # nothing was made twice,
    assert all(
        path in after for path in before if "runs" in path.parts
    )  # though trunks are dropped when none needs them
    assert meanings(run) == local


def test_what_cannot_be_met_is_refused_before_anything_is_made(cluster: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    wide = OnRay(address=cluster.address, threads=2)  # the cluster has two CPUs, and no node has both
    with pytest.raises(
        PrunebenchError, match=r"asks for 2 CPU\(s\) and 0 GPU\(s\), and no node .* \(2 node\(s\), at most 1"
    ):
        benchmark.run(SPEC, run, quiet=True, executor=wide)
    with pytest.raises(PrunebenchError, match=r"asks for 1 CPU\(s\) and 1 GPU\(s\)"):
        benchmark.run(SPEC, run, quiet=True, executor=OnRay(address=cluster.address, gpus=1))
    with pytest.raises(SpecError, match="workers = 0"):
        benchmark.run(SPEC, run, quiet=True, executor=OnRay(workers=0))
    assert not run.exists()


def test_no_cluster_at_the_address_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.harness.executors.on_ray.GONE", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(PrunebenchError, match=r"Ray at 127\.0\.0\.1:1 (is gone|cannot)") as caught:
        benchmark.run(SPEC, tmp_path / "run", quiet=True, executor=OnRay(address="127.0.0.1:1"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()

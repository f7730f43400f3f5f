"""A leaderboard on a Ray cluster of two nodes of one CPU: equal to the local one, whoever is killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import benchmark
from benchmark.errors import PrunebenchError, SpecError
from benchmark.harness.executors.on_ray import OnRay
from benchmark.store.records import records
from tests.running import SPEC, here, holders, meanings, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who holds a lock is found by /proc"),
]
utils: Any = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed (pip install 'prunebench[ray]')")

MEMORY = 80 * 2**20


def started() -> Any:
    """Start two nodes of one CPU."""
    node = {"num_cpus": 1, "object_store_memory": MEMORY}
    cluster = utils.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    return cluster


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return here(tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes for all tests; the last one kills the head."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")
        found = started()
        yield found
        found.shutdown()


def made(run: Path) -> dict[Path, int]:
    """What is finished in a run, trunks and records, and when it was written."""
    files = [*(run / "work" / "nodes").glob("*/model.safetensors"), *(run / "runs").glob("*/*/record.json")]
    return {
        path: path.stat().st_mtime_ns for path in files if (path.parent / "node.json").exists() or "runs" in path.parts
    }


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


def test_whatever_the_process_that_speaks_to_ray_stumbles_over_is_said() -> None:
    command = [sys.executable, "-m", "benchmark", "ray-driver", "{}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert json.loads(done.stdout) == {"fatal": "the process that speaks to Ray failed (KeyError: 'address')"}


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

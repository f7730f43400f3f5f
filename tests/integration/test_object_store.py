"""A leaderboard on an object store, by ``file://``: equal to the one in a folder, whoever is killed in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

import benchmark
from benchmark.cli.main import invoke
from benchmark.corpora._cache import cache_folder
from benchmark.errors import PrunebenchError
from benchmark.harness.distant import Handed
from benchmark.harness.executors.local import Local
from benchmark.harness.tree import grow
from benchmark.specs import Leaderboard
from benchmark.store.depot import Depot
from benchmark.store.records import MODEL, records
from tests.running import SPEC, here, holders, meanings, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who holds a lock is found by /proc"),
]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return here(tmp_path_factory.mktemp("local"))


@pytest.fixture
def depot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Depot:
    """An empty store; what is made of it on this machine lies in a cache of the test's own."""
    made = cache_folder()
    (tmp_path / "cache").mkdir()
    for shared in ("corpora", "features"):  # made once for all tests
        (made / shared).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / shared).symlink_to(made / shared)
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    return Depot(f"file://{tmp_path}/store/run")


def puts(depot: Depot) -> Counter[str]:
    """How often each node was put that is still there: a put has a folder of its own."""
    return Counter(name.split("/")[2] for name in depot.remote.sizes("work/nodes") if name.endswith("/node.json"))


def committed(depot: Depot) -> set[str]:
    return {name for name in depot.remote.sizes("runs") if name.endswith("/record.json")}


def test_in_one_process_it_is_the_leaderboard_of_a_folder(depot: Depot, local: list[Any]) -> None:
    assert not benchmark.run(SPEC, depot.url, quiet=True, executor=Local(workers=0)).failed
    assert meanings(depot.mirror) == local
    before = {record.attempt for record in records(depot.mirror)}
    outcome = benchmark.run(SPEC, depot.url, quiet=True, executor=Local(workers=0))
    assert {record.attempt for record in outcome.records} == before
    pruned = outcome.records[1]
    assert not (pruned.path / MODEL).exists()  # a mirror has none that nobody asked for
    depot.bring_models([pruned])
    assert sum(p.numel() for p in benchmark.load(pruned.path).parameters()) == pruned.data["counts"]["params_stored"]


def test_who_is_killed_costs_only_what_was_under_way(depot: Depot, local: list[Any], tmp_path: Path) -> None:
    """The only worker, then the command itself, then one of two workers: each time the same command goes on."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(benchmark.run, SPEC, depot.url, quiet=True, executor=Local(workers=1))
        (only,) = wait_for(lambda: holders(depot.scratch), running)
        os.kill(only, signal.SIGKILL)
        with pytest.raises(PrunebenchError, match=r"a worker process ended with code -9; .* run the same command"):
            running.result()
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(SPEC))
    command = [sys.executable, "-m", "benchmark", "run", str(spec), "--out", depot.url, "--workers", "2", "-q"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first.wait)
        wait_for(depot.nodes, running)
        first.kill()
    kept, results = depot.nodes().keys(), committed(depot)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(benchmark.run, SPEC, depot.url, quiet=True, executor=Local(workers=2))
        both = wait_for(lambda: found if len(found := holders(depot.scratch)) == 2 else None, running)
        os.kill(min(both), signal.SIGKILL)
        assert not running.result().failed
    assert meanings(depot.mirror) == local
    assert results <= committed(depot) and kept and set(puts(depot).values()) == {1}


def test_workers_that_see_another_place_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path))
    with pytest.raises(PrunebenchError, match=r"memory://x/run: no run is seen there from .* must see the same place"):
        benchmark.run(SPEC, "memory://x/run", quiet=True, executor=Local(workers=2))


def test_a_cell_whose_result_is_there_is_not_evaluated_again(depot: Depot) -> None:
    spec = Leaderboard.parse({**SPEC, "grid": [{"methods": ["shipped"]}], "seeds": [0]}, "a test")
    (record,) = benchmark.run(spec, depot.url, quiet=True, executor=Local(workers=0)).records
    Handed(grow(spec), Depot(depot.url), lambda _: None).do(record.cell)
    assert [one.attempt for one in records(depot.pull())] == [record.attempt]


def test_workers_on_ray_share_nothing_but_the_store_and_may_be_lost(
    depot: Depot, local: list[Any], tmp_path: Path
) -> None:
    utils: Any = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed (pip install 'prunebench[ray]')")
    from benchmark.harness.executors.on_ray import OnRay

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    caches = [tmp_path / f"node-{number}" for number in range(2)]
    first, second = ({**node, "env_vars": {"PRUNEBENCH_CACHE": str(cache)}} for cache in caches)
    cluster = utils.Cluster(initialize_head=True, head_node_args={**first, "include_dashboard": False})

    def at_work(*places: Path) -> set[int]:
        return set().union(*(holders(path) for place in places for path in place.glob("depots/*/scratch")))

    try:
        other = cluster.add_node(**second)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(benchmark.run, SPEC, depot.url, quiet=True, executor=OnRay(address=cluster.address))
            ours = wait_for(lambda: (here := at_work(caches[0])) and at_work(caches[1]) and here, running)
            os.kill(min(ours), signal.SIGKILL)  # a worker, which is started again,
            cluster.remove_node(other, allow_graceful=False)  # and a node, which is not
            assert not running.result().failed
    finally:
        cluster.shutdown()
    assert meanings(depot.mirror) == local
    assert set(puts(depot).values()) == {1}


def test_the_command_line_writes_reads_and_brings_it_home(
    depot: Depot, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "spec.yaml"
    small = {**SPEC, "seeds": [0], "normalizer": "hindi", "keep_artefacts": "none"}
    small["profile"] = {"utterances": 2, "repeats": 3, "batch": 2}
    spec.write_text(yaml.safe_dump(small))
    assert invoke(["run", str(spec), "--out", depot.url, "--workers", "1", "-q"]) == 0
    said = capsys.readouterr().out
    assert f"{depot.url}/leaderboard.md" in said and "model(s) deleted" in said
    there = depot.remote.sizes()
    assert "leaderboard.html" in there and any(name.startswith("timings/") for name in there)
    assert not any(name.startswith("runs/") and name.endswith("/model.safetensors") for name in there)
    assert invoke(["plan", str(spec), "--out", depot.url]) == 0
    assert "2 done, 0 missing" in capsys.readouterr().out
    assert not list(depot.mirror.glob("runs/*/*/model.safetensors"))
    assert invoke(["score", depot.url]) == 0
    assert "magnitude" in capsys.readouterr().out
    assert invoke(["merge", depot.url, "--into", str(tmp_path / "home")]) == 0
    assert len(records(tmp_path / "home")) == 2 and len(list((tmp_path / "home" / "timings").glob("*/*.json"))) == 1
    assert invoke(["export", "0", "--to", str(tmp_path / "x"), "--runs", depot.url]) == 2
    assert "a URL is no folder" in capsys.readouterr().err
    broken = next(iter(committed(depot)))
    depot.remote.commit(broken, b"{")
    (depot.mirror / broken).unlink()
    assert invoke(["report", depot.url, "--out", str(tmp_path / "rep"), "-q"]) == 1
    assert f"{depot.url}/{broken}: not whole JSON" in capsys.readouterr().err
    depot.remote.delete(list(depot.remote.sizes()))
    assert invoke(["plan", str(spec), "--out", depot.url]) == 0
    assert "0 done, 2 missing" in capsys.readouterr().out


def test_what_cannot_be_reached_is_one_error_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("something")
    for url, said in {
        f"file://{tmp_path}": "has other things in it and is no run",
        "nosuch://bucket/run": "Protocol not known",
    }.items():
        with pytest.raises(PrunebenchError, match=said):
            benchmark.run(SPEC, url, quiet=True, executor=Local(workers=0))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]

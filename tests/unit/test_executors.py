"""Where workers run: how many, on which GPU, and what is refused in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import benchmark
from benchmark.errors import DataError, PrunebenchError, SpecError
from benchmark.harness.executors import local
from benchmark.harness.executors.interface import Executor, Job, Team, executor
from benchmark.harness.executors.local import Here, Local, Processes
from benchmark.harness.executors.on_ray import OnRay
from benchmark.harness.executors.placing import seats
from benchmark.harness.processes import settle
from benchmark.harness.tree import grow
from benchmark.harness.unfinished import record_failure
from benchmark.specs import Leaderboard
from benchmark.store.full_disk import DiskFullError, full_disk, told_when_full
from benchmark.store.records import records

SPEC: dict[str, Any] = {
    "name": "executors",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 4}},
    "grid": [{"methods": ["dense"]}],
    "training": {"steps": 4, "batch": 2, "utterances": 8},
    "profile": None,
}


def job(cells: int, modules: tuple[str, ...] | None = ()) -> Job:
    tree: Any = SimpleNamespace(cells=[None] * cells)
    return Job(tree, Path("run"), Path("run/marks"), modules)


def places(settings: Local, cells: int = 99) -> list[str | None]:
    team = settings.team(job(cells))
    assert isinstance(team, Processes)
    return team.places


def test_one_worker_a_gpu_else_one_for_so_many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(local, "visible_gpus", lambda: [])
    assert places(Local(threads=3)) == [None, None]
    assert places(Local(threads=99)) == [None]
    with pytest.raises(SpecError, match=r"gpus = 1: no GPU is seen here"):
        places(Local(gpus=1))
    monkeypatch.setattr(local, "visible_gpus", lambda: ["2", "5"])
    assert places(Local()) == ["2", "5"]
    assert places(Local(gpus=0.5)) == ["2", "2", "5", "5"]
    assert places(Local(workers=3)) == ["2", "5", "2"]
    assert places(Local(gpus=0, threads=4)) == ["", ""]
    assert places(Local(), cells=1) == ["2"]


def test_a_plugin_of_this_process_works_in_this_process() -> None:
    assert isinstance(Local(workers=2).team(job(3, None)), Here)
    assert isinstance(Local(workers=0).team(job(3)), Here)


def test_the_gpus_of_a_worker_are_among_those_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local.visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, 7")
    assert local.visible_gpus() == ["GPU-a", "7"]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"threads": 0}, "threads = 0"), ({"gpus": 2}, "gpus = 2"), ({"workers": -1}, "workers = -1"), ({"x": 1}, "'x'")],
)
def test_values_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        executor("local", options)


def test_names_of_executors() -> None:
    assert executor("ray", {"address": "auto"}) == OnRay(address="auto")
    with pytest.raises(SpecError, match="unknown executor 'rey'; did you mean 'ray'"):
        executor("rey", {})


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"pip install 'prunebench\[ray\]'"):
        OnRay().team(job(1))


def node(alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": resources}


def test_seats_of_a_cluster() -> None:
    assert seats([node(CPU=5), node(CPU=3), node(False, CPU=8)], 2, None, None) == (3, 0.0)
    assert seats([node(CPU=8, GPU=2), node(CPU=64)], 2, None, None) == (2, 1.0)
    assert seats([node(CPU=8, GPU=2)], 1, 0.5, None) == (4, 0.5)
    assert seats([node(CPU=2)], 1, None, 7) == (7, 0.0)  # they wait for a seat
    with pytest.raises(SpecError, match=r"asks for 4 CPU\(s\) and 0 GPU\(s\).*2 node\(s\), at most 2 CPU"):
        seats([node(CPU=2), node(CPU=2)], 4, None, None)


# --- a full disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["benchmark.harness.state.save_file", "benchmark.store.records.write_atomically"])
def test_a_full_disk_is_one_error_no_failed_cell_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "some/file")

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        with pytest.raises(DiskFullError, match=r"^some/file: the disk is full; make room and give the same command"):
            benchmark.run(SPEC, run, workers=0, quiet=True)
    assert not records(run)
    nodes = list((run / "work" / "nodes").glob("*"))
    assert all((folder / "node.json").is_file() for folder in nodes)  # nothing half-written is left to fill it
    assert not benchmark.run(SPEC, run, workers=0, quiet=True).failed
    assert [record.ok for record in records(run)] == [True]


def test_what_says_that_a_disk_is_full() -> None:
    from safetensors import SafetensorError

    assert full_disk(SafetensorError("I/O error: No space left on device (os error 28)"))
    assert full_disk(OSError(errno.EDQUOT, "quota"))
    assert full_disk(OSError(errno.ENOENT, "gone")) is None
    wrapped = PrunebenchError("cannot be written")
    wrapped.__cause__ = OSError(errno.ENOSPC, "full")
    assert full_disk(wrapped) is wrapped.__cause__


def test_who_met_the_full_disk_first_says_which_it_was() -> None:
    def cached() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise DataError("cache/features.npy: cannot write features; set PRUNEBENCH_CACHE") from error

    said = r"^cache/features\.npy: .* set PRUNEBENCH_CACHE: the disk is full; make room"
    with pytest.raises(DiskFullError, match=said), told_when_full(Path("run")):
        cached()


def test_a_worker_elsewhere_stands_where_the_driver_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNEBENCH_CACHE", "was here")
    told = {"cwd": str(tmp_path / "data"), "cache": "shared"}
    settle(told)  # a machine without that folder, and with a cache of its own
    assert (Path.cwd(), os.environ["PRUNEBENCH_CACHE"]) == (tmp_path, "was here")
    monkeypatch.delenv("PRUNEBENCH_CACHE")
    (tmp_path / "data").mkdir()
    settle(told)
    assert (Path.cwd(), os.environ["PRUNEBENCH_CACHE"]) == (tmp_path / "data", "shared")


def test_failures_of_another_day_do_not_hide_that_workers_died(tmp_path: Path) -> None:
    class DeadTeam(Team):
        def work(self, event: Any) -> list[str]:
            return ["a worker died"]

    class Dead(Executor):
        def team(self, job: Job) -> Team:
            return DeadTeam()

    for _ in range(2):
        with pytest.raises(PrunebenchError, match=r"a worker died\. Finished cells are kept"):
            benchmark.run(SPEC, out=tmp_path / "run", quiet=True, executor=Dead())
        for path in grow(Leaderboard.parse(SPEC, "a test")).cells:
            record_failure(path, tmp_path / "run", ValueError("old trouble"))

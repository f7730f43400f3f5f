"""The process that speaks to Ray: checks that there is room, hands out the workers, and tells what the store says.

A task is a whole worker, which claims its units itself. Where a task dies, Ray starts it again on whatever node has
room, and it goes on with what nobody holds: the kernel has given the dead one's claim back.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import PrunebenchError, SpecError, StoreError
from benchmark.harness.processes import Emit, equip, ordered, reporting, settle, surroundings

if TYPE_CHECKING:
    from benchmark.harness.tree import Tree

RETRIES = 3
"""How often Ray starts a worker again that died. A cell whose evaluation kills its process costs that many workers."""
LOOK = 1.0
"""Seconds between two looks at what is done."""
OBJECTS = 80 * 2**20
"""Bytes of a local cluster's object store: nothing goes through it, and this is Ray's least."""


def main(arguments: list[str]) -> int:
    """Entry of the process: one argument, what is asked for as JSON; the order comes on standard input."""
    asked = json.loads(arguments[0])
    emit = reporting()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that Ray's own clean-up runs
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a task without a GPU must see none
    try:
        import ray

        _connect(ray, asked)
        count, gpus = seats(ray.nodes(), asked["threads"], asked["gpus"], asked["workers"])
        emit({"ready": count})
        told = ordered()
        if told is None:
            return 1  # whoever started this died
        return _place(ray, told, asked, min(count, asked["cells"]), gpus, emit)
    except PrunebenchError as error:
        emit({"fatal": str(error)})
        return 2
    except Exception as error:
        if isinstance(error, ConnectionError) or type(error).__module__.startswith("ray"):
            raise  # Ray itself is gone: whoever started this says so
        said = str(error).strip().splitlines() or [""]
        emit({"fatal": f"the process that speaks to Ray failed ({type(error).__name__}: {said[0]})"})
        return 2


def _connect(ray: Any, asked: Mapping[str, Any]) -> None:
    address = asked["address"]
    try:
        if address is None:
            ray.init(address="local", include_dashboard=False, object_store_memory=OBJECTS)
        else:
            ray.init(address=address)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError, and others of Ray's own
        where = "on this machine" if address is None else f"at {address}"
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise PrunebenchError(
            f"no Ray {where} ({said[0]}); start one with `ray start --head`, name its address with --ray-address, or "
            "use --executor local"
        ) from error


def seats(nodes: list[dict[str, Any]], threads: int, gpus: float | None, workers: int | None) -> tuple[int, float]:
    """Return how many workers to place and the GPUs of each; Ray would wait for ever for what no node has.

    ``nodes`` are those of ``ray.nodes()``. More workers than there is room for may be asked for: they wait for a seat.

    Raises:
        SpecError: no node has room for one worker.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    has_gpus = any(node.get("GPU", 0) >= 1 for node in alive)
    each = float(has_gpus) if gpus is None else gpus
    room = 0
    for node in alive:
        by_cpu = int(node.get("CPU", 0) // threads)
        room += min(by_cpu, int(node.get("GPU", 0) / each)) if each else by_cpu
    if room == 0:
        cpus, cards = (max((node.get(kind, 0) for node in alive), default=0) for kind in ("CPU", "GPU"))
        raise SpecError(
            f"a worker asks for {threads} CPU(s) and {each:g} GPU(s), and no node of this Ray cluster has them "
            f"({len(alive)} node(s), at most {cpus:g} CPU(s) and {cards:g} GPU(s) on one); ask for less with "
            "--threads or --gpus, or add a node"
        )
    return room if workers is None else workers, each


def _place(ray: Any, told: dict[str, Any], asked: Mapping[str, Any], count: int, gpus: float, emit: Emit) -> int:
    how = {"num_cpus": int(asked["threads"]), "num_gpus": gpus, "scheduling_strategy": "SPREAD"}
    if told.get("url") is not None:
        return _hand_out(ray, told, how, count, emit)
    return _start(ray, told, how, Path(asked["folder"]), Path(asked["marks"]), count, emit)


def _hand_out(ray: Any, told: dict[str, Any], how: Mapping[str, Any], count: int, emit: Emit) -> int:
    """Hand the units of a run on an object store to seats."""
    from benchmark.harness.dispensing import Dispenser
    from benchmark.harness.executors.seats import hand_out
    from benchmark.store.depot import Depot

    equip(told)
    dispenser = Dispenser(_tree(told), Depot(told["url"]))
    again = {"max_restarts": RETRIES, "max_task_retries": 0}
    failures = hand_out(ray, told, {**how, **again}, count, dispenser, emit)
    if dispenser.left:
        raise PrunebenchError(_said(failures[0]) if failures else dispenser.stuck[0])
    return 0


def _start(
    ray: Any, told: dict[str, Any], how: Mapping[str, Any], folder: Path, marks: Path, count: int, emit: Emit
) -> int:
    """Start workers, which claim the units of a run in a shared folder themselves."""
    from benchmark.harness.worker import claim

    task = ray.remote(**how, max_retries=RETRIES, max_calls=1)(work)
    failures: list[str] = []
    news = store_news(told, folder, marks)
    probe = probe_name(marks)
    with claim(folder, probe) as held:
        waiting = [task.remote(told, str(folder), str(marks), how["num_cpus"]) for _ in range(count)]
        while waiting:
            done, waiting = ray.wait(waiting, timeout=LOOK)
            for event in news():
                emit(event)
            for one in done:
                try:
                    ray.get(one)
                except ray.exceptions.RayError as error:
                    failures.append(_said(error))
    Path(held.lock_file).unlink(missing_ok=True)
    if failures:
        raise PrunebenchError(failures[0])
    return 0


def _tree(told: Mapping[str, Any]) -> Tree:
    from benchmark.harness.tree import grow
    from benchmark.specs import Leaderboard

    return grow(Leaderboard.parse(told["spec"], "the job's spec"))


def _said(error: Exception) -> str:
    """Return one line on a task that came to nothing: our own words, or Ray's."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, PrunebenchError):
        return str(cause)
    about = str(cause or error).strip().splitlines() or [""]
    return f"Ray gave a worker up ({type(cause or error).__name__}: {about[0]})"


def probe_name(marks: Path) -> str:
    """Return the name of the claim that is held here while a job runs, to be seen held on every node."""
    return f"driver-{marks.name}"


def store_news(told: Mapping[str, Any], folder: Path, marks: Path) -> Callable[[], list[dict[str, Any]]]:
    """Return a function that says what is new: cells that have got a record since it was last asked.

    The store is the only truth, so it is looked at, and no task is asked.
    """
    from benchmark.store.records import finished

    equip(told)
    left = {path.cell.id for path in _tree(told).cells if finished(folder, path.cell.id) is None}

    def look() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{"done": cell} for cell in sorted(left) if finished(folder, cell) is not None]
        tried = sorted(left - {event["done"] for event in found})
        found += [{"failed": cell} for cell in tried if (marks / f"unfinished-{cell}").exists()]
        left.difference_update(cell for event in found for cell in event.values())
        return found

    return look


def work(told: dict[str, Any], folder: str, marks: str, threads: int) -> None:
    """Be a worker, as a task of Ray on whatever node."""
    os.environ.update(surroundings(threads))
    import torch
    from filelock import Timeout

    torch.set_num_threads(threads)
    from benchmark.harness.worker import Worker, claim

    settle(told)
    run, here = Path(folder), os.uname().nodename
    if not Path(marks).is_dir():
        raise StoreError(f"{run}: not seen on {here}; --out must be a folder that all machines share, at the same path")
    try:
        with claim(run, probe_name(Path(marks))).acquire(timeout=0):
            pass
    except Timeout:
        pass  # as it should be: the driver holds it
    else:
        raise StoreError(
            f"{run}: {here} does not see the file locks of other machines, so two would do the same work; mount it so "
            "that it does (NFS: without nolock and local_lock)"
        )
    equip(told)
    Worker(_tree(told), run, Path(marks), lambda _: None).work()

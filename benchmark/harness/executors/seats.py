"""Seats on Ray: actors that do the units that the driver hands out, for a run on an object store.

Ray places a seat, starts it again where its process dies, and gives it the unit again that it was at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchmark.errors import PrunebenchError
from benchmark.harness.dispensing import Dispenser
from benchmark.harness.processes import Emit, equip, settle, surroundings


class Seat:
    """One worker, as an actor on whatever node. Loads what it needs with its first unit."""

    def __init__(self, told: dict[str, Any], threads: int) -> None:
        self.told, self.threads = told, threads
        self.handed: Any = None

    def do(self, name: str) -> None:
        """Do a unit; what came of it is in the store.

        Raises:
            PrunebenchError: the store cannot be reached, or this machine has no room.
        """
        if self.handed is None:
            os.environ.update(surroundings(self.threads))
            settle(self.told)
            import torch

            torch.set_num_threads(self.threads)
            from benchmark.harness.distant import Handed
            from benchmark.harness.tree import grow
            from benchmark.specs import Leaderboard
            from benchmark.store.depot import Depot

            equip(self.told)
            tree = grow(Leaderboard.parse(self.told["spec"], "the job's spec"))
            self.handed = Handed(tree, Depot(self.told["url"]), lambda _: None)
        self.handed.do(name)


def hand_out(
    ray: Any, told: Mapping[str, Any], how: Mapping[str, Any], count: int, dispenser: Dispenser, emit: Emit
) -> list[Exception]:
    """Hand units to ``count`` seats until none is left; return what seats were given up for.

    ``how`` are Ray's options of an actor: what it needs, and how often it is started again.
    """
    kind = ray.remote(**how)(Seat)
    threads = int(how["num_cpus"])
    idle = [kind.remote(dict(told), threads) for _ in range(count)]
    busy: dict[Any, tuple[Any, str]] = {}
    failures: list[Exception] = []
    while True:
        while idle and (name := dispenser.take()) is not None:
            seat = idle.pop()
            busy[seat.do.remote(name)] = seat, name
        if not busy:
            return failures
        (done, *_), _ = ray.wait(list(busy), num_returns=1)
        seat, name = busy.pop(done)
        try:
            ray.get(done)
        except ray.exceptions.RayError as error:  # of this seat: the unit goes to another one
            failures.append(error)
            dispenser.back(name)
            continue
        for event in dispenser.over(name):
            emit(event)
        idle.append(seat)


def given_up(failures: list[Exception], dispenser: Dispenser, say: Any) -> None:
    """Raise where cells are left: why the first seat was given up, or that nothing can be done.

    Raises:
        PrunebenchError: cells are left.
    """
    from benchmark.harness.executors.handing import stuck

    if dispenser.left:
        raise PrunebenchError(say(failures[0]) if failures else stuck(dispenser)[0])

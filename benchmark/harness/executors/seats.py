"""Seats on Ray: actors that do the units that the driver hands out, for a run on an object store.

Ray places a seat and starts it again where its process or its node dies; the unit it was at goes to whoever is free.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchmark.harness.dispensing import Dispenser
from benchmark.harness.processes import Emit, equip, settle, surroundings


class Seat:
    """One worker, as an actor on whatever node. Loads what it needs with its first unit."""

    def __init__(self, told: dict[str, Any], threads: int) -> None:
        self.told, self.threads = told, threads
        self.handed: Any = None

    def ready(self) -> None:
        """Return: that it does tells that the seat is placed."""

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

    A seat gets a unit when it is placed, and again when it was: one of a dead node may wait for room as long as another
    one is idle. ``how`` are Ray's options of an actor: what it needs, and how often it is started again.
    """
    kind = ray.remote(**how)(Seat)
    idle: list[Any] = []
    failures: list[Exception] = []
    calls: dict[Any, tuple[Any, str | None]] = {}

    def place(seat: Any) -> None:
        # Asked again as long as it takes: a call to a seat that is started again is refused after two seconds.
        calls[seat.ready.options(max_task_retries=-1).remote()] = seat, None

    for _ in range(count):
        place(kind.remote(dict(told), int(how["num_cpus"])))
    while True:
        while idle and (name := dispenser.take()) is not None:
            seat = idle.pop()
            calls[seat.do.remote(name)] = seat, name
        in_hand = any(name is not None for _, name in calls.values())
        if not dispenser.left or not calls or (idle and not in_hand):
            return failures
        (done, *_), _ = ray.wait(list(calls), num_returns=1)
        seat, held = calls.pop(done)
        try:
            ray.get(done)
        except ray.exceptions.RayActorError as error:  # its process or its node died; Ray starts it again, or gives up
            if held is None:
                failures.append(error)
            else:
                dispenser.back(held)
                place(seat)
            continue
        except ray.exceptions.RayError as error:  # what it ran into itself: the unit goes to another one
            failures.append(error)
            if held is not None:
                dispenser.back(held, died=False)
            continue
        if held is not None:
            for event in dispenser.over(held):
                emit(event)
        idle.append(seat)

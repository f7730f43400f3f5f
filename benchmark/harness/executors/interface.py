"""What an executor is: it starts workers somewhere and waits for them. It decides nothing. No torch import.

Which node or cell is next, who holds it and what is done is settled by the workers themselves, with kernel file locks
and records in the run folder (``harness.worker``). On an object store, which has no locks, ``harness.dispensing`` hands
out one unit after the other. So an executor that dies loses no more than the units under way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmark.errors import SpecError
from benchmark.harness.tree import Tree

EVENTS = {"unit", "done", "failed", "stopped", "over", "fatal"}
"""Keys of what workers report: progress of a unit, its end, and (``fatal``) why a worker gave up as a whole.

``over``: a unit that was handed out has ended, whatever came of it.
"""

Event = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """What workers are to do: a tree, in a run folder, with a folder of their own for marks of this call alone.

    ``modules`` are those of plug-ins that were registered by hand, which a worker must import; None where one of them
    is in ``__main__``, which no other process can import. With a ``url`` the run is there, the folder is its mirror,
    and units are handed out (``harness.dispensing``).
    """

    tree: Tree
    folder: Path
    marks: Path
    modules: tuple[str, ...] | None = ()
    url: str | None = None

    def order(self) -> dict[str, Any]:
        """Return what a worker is told."""
        return {"spec": self.tree.spec.model_dump(mode="json"), "url": self.url}


class Team(ABC):
    """Workers of one job, from their start to their end: a context, in which ``work`` is called once."""

    def __enter__(self) -> Team:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    @abstractmethod
    def work(self, event: Event) -> list[str]:
        """Let the workers work until they find nothing more to do; return why some ended before, a line each.

        Only now is the run folder there. ``event`` is told what they report; see ``EVENTS``.
        """


@dataclass(frozen=True)
class Executor(ABC):
    """Settings of an executor.

    Args:
        workers: how many at once; None: as many as there is room for, at most one a cell.
        threads: CPU threads of each. Results depend on them; two runs are equal at equal threads.
        gpus: of each worker, 0 to 1 (0.5: two share one); None: one each where there are any, else none.

    Raises:
        SpecError: a value that cannot be.
    """

    workers: int | None = None
    threads: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise SpecError(f"workers = {self.workers}: give 1 or more, or 0 to work in this process")
        if self.threads < 1:
            raise SpecError(f"threads = {self.threads}: a worker needs at least 1")
        if self.gpus is not None and not 0 <= self.gpus <= 1:
            raise SpecError(f"gpus = {self.gpus:g}: a worker uses one GPU, or a part of it; give 0 to 1")

    @abstractmethod
    def team(self, job: Job) -> Team:
        """Return the workers of a job, which start as their context is entered, while the data is prepared.

        Raises:
            SpecError: what is asked for is not there.
        """


def executor(name: str, options: Mapping[str, Any]) -> Executor:
    """Return the executor of a name with its options.

    Raises:
        SpecError: no such executor, or an option that it does not have or that cannot be.
    """
    from benchmark.errors import nearest
    from benchmark.harness.executors.local import Local
    from benchmark.harness.executors.on_ray import OnRay

    known: dict[str, type[Executor]] = {"local": Local, "ray": OnRay}
    if name not in known:
        raise SpecError(f"unknown executor {name!r}{nearest(name, known)}")
    kind = known[name]
    for option in options.keys() - kind.__dataclass_fields__.keys():
        raise SpecError(f"executor {name!r} has no option {option!r}; it has {', '.join(kind.__dataclass_fields__)}")
    return kind(**options)

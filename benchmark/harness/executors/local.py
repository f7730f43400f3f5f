"""``local``: worker processes on this machine, one a GPU where there are some, else one for each few cores."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from benchmark.errors import SpecError
from benchmark.harness.executors.handing import dispenser_of, hand_out, hand_out_here
from benchmark.harness.executors.interface import EVENTS, Event, Executor, Job, Team
from benchmark.harness.processes import listen, order, reap, spawn

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Local(Executor):
    """Worker processes here; ``workers=0`` works in this process."""

    def team(self, job: Job) -> Team:
        """Return the workers: processes, or this one."""
        if self.workers == 0 or job.modules is None:
            return Here(job, self.threads)
        kind = Processes if job.url is None else HandedProcesses
        places = self._places()
        count = self.workers if self.workers is not None else len(places)
        count = min(count, len(job.tree.cells))  # more find nothing to do
        return kind(job, self.threads, [places[number % len(places)] for number in range(count)])

    def _places(self) -> list[str | None]:
        """Return what each worker sees as ``CUDA_VISIBLE_DEVICES``, None: what this process sees."""
        found = [] if self.gpus == 0 else visible_gpus()
        if self.gpus and not found:
            raise SpecError(f"gpus = {self.gpus:g}: no GPU is seen here; leave it out, or give 0 to use CPU cores")
        if found:
            return [name for name in found for _ in range(int(1 / (self.gpus or 1)))]
        here = "" if self.gpus == 0 else None
        return [here] * max(1, (os.cpu_count() or 1) // self.threads)


def visible_gpus() -> list[str]:
    """Return the names by which a process started here may ask for the GPUs that this one sees."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return named[:count] or [str(number) for number in range(count)]


class Here(Team):
    """This process as the only worker."""

    def __init__(self, job: Job, threads: int) -> None:
        self.job, self.threads = job, threads

    def work(self, event: Event) -> list[str]:
        """Work until nothing is left."""
        import torch

        from benchmark.harness.worker import Worker

        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)  # as in a worker process: results depend on it
        try:
            if self.job.url is None:
                Worker(self.job.tree, self.job.folder, self.job.marks, event).work()
                return []
            return hand_out_here(self.job, event)
        finally:
            torch.set_num_threads(before)


class Processes(Team):
    """Processes of ``prunebench worker``: they import their libraries at once, and begin when they are told."""

    def __init__(self, job: Job, threads: int, places: list[str | None]) -> None:
        self.job, self.threads, self.places = job, threads, places
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Team:
        asked = ["worker", str(self.job.folder.resolve()), str(self.job.marks.resolve()), str(self.threads)]
        for place in self.places:
            self.processes.append(spawn(asked, self.threads, {} if place is None else {VISIBLE: place}))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        reap(self.processes)

    def work(self, event: Event) -> list[str]:
        """Tell the workers to begin, hand on what they report, and wait for them."""
        said: list[str] = []

        def heard(found: dict[str, object]) -> None:
            said.append(str(found["fatal"])) if "fatal" in found else event(found)

        readers = [listen(process, heard, EVENTS) for process in self.processes]
        for process in self.processes:
            with suppress(BrokenPipeError):  # it died while it waited: its code says so below
                order(process, self.job.order(), self.job.modules or ())
        for reader in readers:
            reader.join()
        return said or self._died()

    def _died(self) -> list[str]:
        codes = [process.wait() for process in self.processes]
        return [f"a worker process ended with code {code}; what it said stands above" for code in codes if code]


class HandedProcesses(Processes):
    """The same processes, which are told unit by unit what to do."""

    def work(self, event: Event) -> list[str]:
        """Hand out the units, hand on what is reported, and wait for the end."""
        dispenser = dispenser_of(self.job)
        said = hand_out(self.job, self.processes, dispenser, event)
        return said or self._died() or dispenser.stuck

"""``ray``: workers as tasks of a Ray cluster, which places them and starts a dead one again; it decides nothing else.

Ray runs in a process of its own (``harness.executors.placing``): where its head dies, it ends the process that spoke to
it, and this one has to live on to say so.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmark.errors import PrunebenchError, SpecError
from benchmark.harness.executors.interface import EVENTS, Event, Executor, Job, Team
from benchmark.harness.processes import listen, order, spawn

PATIENCE = 10.0
"""Seconds that Ray gets to end what it has started."""
GONE = 5
"""Seconds without an answer after which Ray calls its head dead; its own default is a minute."""


@dataclass(frozen=True)
class OnRay(Executor):
    """Ray tasks.

    Args:
        address: of a cluster that is there, as ``ray.init`` takes it; None starts one on this machine, for this call.
    """

    address: str | None = None

    def team(self, job: Job) -> Team:
        """Return the workers: tasks of a cluster.

        Raises:
            SpecError: no Ray is installed, no worker is asked for, or a plug-in is in ``__main__``.
        """
        if importlib.util.find_spec("ray") is None:
            raise SpecError("executor 'ray' needs Ray: pip install 'prunebench[ray]', or --executor local")
        if self.workers == 0:
            raise SpecError("workers = 0 works in this process, which is no task of Ray: give 1 or more")
        if job.modules is None:
            raise SpecError("a plug-in that was defined in __main__ is in no task of Ray: put it into a module")
        return Tasks(job, self)


class Tasks(Team):
    """One process of ``prunebench ray-driver``, which hands the workers to Ray and waits for them."""

    def __init__(self, job: Job, settings: OnRay) -> None:
        self.job, self.settings = job, settings
        handle, name = tempfile.mkstemp(prefix="prunebench-ray-", suffix=".log")
        self.log, self.words = os.fdopen(handle, "wb"), Path(name)
        self.process: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None
        self.ready = threading.Event()
        self.said: list[str] = []
        self.event: Event = lambda _: None

    def __enter__(self) -> Team:
        asked = {
            "address": self.settings.address,
            "threads": self.settings.threads,
            "gpus": self.settings.gpus,
            "workers": self.settings.workers,
            "cells": len(self.job.tree.cells),
            "folder": str(self.job.folder.resolve()),
            "marks": str(self.job.marks.resolve()),
        }
        extra = {"RAY_gcs_rpc_server_reconnect_timeout_s": str(GONE)}
        self.process = spawn(["ray-driver", json.dumps(asked)], extra=extra, errors=self.log)
        self.reader = listen(self.process, self._heard, {*EVENTS, "ready"})
        # What cannot be met is told before the data is made, which may take hours.
        while not self.ready.wait(timeout=0.1):
            if not self.reader.is_alive() and not self.ready.is_set():
                ended = self._ended()
                self._close()
                raise PrunebenchError(ended)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def work(self, event: Event) -> list[str]:
        """Have the tasks placed, hand on what is done, and wait."""
        assert self.process is not None and self.reader is not None
        self.event = event
        with suppress(BrokenPipeError):  # it died while it waited: its code says so below
            order(self.process, self.job.order(), self.job.modules or ())
        self.reader.join()
        return [self._ended()] if self.process.wait() else []

    def _heard(self, found: dict[str, object]) -> None:
        if "fatal" in found:
            self.said.append(str(found["fatal"]))
        elif "ready" in found:
            self.ready.set()
        else:
            self.event(found)

    def _ended(self) -> str:
        """Return why the process ended before its time; a head that dies takes it along without a word."""
        assert self.process is not None
        code = self.process.wait()
        if self.said:
            return self.said[0]
        where = "here" if self.settings.address is None else f"at {self.settings.address}"
        return (
            f"Ray {where} is gone: its head died or cannot be reached (code {code}; its own words are in "
            f"{self.words}). Start it again"
        )

    def _close(self) -> None:
        assert self.process is not None
        mute = self.process.poll() not in (None, 0) and not self.said
        if self.process.poll() is None:
            self.process.terminate()  # so that it ends what it has started
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
            self.process.kill()
            self.process.wait()
        self.log.close()
        if not mute:
            self.words.unlink(missing_ok=True)

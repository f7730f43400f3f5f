"""Units handed out to processes on this machine, or done in this one: runs on an object store without a cluster."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from benchmark.harness.dispensing import Dispenser
from benchmark.harness.executors.interface import EVENTS, Event, Job
from benchmark.harness.processes import order, reports, tell
from benchmark.store.depot import Depot


def hand_out(job: Job, processes: Sequence[subprocess.Popen[str]], dispenser: Dispenser, event: Event) -> list[str]:
    """Hand units to waiting worker processes until none is left; return why some gave up before, a line each.

    Raises:
        Exception: what went wrong here, and not in a worker.
    """
    said: list[str] = []
    wrong: list[Exception] = []

    def attend(process: subprocess.Popen[str]) -> None:
        held: str | None = None
        told = False
        last_words: list[str] = []
        try:
            order(process, job.order(), job.modules or (), more=True)
            found = reports(process, EVENTS)
            while (held := dispenser.take(wait=True)) is not None:
                told = False
                tell(process, {"do": held})
                told = True
                if not _until_over(found, last_words, event):
                    break  # it died, or gave up
                over, held = held, None
                for news in dispenser.over(over):
                    event(news)
        except BrokenPipeError:  # it died while it waited: its code says so
            pass
        except Exception as error:  # raised below, where it is heard
            wrong.append(error)
        finally:
            said.extend(last_words)
            if held is not None:
                dispenser.back(held, died=told and not last_words)  # to whoever is left
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()

    threads = [threading.Thread(target=attend, args=(process,), daemon=True) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong and dispenser.left:  # else others have done its part
        raise wrong[0]
    return said


def _until_over(found: Iterator[dict[str, Any]], last_words: list[str], event: Event) -> bool:
    """Hand on what a worker reports until its unit is over; False where the worker ended before, and what it said."""
    for one in found:
        if "over" in one:
            return True
        if "fatal" in one:
            last_words.append(str(one["fatal"]))
        else:
            event(one)
    return False


def hand_out_here(job: Job, event: Event) -> list[str]:
    """Do all units in this process."""
    from benchmark.harness.distant import Handed

    dispenser = dispenser_of(job)
    handed = Handed(job.tree, dispenser.depot, lambda found: event(found) if "unit" in found else None)
    while (name := dispenser.take()) is not None:
        handed.do(name)
        for found in dispenser.over(name):
            event(found)
    return dispenser.stuck


def dispenser_of(job: Job) -> Dispenser:
    """Return who hands out the units of a job on an object store."""
    assert job.url is not None
    return Dispenser(job.tree, Depot(job.url))

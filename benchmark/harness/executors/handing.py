"""Units handed out to processes on this machine, or done in this one: runs on an object store without a cluster."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress

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
        try:
            order(process, job.order(), job.modules or (), more=True)
            held = dispenser.take(wait=True)
            if held is not None:
                tell(process, {"do": held})
                for found in reports(process, EVENTS):
                    if "fatal" in found:
                        said.append(str(found["fatal"]))
                    elif "over" not in found:
                        event(found)
                    else:
                        over, held = held, None
                        for news in dispenser.over(over):
                            event(news)
                        held = dispenser.take(wait=True)
                        if held is None:
                            break
                        tell(process, {"do": held})
        except BrokenPipeError:  # it died while it waited: its code says so
            pass
        except Exception as error:  # raised below, where it is heard
            wrong.append(error)
        finally:
            if held is not None:
                dispenser.back(held)  # to whoever is left
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()

    threads = [threading.Thread(target=attend, args=(process,), daemon=True) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    return said


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

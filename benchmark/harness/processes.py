"""Worker processes: the same package under another verb, an order as a line of JSON in, events as lines of JSON out."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

THREADS = 1
"""Threads of each worker unless told: two workers of one finish a small model's steps faster than one worker of two."""

CACHE = "PRUNEBENCH_CACHE"

Emit = Callable[[dict[str, Any]], None]


def surroundings(threads: int) -> dict[str, str]:
    """Return what the environment of every worker says, wherever it is started."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
    }


def spawn(
    arguments: Sequence[str],
    threads: int = THREADS,
    extra: Mapping[str, str] | None = None,
    errors: IO[bytes] | None = None,
) -> subprocess.Popen[str]:
    """Start ``prunebench`` with ``arguments``; it imports its libraries and then waits for its order.

    ``extra`` is further environment; ``errors`` takes what it prints to standard error (None: that of this process).
    """
    environment = {**os.environ, **surroundings(threads), **(extra or {})}
    # -P: a folder named benchmark where the user stands must not be taken for the package.
    command = [sys.executable, "-P", "-m", "benchmark", *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, bufsize=1
    )


def order(process: subprocess.Popen[str], data: Mapping[str, Any], modules: Iterable[str], more: bool = False) -> None:
    """Tell a worker to begin; ``modules`` are those of plug-ins that were registered by hand in this process.

    With ``more``, further lines may follow (``tell``).
    """
    tell(process, {**data, **_place(), "path": sys.path, "modules": list(modules)})
    if not more:
        assert process.stdin is not None
        process.stdin.close()


def _place() -> dict[str, Any]:
    """Return where this process stands and where its cache is, for workers on other machines that share the disk."""
    return {"cwd": os.getcwd(), "cache": os.environ.get(CACHE)}


def tell(process: subprocess.Popen[str], data: Mapping[str, Any]) -> None:
    """Send a worker a line.

    Raises:
        BrokenPipeError: it is gone.
    """
    assert process.stdin is not None
    process.stdin.write(json.dumps(data) + "\n")
    process.stdin.flush()


def reports(process: subprocess.Popen[str], kinds: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield what a worker reports until it ends: objects with one of the keys ``kinds``."""
    assert process.stdout is not None
    for line in process.stdout:
        try:
            found = json.loads(line)
        except ValueError:
            continue  # what some library said before the worker took its stream for itself
        if isinstance(found, dict) and set(kinds) & found.keys():
            yield found


def listen(process: subprocess.Popen[str], event: Emit, kinds: Collection[str]) -> threading.Thread:
    """Return a thread that hands on what a worker reports."""

    def read() -> None:
        for found in reports(process, kinds):
            event(found)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def reap(processes: Iterable[subprocess.Popen[str]]) -> None:
    """End the workers that are still there."""
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def reporting() -> Emit:
    """In a process that ``spawn`` started: return how to report, and leave nobody else that way.

    Events go to what was standard output; whatever a plug-in or a library prints goes to standard error.
    """
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def emit(event: dict[str, Any]) -> None:
        print(json.dumps(event), flush=True, file=events)

    return emit


def ordered() -> dict[str, Any] | None:
    """Wait for the order and return it; None where whoever started this process died before."""
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def settle(found: Mapping[str, Any]) -> None:
    """Stand where the driver stands, so that relative paths of a spec lead to the same data, and share its cache.

    A machine without that folder stays where it is; one that was told of a cache of its own keeps to that.
    """
    if os.path.isdir(found["cwd"]):
        os.chdir(found["cwd"])
    if found["cache"] and CACHE not in os.environ:
        os.environ[CACHE] = found["cache"]


def equip(found: Mapping[str, Any]) -> None:
    """Import the plug-ins that an order names."""
    sys.path += [place for place in found["path"] if place not in sys.path]
    for module in found["modules"]:
        importlib.import_module(module)


def receive(threads: int = THREADS) -> tuple[dict[str, Any] | None, Emit]:
    """In a worker: return its order, with the plug-ins it names imported, and how to report.

    None where whoever started it died before.
    """
    emit = reporting()
    import torch
    import transformers  # noqa: F401  (imported while the driver prepares the data)

    torch.set_num_threads(threads)
    found = ordered()
    if found is not None:
        equip(found)
    return found, emit

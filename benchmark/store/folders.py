"""The run folder: its marker, the specs that were carried out in it, and what every reader of its JSON checks.

::

    <run>/prunebench.json         marker: {"format": 1, ...}
    <run>/specs/<hash>.json       one a leaderboard that was started here: what was asked, and which cells it names
    <run>/runs/                   records, see ``benchmark.store.records``
    <run>/timings/                timing records, see ``benchmark.store.timings``
    <run>/work/                   disposable: checkpoints, prefix cache, locks
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import StoreError
from benchmark.store.files import to_json, write_atomically

FORMAT = 1
MARKER = "prunebench.json"
SPECS = "specs"
OPTIMIZER = "optimizer.safetensors"
"""File of a node of the prefix cache that only a Fit which goes on from it needs."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+:/")
WAY_OUT = "remove that attempt's folder and run again to make it anew"


def refuse_url(path: Path | str) -> None:
    """Refuse a URL where a folder is meant: as a path it would be a folder of that odd name.

    Raises:
        StoreError: it is one.
    """
    if _URL.match(str(path)):
        raise StoreError(
            f"{path}: a URL is no folder; run, leaderboard and plan take one as --out, and report, score, recommend, "
            "bundle and merge read one: prunebench merge URL --into FOLDER brings it here"
        )


def check_new(path: Path) -> None:
    """Refuse a place where something is.

    Raises:
        StoreError: a file, or a folder that is not empty.
    """
    refuse_url(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StoreError(f"{path}: exists and is not empty; give a new folder or remove it first")


def check_run(path: Path | str) -> Path:
    """Return the folder if ``open_run(path, create=True)`` would take it; whatever it says, nothing is left behind.

    Raises:
        StoreError: as ``open_run``.
    """
    folder = Path(path)
    try:
        if check_writable(folder) == folder:
            _is_marked(folder, create=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def check_writable(folder: Path) -> Path:
    """Return the folder, or where it does not exist the one above it in which it would be made; nothing is left there.

    Raises:
        StoreError: it cannot be written, or is a file.
    """
    refuse_url(folder)
    try:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        tempfile.TemporaryFile(dir=there).close()  # only writing tells: root's rights end at a read-only disk
    except OSError as error:
        raise unwritable(folder, error) from error
    return there


def open_run(path: Path | str, create: bool = False) -> Path:
    """Return the run folder at ``path``; with ``create`` make it (or go on in it) and check that it is writable.

    Raises:
        StoreError: not a run folder, from a newer version, not writable, or a folder with other things in it.
    """
    refuse_url(path)
    folder = Path(path)
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        if _is_marked(folder, create):
            return folder
    except FileNotFoundError as error:
        if create:
            raise unwritable(folder, error) from error
        raise StoreError(f"{folder}: no such folder; give the folder that a run was written to") from error
    except OSError as error:
        raise unwritable(folder, error) if create else StoreError(f"{folder}: {short(error)}") from error
    marker = {"format": FORMAT, "what": "prunebench run folder", "created": dt.datetime.now(dt.UTC).isoformat()}
    try:
        write_atomically(folder / MARKER, to_json(marker))
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def _is_marked(folder: Path, create: bool) -> bool:
    """Return whether a folder is a run folder; raise where it cannot be, or (``create``) cannot become one."""
    names = {entry.name for entry in folder.iterdir()}
    if MARKER in names:
        check_format(read_json(folder / MARKER, "restore it from the run's other copy"), folder / MARKER)
        return True
    if not create:
        raise StoreError(f"{folder} is not a run folder (it has no {MARKER}); give the folder a run was written to")
    if any(not name.startswith(f".{MARKER}.") for name in names):  # such a name is another process, opening it too
        raise StoreError(f"{folder} has other things in it and is not a run folder; give a new or an empty folder")
    return False


def keep_spec(run: Path, spec: Mapping[str, Any], cells: Sequence[str]) -> Path:
    """Write down that a leaderboard was started here; the same one again changes nothing.

    Raises:
        StoreError: the folder cannot be written.
    """
    content = to_json({"format": FORMAT, "spec": spec, "cells": list(cells)})
    path = run / SPECS / f"{spec_name(content.encode())}.json"
    try:
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            write_atomically(path, content)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def spec_name(content: bytes) -> str:
    """Return the name, without its ending, of the file that holds a kept spec."""
    return hashlib.sha256(content).hexdigest()[:16]


def kept_specs(run: Path | str, cell: str | None = None) -> list[dict[str, Any]]:
    """Return the specs of the leaderboards that were started in a run folder, by name of their files.

    With ``cell``, only those that name it.

    Raises:
        StoreError: not a run folder, or a file that cannot be used.
    """
    return [spec for spec, cells in started(run) if cell is None or cell in cells]


def started(run: Path | str) -> list[tuple[dict[str, Any], list[str]]]:
    """Return each leaderboard that was started in a run folder: its spec, and the ids of its cells.

    Raises:
        StoreError: not a run folder, or a file that cannot be used.
    """
    found = []
    for path in sorted((open_run(run) / SPECS).glob("*.json")):
        data = read_json(path, "remove it; the records do not need it")
        check_format(data, path)
        if not isinstance(data.get("spec"), dict) or not isinstance(data["spec"].get("normalizer"), str):
            raise StoreError(f"{path}: holds no spec; remove it, the records do not need it")
        found.append((data["spec"], [str(cell) for cell in data.get("cells") or ()]))
    return found


def read_json(path: Path, way_out: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        StoreError: the file cannot be read, was cut off, or holds something else; ``way_out`` ends the line.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({short(error)}); {way_out}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not whole JSON ({short(error)}), cut off or edited; {way_out}") from error
    if not isinstance(data, dict):
        raise StoreError(f"{path}: holds a {type(data).__name__} where an object is expected; {way_out}")
    return data


def check_format(data: Mapping[str, Any], path: Path) -> None:
    """Refuse what a newer version wrote.

    Raises:
        StoreError: no format, or one above ``FORMAT``.
    """
    found = data.get("format")
    if not isinstance(found, int) or isinstance(found, bool):
        raise StoreError(f"{path}: has no format number; {WAY_OUT}")
    if found > FORMAT:
        raise StoreError(f"{path}: format {found} is newer than this prunebench reads ({FORMAT}); update prunebench")


def unwritable(path: Path, error: OSError) -> StoreError:
    """Return the error for a place that cannot be written."""
    return StoreError(f"{path}: cannot be written ({short(error)}); give a folder you may write to, with free space")


def short(error: Exception) -> str:
    """Return an exception as one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.splitlines()[0] if text else type(error).__name__

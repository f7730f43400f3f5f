"""The record on disk: what one attempt at a cell produced, written once and never changed.

Every function takes the *run folder*, which is the one that holds the marker ``prunebench.json``::

    <run>/prunebench.json                      marker: {"format": 1, ...}
    <run>/runs/<cell>/<attempt>/spec.json      what was asked
                                plan.safetensors, model.safetensors, transcripts-<corpus>-<lang>-<split>.parquet
                                record.json    written last: the commit mark (no mark, no result)
    <run>/timings/<device>/<stamp>-<hex>.json  timing records, see ``benchmark.store.timings``

A record's ``status`` is ``ok`` (a result), ``failed``, or ``pruned``: stopped while it trained by somebody who watched
its error rate. Only a result is ever served as one. A cell that was watched has the values in ``watched``::

    "stopped": {"at": <path step>, "of": <all its steps>, "reason": "..."}      of a pruned attempt only
    "watched": {"split": "...", "utterances": n, "signature": "...", "values": [[<path step>, <error rate>], ...]}

The name of an attempt is a UTC time stamp and six random hex digits, so the union of two machines' folders never
collides and the newest attempt is the last by name.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import StoreError
from benchmark.store import transcripts
from benchmark.store.files import sync, to_json, write_atomically
from benchmark.store.folders import FORMAT, WAY_OUT, check_format, open_run, read_json, unwritable

if TYPE_CHECKING:
    import pandas as pd

RECORD = "record.json"
SPEC = "spec.json"
PLAN = "plan.safetensors"
MODEL = "model.safetensors"
_ALWAYS = ("cell", "attempt", "status", "spec")
_NEEDED = {"ok": ("plan", "counts", "budget", "data"), "failed": ("error",), "pruned": ("stopped", "watched")}
"""Status to what a record of it holds besides: a result, a failure, or what was stopped while it trained."""
_PARTS = {
    "data.": {"hash", "utterances", "transcripts"},
    "stopped": {"at", "of", "reason"},
    "watched": {"split", "utterances", "signature", "values"},
}


@dataclass(frozen=True)
class Record:
    """One committed attempt; ``data`` is the content of ``record.json`` and ``path`` the attempt's folder."""

    cell: str
    attempt: str
    path: Path
    data: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether the attempt produced a result; other attempts are records too, and never results."""
        return bool(self.data["status"] == "ok")

    @property
    def failed(self) -> bool:
        """Whether something went wrong."""
        return bool(self.data["status"] == "failed")

    @property
    def stopped(self) -> bool:
        """Whether somebody who watched it train ended it, which is no failure (status ``pruned``)."""
        return bool(self.data["status"] == "pruned")

    @property
    def error(self) -> str:
        """Why there is no result, else the empty string: ``Type: message``, or ``stopped at step 80 of 120: why``."""
        if self.stopped:
            stopped = self.data["stopped"]
            return f"stopped at step {stopped['at']} of {stopped['of']}: {stopped['reason']}"
        error = self.data.get("error") or {}
        return "" if self.ok else f"{error.get('type', 'Error')}: {error.get('message', 'no message')}"

    def transcripts(self, split: str) -> pd.DataFrame:
        """Return the raw transcripts of a split, one row an utterance (at least id, reference, hypothesis).

        Raises:
            StoreError: the record has no such split, or its file is missing or broken.
        """
        return transcripts.read(self._transcripts(split)).to_pandas(ignore_metadata=True)

    def columns(self, split: str, *beside: str) -> dict[str, list[Any]]:
        """Return ids, references, hypotheses and other columns (where the file has them), as lists.

        Raises:
            StoreError: as ``transcripts``.
        """
        found: dict[str, list[Any]] = transcripts.read(self._transcripts(split), beside).to_pydict()
        return found

    def _transcripts(self, split: str) -> Path:
        known = self.data.get("data") or {}
        if split not in known:
            raise StoreError(f"{self.path}: no transcripts of split {split!r}; it has: {', '.join(known) or 'none'}")
        return self.path / str(known[split]["transcripts"])


class Attempt:
    """A folder that is being filled; it counts for nothing until ``commit``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cell = path.parent.name
        self.name = path.name

    @classmethod
    def create(cls, run: Path, cell: str, spec: Mapping[str, Any]) -> Attempt:
        """Make a new attempt's folder in a run folder and write ``spec.json``.

        Raises:
            StoreError: the folder cannot be written.
        """
        path = run / "runs" / cell / new_stamp()
        try:
            path.mkdir(parents=True)
            write_atomically(path / SPEC, to_json(spec))
        except OSError as error:
            raise unwritable(path, error) from error
        return cls(path)

    def write_transcripts(
        self, corpus: str, language: str, split: str, columns: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> str:
        """Write one split's transcripts (see ``benchmark.store.transcripts``) and return the file's name.

        Raises:
            StoreError: ``id``, ``reference`` or ``hypothesis`` is missing, or the file cannot be written.
        """
        name = transcripts.file_name(corpus, language, split)
        transcripts.write(self.path / name, columns)
        return name

    def commit(self, data: Mapping[str, Any]) -> Record:
        """Write ``record.json``, last of all; ``format``, ``cell`` and ``attempt`` are filled in.

        Raises:
            StoreError: the record is incomplete, was committed before, or cannot be written.
        """
        filled: dict[str, Any] = json.loads(
            to_json({**data, "format": FORMAT, "cell": self.cell, "attempt": self.name})
        )
        filled.setdefault("finished", dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
        _check(filled, self.path / RECORD)
        if (self.path / RECORD).exists():
            raise StoreError(f"{self.path / RECORD} is there already; an attempt is committed once")
        try:
            for file in self.path.rglob("*"):  # what the mark vouches for must be on disk before the mark is
                sync(file)
            write_atomically(self.path / RECORD, to_json(filled))
        except OSError as error:
            raise unwritable(self.path, error) from error
        return Record(self.cell, self.name, self.path, filled)

    def discard(self) -> None:
        """Remove the folder of an attempt that was given up; a committed one stays."""
        if not (self.path / RECORD).exists():
            shutil.rmtree(self.path)


def clear_uncommitted(run: Path, cell: str) -> None:
    """Remove a cell's attempts without a record; only for who holds the cell's lock, or they may be in the making."""
    for folder in (run / "runs" / cell).glob("*"):
        if folder.is_dir() and not (folder / RECORD).exists():
            shutil.rmtree(folder)


def new_stamp() -> str:
    """Return a name that sorts by time and is unique across machines, e.g. ``20261124T101500.123456Z-9f86d0``."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}"


# --- reading ------------------------------------------------------------------------------------------------------


def read_record(path: Path) -> Record:
    """Read and check one ``record.json`` (or the attempt's folder that holds it).

    Raises:
        StoreError: unreadable, cut off, incomplete, misplaced, or from a newer version.
    """
    path = path / RECORD if path.is_dir() else path
    data = read_json(path, WAY_OUT)
    check_format(data, path)
    _check(data, path)
    cell, attempt = path.parent.parent.name, path.parent.name
    if (data["cell"], data["attempt"]) != (cell, attempt):
        raise StoreError(
            f"{path}: the record says it is {data['cell']}/{data['attempt']}; move the folder back to its place"
        )
    return Record(cell, attempt, path.parent, data)


def folder_of(row: Mapping[Any, Any] | pd.Series) -> Path:
    """Return the folder of the attempt that a row of a frame tells of (its ``run``, ``cell`` and ``attempt``)."""
    return Path(str(row["run"])) / "runs" / str(row["cell"]) / str(row["attempt"])


def records(run: Path | str, problems: list[str] | None = None) -> list[Record]:
    """Return all committed attempts of a run folder, by cell and then by time.

    A record that cannot be used raises; where ``problems`` is given, its one-line error is appended there instead,
    and the record is left out.

    Raises:
        StoreError: not a run folder, or (without ``problems``) a record that cannot be used.
    """
    return _scan(open_run(run) / "runs", "*/*/" + RECORD, problems)


def latest(run: Path | str, problems: list[str] | None = None) -> list[Record]:
    """Return one record a cell: its newest result, or its newest other attempt where there is none."""
    by_cell = groupby(records(run, problems), key=lambda record: record.cell)
    return [max(group, key=lambda record: (record.ok, record.attempt)) for _, group in by_cell]


def latest_of(runs: Iterable[Path | str]) -> list[Record]:
    """Return one record a cell over several run folders, by cell."""
    found = sorted((record for run in runs for record in latest(run)), key=lambda record: record.cell)
    by_cell = groupby(found, key=lambda record: record.cell)
    return [max(group, key=lambda record: (record.ok, record.attempt)) for _, group in by_cell]


def finished(run: Path | str, cell: str) -> Record | None:
    """Return the newest result of a cell; None when there is none (what failed or was stopped is never served)."""
    results = [record for record in _scan(Path(run) / "runs" / cell, "*/" + RECORD, None) if record.ok]
    return results[-1] if results else None


def latest_of_cell(run: Path | str, cell: str) -> Record | None:
    """Return the newest result of a cell, or else its newest attempt without one; None where nothing was tried."""
    found = _scan(Path(run) / "runs" / cell, "*/" + RECORD, None)
    return max(found, key=lambda record: (record.ok, record.attempt), default=None)


def _scan(folder: Path, pattern: str, problems: list[str] | None) -> list[Record]:
    found: list[Record] = []
    for path in sorted(folder.glob(pattern)):
        try:
            found.append(read_record(path))
        except StoreError as error:
            if problems is None:
                raise
            problems.append(str(error))
    return found


def _check(data: Mapping[str, Any], path: Path) -> None:
    status = data.get("status")
    if status is not None and (not isinstance(status, str) or status not in _NEEDED):
        raise StoreError(f"{path}: status {status!r} is none of {', '.join(map(repr, _NEEDED))}; {WAY_OUT}")
    needed = _ALWAYS + (_NEEDED[status] if status else ())
    missing = [key for key in needed if data.get(key) is None]
    if missing:
        raise StoreError(f"{path}: lacks {', '.join(map(repr, missing))}; {WAY_OUT}")
    parts = {"spec": data["spec"], **{key: data[key] for key in needed if key not in _ALWAYS}}
    parts |= {"spec.method": data["spec"].get("method")} if isinstance(data["spec"], Mapping) else {}
    about = data.get("data") if status == "ok" else {}
    parts |= {f"data.{split}": value for split, value in about.items()} if isinstance(about, Mapping) else {}
    for name, value in parts.items():
        if not isinstance(value, Mapping):
            raise StoreError(f"{path}: {name!r} holds {value!r:.40} where an object is expected; {WAY_OUT}")
        lacking = _PARTS.get("data." if name.startswith("data.") else name, set()) - value.keys()
        if lacking:
            raise StoreError(f"{path}: {name!r} lacks {min(lacking)!r}; {WAY_OUT}")

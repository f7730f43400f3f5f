"""The union of run folders: what counts there is never changed, so merging is copying what is not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import StoreError
from benchmark.store.files import is_temporary, replacing
from benchmark.store.folders import SPECS, check_format, open_run, read_json
from benchmark.store.records import RECORD, records
from benchmark.store.timings import read_timing


@dataclass(frozen=True)
class Merged:
    """What a merge did: attempts and timing records copied, and attempts that were there already."""

    attempts: int
    timings: int
    present: int


def merge(sources: Sequence[Path | str], into: Path | str, *, write: bool = True) -> Merged:
    """Copy committed attempts (results and failures) and timing records of ``sources`` that ``into`` lacks.

    Everything is checked before anything is copied, and an attempt's ``record.json`` is copied last, so a merge
    that is killed leaves no half attempt that counts, and is finished by the same command. Without ``write`` nothing is
    copied or made, and what would be is counted.

    Raises:
        StoreError: a source is no run folder or holds a broken record, or two folders hold one name with different
            content; nothing has been copied then.
    """
    origins = [open_run(source) for source in sources]
    wanted: dict[Path, Path] = {}
    present: set[Path] = set()
    target = Path(into)
    for origin in origins:
        for mark in _marks(origin):
            name = mark.relative_to(origin)
            there = wanted.get(name, target / name)
            if there.exists():
                _must_agree(mark, there)
            if name in wanted or there.exists():
                present.update({name} - wanted.keys())
            else:
                wanted[name] = mark
    if write:
        target = open_run(into, create=True)
        for name, mark in wanted.items():
            _copy(mark, target / name)
    attempts = sum(name.name == RECORD for name in wanted)
    timed = sum(name.parts[0] == "timings" for name in wanted)
    return Merged(attempts, timed, sum(name.name == RECORD for name in present))


def _marks(run: Path) -> Iterator[Path]:
    """Yield the file that makes each immutable thing count: an attempt's record, a spec, a timing record."""
    for record in records(run):
        yield record.path / RECORD
    for path in sorted((run / SPECS).glob("*.json")):
        check_format(read_json(path, "remove it; the records do not need it"), path)
        yield path
    for path in sorted((run / "timings").glob("*/*.json")):
        read_timing(path)
        yield path


def _must_agree(one: Path, other: Path) -> None:
    a, b = one.read_bytes(), other.read_bytes()
    if a == b:
        return
    try:
        same = json.loads(a) == json.loads(b)
    except ValueError:
        same = False
    if not same:
        raise StoreError(f"{one} and {other} have one name and different content; keep the one you trust, then merge")


def _copy(mark: Path, to: Path) -> None:
    """Copy a spec or a timing record, or a whole attempt with its commit mark last."""
    files = [path for path in mark.parent.rglob("*") if path.is_file()] if mark.name == RECORD else [mark]
    try:
        for file in sorted(files, key=lambda path: path == mark):
            if not is_temporary(file):
                _copy_file(file, to.parent / file.relative_to(mark.parent))
    except OSError as error:
        raise StoreError(f"{to.parent}: cannot be written ({error.strerror}); nothing half-copied counts") from error


def _copy_file(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with replacing(to) as temporary:
        shutil.copyfile(file, temporary)

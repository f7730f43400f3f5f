"""Opening a bundle that came from anywhere: nothing is written outside one new folder, and nothing in it is believed.

What makes the file as a whole unusable is raised; what is wrong with single members is named and left to who decides
about the records they belong to.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import StoreError
from benchmark.store.bundles import CLAIMED, MANIFEST, SCORES, WHAT
from benchmark.store.folders import check_format, open_run, short

MOST_BYTES = 4 * 2**30
"""Of all members together, as the archive states them."""
MOST_OF_ONE = 256 * 2**20
_CELL, _ATTEMPT = r"[0-9a-f]{1,64}", r"[0-9A-Za-z]{1,40}(?:[.-][0-9A-Za-z]{1,40}){0,4}"
_FILE = r"record\.json|spec\.json|plan\.safetensors|transcripts-[\w.%~-]{1,200}\.parquet"
_NAME = re.compile(
    rf"bundle\.json|scores\.csv|specs/[0-9a-f]{{1,64}}\.json|timings/\w[\w.%~-]{{0,200}}/{_ATTEMPT}\.json"
    rf"|runs/{_CELL}/{_ATTEMPT}/(?:{_FILE})",
    re.ASCII,
)
_OF = re.compile(rf"{_CELL}/{_ATTEMPT}", re.ASCII)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError)
"""What ``zipfile`` raises for archives that are broken, encrypted, or packed in a way it does not know."""


@dataclass(frozen=True)
class Opened:
    """A bundle's content as a run folder, and what is claimed of it."""

    source: Path
    folder: Path
    claims: Mapping[tuple[str, str], Mapping[str, Mapping[str, str]]]
    """(cell, attempt) to split to the row of ``scores.csv``."""
    faults: Mapping[str, str]
    """Member to what is wrong with it: not what the list in the bundle says, or not there."""


def unpack(source: Path, folder: Path) -> Opened:
    """Write the members of a bundle into ``folder``, a new run folder.

    Raises:
        StoreError: no whole ZIP file, no bundle, made by a newer version, members that no bundle has (another name, a
            link, the same twice, too large), or claimed scores that are not those that were packed.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            return _unpacked(source, archive, folder)
    except _BROKEN as error:
        raise StoreError(f"{source}: not a whole bundle ({short(error)}); get the file again") from error
    except OSError as error:
        raise StoreError(f"{source}: cannot be read or unpacked ({short(error)}); free some space?") from error


def _unpacked(source: Path, archive: zipfile.ZipFile, folder: Path) -> Opened:
    names = _checked(source, archive.infolist())
    sums = _manifest(source, archive, names)
    faults = {name: "is not in the file" for name in sorted(sums.keys() - names)}
    open_run(folder, create=True)
    table = b""
    for name in sorted(names - {MANIFEST}):
        try:
            data = archive.read(name)
        except _BROKEN as error:
            faults[name] = f"cannot be read ({short(error)})"
            continue
        if hashlib.sha256(data).hexdigest() != sums[name]:
            faults[name] = "changed since it was packed (SHA-256)"
        elif name == SCORES:
            table = data
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)  # the folder is thrown away: whether it survives a power cut is no matter
    if SCORES in faults:
        raise StoreError(f"{source}: {SCORES} {faults[SCORES]}, so no score in it can be believed; get the file again")
    return Opened(source, folder, _claims(source, table), faults)


def _checked(source: Path, members: list[zipfile.ZipInfo]) -> set[str]:
    """Return the members' names if they are what a bundle may hold."""
    names: set[str] = set()
    for member in members:
        name = member.orig_filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG) and member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not _NAME.fullmatch(name) or not plain:
            raise StoreError(f"{source}: holds {name!r:.80}, which no bundle does; nothing was taken from it")
        if name in names:
            raise StoreError(f"{source}: holds {name!r:.80} twice; nothing was taken from it")
        if member.file_size > MOST_OF_ONE:
            raise StoreError(f"{source}: {name!r:.80} has {member.file_size:,} bytes, more than {MOST_OF_ONE:,}")
        names.add(name)
    size = sum(member.file_size for member in members)
    if size > MOST_BYTES:
        raise StoreError(f"{source}: holds {size:,} bytes, more than {MOST_BYTES:,}; bundle it in parts (--seeds 0)")
    if not {MANIFEST, SCORES} <= names:
        raise StoreError(f"{source}: has no {MANIFEST} and {SCORES}, so it is no bundle; prunebench bundle makes them")
    return names


def _manifest(source: Path, archive: zipfile.ZipFile, names: set[str]) -> dict[str, str]:
    """Return the digests that the bundle states."""
    try:
        about: Any = json.loads(archive.read(MANIFEST))
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{source}: {MANIFEST} is not JSON ({short(error)}); get the file again") from error
    if not isinstance(about, dict) or about.get("what") != WHAT or not isinstance(about.get("sha256"), dict):
        raise StoreError(f"{source}: {MANIFEST} does not describe a bundle; get the file again")
    check_format(about, source)
    sums = {str(name): str(value) for name, value in about["sha256"].items()}
    odd = next((name for name in sums if not _NAME.fullmatch(name)), None)
    if odd is not None:
        raise StoreError(f"{source}: {MANIFEST} lists {odd!r:.80}, which no bundle holds; nothing was taken from it")
    unlisted = sorted(names - {MANIFEST} - sums.keys())
    if unlisted:
        raise StoreError(f"{source}: holds {unlisted[0]!r:.80}, which its {MANIFEST} does not list; nothing was taken")
    return sums


def _claims(source: Path, table: bytes) -> dict[tuple[str, str], dict[str, dict[str, str]]]:
    try:
        rows = list(csv.DictReader(io.StringIO(table.decode())))
    except (UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{source}: {SCORES} cannot be read ({short(error)}); get the file again") from error
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in rows:
        if set(row) != set(CLAIMED) or None in row.values():
            raise StoreError(f"{source}: {SCORES} lacks columns or has others than {', '.join(CLAIMED)}")
        if not _OF.fullmatch(f"{row['cell']}/{row['attempt']}"):
            raise StoreError(f"{source}: {SCORES} has a row of {row['cell'] + '/' + row['attempt']!r:.80}, no attempt")
        of = found.setdefault((row["cell"], row["attempt"]), {})
        if row["split"] in of:
            raise StoreError(f"{source}: {SCORES} has two rows for {row['cell']}/{row['attempt']}, {row['split']!r}")
        of[row["split"]] = row
    return found

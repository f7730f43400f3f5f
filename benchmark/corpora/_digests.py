"""Digests of files, remembered until they change: a corpus of many gigabytes is read once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmark.corpora._cache import cache_folder, stamp, write_atomically
from benchmark.errors import DataError

log = logging.getLogger(__name__)


def digests(paths: Sequence[Path]) -> list[str]:
    """Return SHA-256 (hex) of each file.

    Known digests lie in the user's cache, one file a folder, and count only for the same size and the same nanoseconds
    of change of content and inode.
    Where the cache cannot be written, files are read again the next time.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    found: dict[Path, str] = {}
    for folder in dict.fromkeys(path.parent for path in paths):
        found |= _of_folder(folder, [path for path in paths if path.parent == folder])
    return [found[path] for path in paths]


def _of_folder(folder: Path, paths: Sequence[Path]) -> dict[Path, str]:
    place = cache_folder() / "digests" / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:24]}.json"
    try:
        known = json.loads(place.read_text())
    except (OSError, ValueError):
        known = {}
    stamps = {path: _stamp(path) for path in paths}
    new = [path for path, stamp in stamps.items() if known.get(path.name, [None])[0] != stamp]
    if new:
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # hashing lets go of the interpreter lock
            made = zip(new, pool.map(_digest, new), strict=True)
            known |= {path.name: [stamps[path], digest] for path, digest in made}
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, lambda file: file.write(json.dumps(known).encode()))
        except OSError as error:
            log.warning("%s: cannot be written (%s); files are read again each time", place, error.strerror)
    return {path: str(known[path.name][1]) for path in paths}


def _stamp(path: Path) -> str:
    try:
        return stamp(path.stat())
    except FileNotFoundError:
        raise DataError(f"{path}: the file is missing") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error

"""Checksums of a folder's files: what was saved is what is opened."""

from __future__ import annotations

import hashlib
from pathlib import Path

from benchmark.errors import DataError
from benchmark.store.files import to_json, write_atomically
from benchmark.store.folders import FORMAT, check_format, read_json

CHECKSUMS = "checksums.json"


def seal(folder: Path) -> None:
    """Write down the SHA-256 of every file in a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    sums = {file.relative_to(folder).as_posix(): sha256(file) for file in files}
    write_atomically(folder / CHECKSUMS, to_json({"format": FORMAT, "sha256": sums}))


def verify(folder: Path) -> None:
    """Compare all files with the checksums that ``seal`` wrote; other people's folders have none.

    Raises:
        DataError: a file is missing, or changed since.
        StoreError: the list itself cannot be used.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return
    sums = read_json(path, "restore the folder, or remove this file to open it unverified")
    check_format(sums, path)
    for name, expected in sums.get("sha256", {}).items():
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: missing; restore the folder")
        if sha256(folder / name) != expected:
            raise DataError(
                f"{folder / name}: changed since it was saved; restore it, or remove {CHECKSUMS} to open it"
            )


def sha256(path: Path) -> str:
    """Return the digest of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

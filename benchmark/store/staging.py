"""Files that are made apart and then moved to where they belong: all of them, or none where one of them fails."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import StoreError
from benchmark.store.files import TEMPORARY, sync
from benchmark.store.folders import check_writable, unwritable


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Give an empty folder; what lies in it afterwards is moved into ``out``, where other files stay.

    Each file takes its place at once, for both folders are on one file system. Where the work raises, or something is
    in a file's way, nothing is moved and nothing is left.

    Raises:
        StoreError: ``out`` cannot be written, or a folder lies where a file is to be.
    """
    there = check_writable(out)
    try:
        # a folder that is not made yet will be on its parent's file system, and one that is there on its own
        made = tempfile.TemporaryDirectory(dir=there, prefix=f".{out.name}.", suffix=TEMPORARY)
    except OSError as error:
        raise unwritable(out, error) from error
    with made as name:
        folder = Path(name)
        yield folder
        _move(folder, out)


def _move(folder: Path, out: Path) -> None:
    moves = [(file, out / file.relative_to(folder)) for file in sorted(folder.rglob("*")) if not file.is_dir()]
    for _, target in moves:
        if target.is_dir():
            raise StoreError(f"{target}: a folder lies where a file is to be written; remove it, or give another place")
    parents = {target.parent for _, target in moves}
    for parent in parents:
        check_writable(parent)
    for file, target in moves:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
        except OSError as error:
            raise unwritable(target, error) from error
    for parent in parents:
        sync(parent)

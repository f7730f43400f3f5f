"""Files that can be made again: where they live, and how they are written so that a reader never sees half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import platformdirs

VARIABLE = "PRUNEBENCH_CACHE"


def cache_folder() -> Path:
    """Return the root of the cache: ``$PRUNEBENCH_CACHE``, or the user's cache folder."""
    return Path(os.environ.get(VARIABLE) or platformdirs.user_cache_dir("prunebench"))


def stamp(about: os.stat_result) -> str:
    """Return what changes when a file does; it begins with the number of its bytes.

    Size and time of change alone do not: tools put an old time back (``os.utime``, ``cp -p``, ``rsync -t``), which the
    time of change of the inode tells. The inode's number is left out: some network mounts number anew each time.
    """
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"


def sweep(folder: Path, *beginnings: str) -> None:
    """Remove the temporary files and folders whose names begin so, which killed writers left; hold their lock."""
    for left in [child for child in folder.iterdir() if child.name.startswith(beginnings)]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def temporary(path: Path) -> str:
    """Return how the names of temporary files and folders begin from which ``path`` is made."""
    return f".{path.name}-"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write to a temporary file beside ``path`` and rename it: the file is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=temporary(path))
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

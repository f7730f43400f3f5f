"""Files that can be made again: where they live, and how they are written so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import platformdirs

VARIABLE = "PRUNEBENCH_CACHE"


def cache_folder() -> Path:
    """Return the root of the cache: ``$PRUNEBENCH_CACHE``, or the user's cache folder."""
    return Path(os.environ.get(VARIABLE) or platformdirs.user_cache_dir("prunebench"))


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write to a temporary file beside ``path`` and rename it: the file is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

"""Writing that leaves either the old file or the whole new one, whatever happens in between."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp"
"""Suffix of files that are being written; readers skip them."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file's path to write to; what was written then takes the place of ``path``, whole or not at all.

    Raises:
        OSError: the folder is not writable or full; nothing of the temporary file is left then.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_atomically(path: Path, data: bytes | str) -> Path:
    """Write ``data`` to ``path``: temporary file beside it, fsync, replace, fsync of the folder.

    Raises:
        OSError: as ``replacing``.
    """
    with replacing(path) as temporary:
        # half a surrogate pair has no UTF-8; its escape \udXXX is what JSON writes for it
        temporary.write_bytes(data.encode(errors="backslashreplace") if isinstance(data, str) else data)
    return path


def sync(path: Path) -> None:
    """Make a file's content, or a folder's list of names, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_temporary(path: Path) -> bool:
    """Whether a file is still being written."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY)


def to_json(data: Any) -> str:
    """Return strict JSON with sorted keys; a number that is not finite becomes null (JSON has no NaN)."""
    return json.dumps(_finite(data), ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value

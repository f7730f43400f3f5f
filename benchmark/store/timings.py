"""Timing records: what `profile` measured, keyed by device and compared only inside one device key.

One file a profiling step, ``<run>/timings/<device>/<stamp>-<hex>.json``, written once and never changed::

    {"format": 1, "device": "<key>", "about": {...}, "stamp": "...",
     "rows": [{"cell", "attempt", "batch", "rtfx", "rtfx_lo", "rtfx_hi", "speedup", "encoder_ms", "peak_memory", ...}]}

A row's ``cache`` is ``decoding.cache`` of what was timed; older records lack it, and were made with the dynamic one.
``peak_memory`` is in bytes; null, with ``peak_memory_reason``, where it could not be measured, and older records lack
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmark.errors import StoreError
from benchmark.store.files import to_json, write_atomically
from benchmark.store.folders import FORMAT, check_format, open_run, read_json
from benchmark.store.records import new_stamp

TIMED = (
    *("batch", "rtfx", "rtfx_lo", "rtfx_hi", "speedup", "speedup_lo", "speedup_hi"),
    *("encoder_ms", "encoder_ms_lo", "encoder_ms_hi", "encoder_speedup", "generate_s", "peak_memory", "audio_seconds"),
)
"""What is measured of a row, each a positive number or absent."""
_WAY_OUT = "remove the file and profile again"


def write_timing(
    run: Path, device: str, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any] | None = None
) -> Path:
    """Write one timing record and return its path; ``about`` describes the device in words and versions.

    Raises:
        StoreError: a row lacks its cell or attempt, or the folder cannot be written.
    """
    for row in rows:
        if not row.get("cell") or not row.get("attempt"):
            raise StoreError(f"timings of {device}: a row lacks its cell or attempt: {dict(row)}")
    stamp = new_stamp()
    folder = run / "timings" / quote(device, safe="")
    data = {"format": FORMAT, "device": device, "stamp": stamp, "about": about or {}, "rows": rows}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return write_atomically(folder / f"{stamp}.json", to_json(data))
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}); give a folder you may write to") from error


def timings(run: Path | str) -> list[dict[str, Any]]:
    """Return the timing records of a run folder, oldest first.

    Raises:
        StoreError: not a run folder, or a timing record that cannot be used.
    """
    paths = (open_run(run) / "timings").glob("*/*.json")
    return [read_timing(path) for path in sorted(paths, key=lambda path: (path.name, path.parent.name))]


def read_timing(path: Path) -> dict[str, Any]:
    """Read and check one timing record.

    Raises:
        StoreError: cut off, incomplete, or from a newer version.
    """
    data = read_json(path, _WAY_OUT)
    check_format(data, path)
    rows = data.get("rows")
    whole = isinstance(rows, list) and all(isinstance(row, dict) and {"cell", "attempt"} <= row.keys() for row in rows)
    if not isinstance(data.get("device"), str) or not whole or not isinstance(data.get("about"), dict):
        raise StoreError(f"{path}: lacks 'device' or 'rows'; {_WAY_OUT}")
    return data

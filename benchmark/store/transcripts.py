"""The file of one split's transcripts: one row an utterance, at least id, reference and hypothesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from benchmark.errors import StoreError
from benchmark.store.folders import WAY_OUT, short, unwritable

if TYPE_CHECKING:
    import pyarrow as pa

NEEDED = ("id", "reference", "hypothesis")


def file_name(corpus: str, language: str, split: str) -> str:
    """Return the file name of a split's transcripts; a slash in a hub name cannot leave the folder."""
    return f"transcripts-{quote(corpus, safe='')}-{quote(language, safe='')}-{quote(split, safe='')}.parquet"


def write(path: Path, columns: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Write columns, or one mapping an utterance.

    Half a surrogate pair, which no file in UTF-8 can hold, is stored as U+FFFD.

    Raises:
        StoreError: a needed column is missing, or the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: Any = dict(columns) if isinstance(columns, Mapping) else list(columns)
    make = pa.table if isinstance(columns, Mapping) else pa.Table.from_pylist
    try:
        table = make(rows)
    except UnicodeEncodeError:
        table = make(_encodable(rows))
    missing = set(NEEDED) - set(table.column_names)
    if missing:
        raise StoreError(f"{path}: the transcripts lack the column {min(missing)!r}")
    try:
        pq.write_table(table, path, compression="zstd")
    except OSError as error:
        raise unwritable(path, error) from error


def read(path: Path, beside: Sequence[str] | None = None) -> pa.Table:
    """Return the needed columns and those of ``beside`` that are there; all columns where that is None.

    A file is small and there may be ten thousand of them, so what a call costs is not the data: bytes that were read at
    once and no threads are six times as fast as ``pandas.read_parquet``.

    Raises:
        StoreError: the file is missing or broken, or lacks a needed column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(path.read_bytes()))
        wanted = None if beside is None else [*NEEDED, *beside]  # names that are not there are passed over
        table = file.read(columns=wanted, use_threads=False)
    except (OSError, ValueError) as error:  # pyarrow's errors for broken files are both of the two
        raise StoreError(f"{path}: cannot read transcripts ({short(error)}); {WAY_OUT}") from error
    missing = set(NEEDED) - set(table.column_names)
    if missing:
        raise StoreError(f"{path}: transcripts without a column {min(missing)!r}; {WAY_OUT}")
    return table


def _encodable(value: Any) -> Any:
    """Return nested data with U+FFFD for every half of a surrogate pair in its texts."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {key: _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, (list, tuple)) else value

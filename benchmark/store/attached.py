"""What comes with records: tables of transcripts, kept specs and timing records, looked at before they are believed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmark.errors import StoreError
from benchmark.reading import parse_as
from benchmark.specs import Leaderboard
from benchmark.store.folders import SPECS, WAY_OUT, check_format, read_json, spec_name
from benchmark.store.plausible import stamp_fault
from benchmark.store.timings import TIMED, read_timing
from benchmark.text.chosen import checked

MOST_TEXT = 2**28
"""Bytes of the texts in one split's transcripts."""
MOST_TIMED = 1e15
TEXTS = ("id", "speaker", "reference", "hypothesis")
COLUMNS = {
    **dict.fromkeys(TEXTS, ("text",)),
    **{"duration_s": ("double",), "tokens": ("int64",), "truncated": ("bool",), "looped": ("bool",)},
}
"""Of transcripts: what the harness writes."""


def table_fault(path: Path, utterances: object) -> str | None:
    """Look at a table before it is read whole: a few bytes can unpack to more than fits anywhere."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        texts = [name for name in pq.read_schema(path).names if name in TEXTS]
        file = pq.ParquetFile(path, read_dictionary=texts)
        kinds = {field.name: _kind(field.type) for field in file.schema_arrow}
        odd = next((name for name, kind in kinds.items() if kind not in COLUMNS.get(name, ())), None)
        if odd is not None:
            return f"its transcripts have a column {odd!r:.60} of {kinds[odd]}, which no record has"
        if file.metadata.num_rows != utterances:
            return f"{utterances!r:.20} utterances are claimed, and the transcripts have {file.metadata.num_rows}"
        size = 0
        for batch in file.iter_batches(batch_size=1024, columns=texts):
            for column in batch.columns:
                lengths = pc.binary_length(column.dictionary).to_numpy(zero_copy_only=False)
                used = column.indices.drop_null().to_numpy(zero_copy_only=False)
                size += int(lengths[used].sum()) if len(used) else 0
            if size > MOST_TEXT:
                return f"its transcripts hold more than {MOST_TEXT:,} bytes of text"
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        raise StoreError(f"{path}: cannot read transcripts ({error!s:.80})") from error
    return None


def _kind(kind: Any) -> str:
    import pyarrow as pa

    return "text" if pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type) else str(kind)


def check_clash(path: Path, folder: Path, beside: Mapping[Path, str]) -> None:
    """Refuse a name that stands for another content elsewhere.

    Raises:
        StoreError: it does.
    """
    for place, called in beside.items():
        there = place / path.relative_to(folder)
        if there.is_file() and read_json(there, WAY_OUT) != read_json(path, WAY_OUT):
            raise StoreError(f"{path}: {called} has something else of that name")


def is_of(path: Path, admitted: set[str]) -> bool:
    """Return whether a spec or a timing record, which are as they should be, tells of anything that was let in."""
    if path.parent.name != SPECS:
        return any(f"{row['cell']}/{row['attempt']}" in admitted for row in read_timing(path)["rows"])
    cells = {one.partition("/")[0] for one in admitted}
    return any(cell in cells for cell in read_json(path, WAY_OUT)["cells"])


def check_spec(path: Path) -> None:
    """Check a kept spec: a report reads its normaliser, and which cells it asks for.

    Raises:
        StoreError: its name is not that of its content, or it lacks something.
        SpecError: what it asks for is unknown here.
    """
    data = read_json(path, WAY_OUT)
    check_format(data, path)
    if spec_name(path.read_bytes()) != path.stem:
        raise StoreError(f"{path}: its name is not that of its content")
    checked(parse_as(Leaderboard, data.get("spec") or {}, "spec").normalizer)
    cells = data.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
        raise StoreError(f"{path}: 'cells' is no list of ids")
    if not isinstance(data["spec"].get("normalizer"), str):
        raise StoreError(f"{path}: its spec names no normalizer")


def check_timing(path: Path, attempts: Collection[str], beside: Mapping[Path, str], folder: Path) -> None:
    """Check that a timing record is one, and speaks of no attempt that is here already: those are timed here.

    Raises:
        StoreError: it is none, or does.
    """
    data = read_timing(path)
    if data.get("stamp") != path.stem or quote(data["device"], safe="") != path.parent.name:
        raise StoreError(f"{path}: its stamp or device is not that of its name")
    if (why := stamp_fault(path.stem)) is not None:
        raise StoreError(f"{path}: {why}")
    there = any((place / path.relative_to(folder)).is_file() for place in beside)
    for row in data["rows"]:
        of = f"{row['cell']}/{row['attempt']}"
        if of in attempts and not there:
            raise StoreError(f"{path}: it times {of:.80}, which is here already; merge run folders for that")
        if not all(isinstance(row[part], str) for part in ("cell", "attempt")):
            raise StoreError(f"{path}: a row is of no attempt: {of:.80}")
        for what in TIMED:
            value = row.get(what)
            number = isinstance(value, int if what == "batch" else (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < MOST_TIMED):
                raise StoreError(f"{path}: {what} = {value!r:.40} of {of:.80} is no measurement")

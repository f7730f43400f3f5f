"""A bundle: the records of run folders as one file, to be sent to somebody who checks every one of them.

A ZIP file of the run folder's own layout, without models, logs and caches::

    bundle.json                     {"format": 1, "what": "prunebench bundle", "sha256": {<name>: <hex>, ...}, ...}
    scores.csv                      what is claimed of each attempt and split: counts, rates, and by which normaliser
    specs/<hash>.json               the leaderboards that were started
    runs/<cell>/<attempt>/          record.json, spec.json, transcripts (plan.safetensors where asked for)
    timings/<device>/<stamp>.json   timing records of these attempts

Equal records give an equal file, byte for byte. What opens one trusts nothing in it: ``benchmark.store.unpacking``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import __version__
from benchmark.errors import StoreError
from benchmark.measure.scores import Normalised, Scored, language_of, scored
from benchmark.store.files import replacing, to_json
from benchmark.store.filters import Filter
from benchmark.store.folders import FORMAT, SPECS, read_json, unwritable
from benchmark.store.records import PLAN, RECORD, SPEC, Record, records
from benchmark.store.timings import read_timing

MANIFEST, SCORES = "bundle.json", "scores.csv"
WHAT = "prunebench bundle"
CLAIMED = (
    *("cell", "attempt", "split", "normalizer", "signature", "utterances"),
    *("substitutions", "deletions", "insertions", "length", "wer", "cer"),
)
"""Columns of ``scores.csv``: counts are in the normaliser's unit, rates are fractions."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Packed:
    """What a bundle holds."""

    path: Path
    attempts: int
    timings: int
    size: int
    """Bytes of the file."""


def pack(
    runs: Sequence[Path | str],
    to: Path | str,
    normalizer: str,
    *,
    where: Filter | None = None,
    plans: bool = False,
    problems: list[str] | None = None,
) -> Packed:
    """Write the committed attempts of run folders (results, failures, what was stopped) into a new bundle.

    Args:
        runs: run folders.
        to: the file to make.
        normalizer: what the claimed scores are made by; ``auto`` is that of each corpus' language.
        where: only the records that this means.
        plans: take the plans along too (what was removed, a bit a weight), so that the other side has density pictures.
        problems: where given, records that cannot be used are left out and named here instead of raised.

    Raises:
        StoreError: not a run folder, a record that cannot be used, one name with two contents, nothing to pack, or
            ``to`` exists or cannot be written.
        SpecError: no such normaliser, none for a language (``auto``), or a broken one.
    """
    to = Path(to)
    if to.exists():
        raise StoreError(f"{to}: exists already; give a new file or remove it first")
    found = [record for run in runs for record in records(run, problems)]
    found = found if where is None else where.apply(found)
    members: dict[str, bytes] = {}
    rows: dict[str, list[dict[str, str]]] = {}
    normalised = Normalised(normalizer)
    for record in found:
        place = f"runs/{record.cell}/{record.attempt}"
        try:
            files = {f"{place}/{file.name}": _bytes(file) for file in _files_of(record, plans)}
            said = rows.get(place) or claims(record, normalised)
        except StoreError as error:
            if problems is None:
                raise
            problems.append(str(error))
            continue
        for name, data in files.items():
            _add(members, name, data)
        rows[place] = said
    if not rows:
        raise StoreError(f"{', '.join(map(str, runs))}: there is no record to bundle")
    cells = {place.split("/")[1] for place in rows}
    for run in map(Path, runs):
        for path in sorted((run / SPECS).glob("*.json")):
            if cells & set(read_json(path, "remove it; the records do not need it").get("cells") or ()):
                _add(members, f"{SPECS}/{path.name}", _bytes(path))
        for path in sorted((run / "timings").glob("*/*.json")):
            for name, data in _timing(path, rows.keys()).items():
                _add(members, name, data)
    members[SCORES] = _table([row for place in sorted(rows) for row in rows[place]]).encode()
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    about = {"format": FORMAT, "what": WHAT, "made_with": f"prunebench {__version__}", "sha256": sums}
    members[MANIFEST] = to_json(about).encode()
    timed = sum(name.startswith("timings/") for name in members)
    return Packed(_write(to, members), len(rows), timed, to.stat().st_size)


def claims(record: Record, normalised: Normalised) -> list[dict[str, str]]:
    """Return what is claimed of a record: a row a split of a result, as the texts that ``scores.csv`` holds.

    Raises:
        StoreError: transcripts that cannot be read.
        SpecError: as ``benchmark.measure.scores.scored``.
    """
    splits = record.data["data"] if record.ok else ()
    return [
        claim(record, scored(record, split, normalised), normalised.of(language_of(record)).signature)
        for split in splits
    ]


def claim(record: Record, result: Scored, normalizer: str) -> dict[str, str]:
    """Return one row: a rate's text is what Python reads back as the same number."""
    counts = {what: int(getattr(result.main, what).sum()) for what in CLAIMED[6:9]}
    values: dict[str, Any] = {
        "cell": record.cell,
        "attempt": record.attempt,
        "split": result.split,
        "normalizer": normalizer,
        "signature": result.signature,
        "utterances": len(result.ids),
        **counts,
        "length": int(result.main.lengths.sum()),
        "wer": result.words.rate,
        "cer": result.chars.rate,
    }
    return {name: str(value) for name, value in values.items()}


def _files_of(record: Record, plans: bool) -> list[Path]:
    """Return the files of an attempt that travel."""
    said = (record.data.get("data") or {}).values() if record.ok else ()
    names = [RECORD, SPEC, *(str(about["transcripts"]) for about in said)]
    names += [PLAN] if plans and (record.path / PLAN).is_file() else []
    return [record.path / name for name in names]


def _timing(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """Return the member that tells of these attempts in a timing record; none where it tells of others only.

    One that tells of others too is cut down, and named anew: one name never stands for two contents.
    """
    data = read_timing(path)
    rows = [row for row in data["rows"] if f"runs/{row['cell']}/{row['attempt']}" in wanted]
    folder = f"timings/{path.parent.name}"
    if len(rows) == len(data["rows"]):
        return {f"{folder}/{path.name}": _bytes(path)} if rows else {}
    stamp = f"{path.stem[:-6]}{hashlib.sha256(to_json(rows).encode()).hexdigest()[:6]}"
    return {f"{folder}/{stamp}.json": to_json({**data, "rows": rows, "stamp": stamp}).encode()} if rows else {}


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{file}: cannot be read ({error.strerror}); restore it, or remove that attempt's folder"
        ) from error


def _add(members: dict[str, bytes], name: str, data: bytes) -> None:
    if members.setdefault(name, data) != data:
        raise StoreError(f"{name} is in two of the run folders with different content; bundle the one you trust")


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, CLAIMED, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(to: Path, members: Mapping[str, bytes]) -> Path:
    """Write a ZIP file in which nothing depends on the time, the machine or the order of finding."""
    try:
        with replacing(to) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name in sorted(members, key=lambda name: (name != MANIFEST, name != SCORES, name)):
                about = zipfile.ZipInfo(name, _EPOCH)
                about.create_system, about.external_attr = 3, 0o644 << 16  # as a Unix file, wherever it was made
                packed = name.endswith((".parquet", ".safetensors"))  # are compressed already, or do not compress
                archive.writestr(about, members[name], zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise unwritable(to, error) from error
    return to

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
from collections.abc import Iterable, Mapping, Sequence
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
    once = {f"runs/{record.cell}/{record.attempt}": record for record in found}
    if not once:
        raise StoreError(f"{', '.join(map(str, runs))}: there is no record to bundle")
    members: dict[str, bytes] = {}
    for record in found:
        for file in _files_of(record, plans):
            _add(members, f"runs/{record.cell}/{record.attempt}/{file.name}", _bytes(file))
    cells = {record.cell for record in found}
    for run in map(Path, runs):
        for path in sorted((run / SPECS).glob("*.json")):
            if cells & set(read_json(path, "remove it; the records do not need it").get("cells") or ()):
                _add(members, f"{SPECS}/{path.name}", _bytes(path))
        for path in sorted((run / "timings").glob("*/*.json")):
            if any(f"runs/{row['cell']}/{row['attempt']}" in once for row in read_timing(path)["rows"]):
                _add(members, path.relative_to(run).as_posix(), _bytes(path))
    members[SCORES] = _table(claims(once.values(), Normalised(normalizer))).encode()
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    about = {"format": FORMAT, "what": WHAT, "made_with": f"prunebench {__version__}", "sha256": sums}
    members[MANIFEST] = to_json(about).encode()
    timed = sum(name.startswith("timings/") for name in members)
    return Packed(_write(to, members), len(once), timed, to.stat().st_size)


def claims(found: Iterable[Record], normalised: Normalised) -> list[dict[str, str]]:
    """Return what is claimed of results: a row a split, as the texts that ``scores.csv`` holds.

    Raises:
        StoreError: transcripts that cannot be read.
        SpecError: as ``benchmark.measure.scores.scored``.
    """
    return [
        claim(record, scored(record, split, normalised), normalised.of(language_of(record)).signature)
        for record in found
        if record.ok
        for split in record.data["data"]
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

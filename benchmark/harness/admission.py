"""What comes from elsewhere is let in record by record: each must follow from its spec, its transcripts and known data.

Checked of every attempt: its files are those that were packed; the record has the form that this version writes; its
id is that of its spec; counts, budget and steps agree; of a result, every split's test data are known here, the
references are those of that data, and the transcripts, scored again, give the scores that are claimed. Not checked,
because it cannot be without running the cell again: that the hypotheses are what the model said, and how long anything
took.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import PrunebenchError, StoreError
from benchmark.harness.known_data import Known
from benchmark.measure.scores import Normalised, scored
from benchmark.reading import parse_as
from benchmark.specs import Leaderboard
from benchmark.store import plausible
from benchmark.store.bundles import claim
from benchmark.store.folders import MARKER, SPECS, WAY_OUT, check_run, open_run, read_json, spec_name
from benchmark.store.merging import Merged, merge
from benchmark.store.records import RECORD, SPEC, Record, read_record, records
from benchmark.store.timings import TIMED, read_timing
from benchmark.store.unpacking import Opened, unpack

MOST_TEXT = 2**30
"""Bytes of one split's transcripts once they are unpacked."""


@dataclass(frozen=True)
class Refusal:
    """What was left out, and why."""

    source: Path
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.source}: left out {self.what}: {self.why}"


def unite(
    sources: Sequence[Path], into: Path, *, accepted: Sequence[str] = (), check: bool = False
) -> tuple[Merged, list[Refusal]]:
    """Merge run folders and bundles (files) into a run folder; return what was done, and what was left out of bundles.

    Args:
        sources: run folders, which are trusted as they are, and bundles, of which every record is examined.
        into: the run folder to fill. Where all that there is was left out, it is not touched, or made.
        accepted: hashes of test data, or their beginnings, that the user vouches for.
        check: write nothing.

    Raises:
        StoreError: as ``merge`` and ``unpack``; nothing has been written then.
    """
    check_run(into)
    folders, bundles = [one for one in sources if not one.is_file()], [one for one in sources if one.is_file()]
    beside = {open_run(run): str(run) for run in folders} | ({into: str(into)} if (into / MARKER).is_file() else {})
    known = Known(accepted)
    for run in beside if bundles else ():
        known.trust(run)
    refused: list[Refusal] = []
    with tempfile.TemporaryDirectory(prefix="prunebench-") as shelf:
        for number, bundle in enumerate(bundles):
            opened = unpack(bundle, Path(shelf) / str(number))
            refused += admit(opened, known, beside)
            beside[opened.folder] = str(bundle)
        found = [*folders, *(Path(shelf) / str(number) for number in range(len(bundles)))]
        nothing = bool(refused) and not any(records(one) for one in found)
        return merge(found, into, write=not (check or nothing)), refused


def admit(opened: Opened, known: Known, beside: Mapping[Path, str]) -> list[Refusal]:
    """Remove from an unpacked bundle what cannot be let in, and return what that was; the rest is fit for merging.

    Args:
        opened: the bundle; its folder is changed.
        known: test data.
        beside: run folders that it is merged with, and what to call them: no name may stand for two contents.
    """
    refused: list[Refusal] = []
    examiner = _Examiner(opened, known, beside)
    there = {tuple(name.split("/")[1:3]) for name in opened.faults if name.startswith("runs/")}
    there |= {(path.parent.name, path.name) for path in (opened.folder / "runs").glob("*/*")} | set(opened.claims)
    admitted: set[str] = set()
    for cell, attempt in sorted(there):
        why = examiner.fault(cell, attempt)
        if why is None:
            admitted.add(f"{cell}/{attempt}")
            continue
        shutil.rmtree(opened.folder / "runs" / cell / attempt, ignore_errors=True)
        refused.append(Refusal(opened.source, examiner.name(cell, attempt), why))
    for path in sorted([*(opened.folder / SPECS).glob("*.json"), *(opened.folder / "timings").glob("*/*.json")]):
        try:
            wanted = _is_of(path, admitted)
            _check_clash(path, opened.folder, beside)
        except PrunebenchError as error:
            wanted, why = False, str(error).removeprefix(f"{path}: ")
            refused.append(Refusal(opened.source, path.relative_to(opened.folder).as_posix(), why))
        if not wanted:
            path.unlink()
    others = {name: why for name, why in opened.faults.items() if not name.startswith("runs/")}
    return refused + [Refusal(opened.source, name, why) for name, why in others.items()]


class _Examiner:
    def __init__(self, opened: Opened, known: Known, beside: Mapping[Path, str]) -> None:
        self.opened, self.known, self.beside = opened, known, beside
        self._normalised: dict[str, Normalised] = {}
        self._read: dict[tuple[str, str], Record] = {}

    def name(self, cell: str, attempt: str) -> str:
        """Return what a person calls an attempt, as far as it could be read."""
        record = self._read.get((cell, attempt))
        if record is None:
            return f"{cell}/{attempt}"
        method, budget, seed = (record.data["spec"].get(part) for part in ("method", "budget", "seed"))
        keep = budget.get("keep") if isinstance(budget, Mapping) else None
        said = str((method or {}).get("name")) + ("" if keep is None else f" at {keep}")
        return f"{cell}/{attempt} ({said:.60}, seed {seed!s:.20})"

    def fault(self, cell: str, attempt: str) -> str | None:
        """Return why an attempt cannot be let in; None where it can."""
        begins = f"runs/{cell}/{attempt}/"
        for name, why in self.opened.faults.items():
            if name.startswith(begins):
                return f"{name.removeprefix(begins)} {why}"
        folder = self.opened.folder / "runs" / cell / attempt
        if not (folder / RECORD).is_file():
            return f"it has no {RECORD}"
        try:
            record = self._read[cell, attempt] = read_record(folder)
            return self._form_fault(record) or plausible.fault(record) or self._splits_fault(record)
        except PrunebenchError as error:
            said = str(error).removesuffix(f"; {WAY_OUT}")
            return said.removeprefix(f"{folder}/").removeprefix(f"{folder}: ")

    def _form_fault(self, record: Record) -> str | None:
        if read_json(record.path / SPEC, WAY_OUT) != record.data["spec"]:
            return f"{SPEC} and {RECORD} differ in what was asked"
        _check_clash(record.path / RECORD, self.opened.folder, self.beside)
        claimed = set(self.opened.claims.get((record.cell, record.attempt), ()))
        splits = set(record.data["data"]) if record.ok else set()
        return None if claimed == splits else f"scores are claimed of {sorted(claimed)}, and it has {sorted(splits)}"

    def _splits_fault(self, record: Record) -> str | None:
        for split in record.data["data"] if record.ok else ():
            if (why := self._split_fault(record, split)) is not None:
                return f"{split}: {why}"
        return None

    def _split_fault(self, record: Record, split: str) -> str | None:
        about = record.data["data"][split]
        file, utterances = str(about["transcripts"]), about["utterances"]
        if not file.startswith("transcripts-") or "/" in file or not (record.path / file).is_file():
            return f"its transcripts {file!r:.80} are not in the bundle"
        if (why := _size_fault(record.path / file, utterances)) is not None:
            return why
        columns = record.columns(split)
        if len(set(columns["id"])) != len(columns["id"]):
            return "an utterance is there twice"
        return self.known.fault(record, split, columns) or self._score_fault(record, split)

    def _score_fault(self, record: Record, split: str) -> str | None:
        row = self.opened.claims[record.cell, record.attempt][split]
        by = row["normalizer"]
        if by not in self._normalised:
            self._normalised[by] = Normalised(by)
        normalised = self._normalised[by]
        found = claim(record, scored(record, split, normalised), by)
        for what, claimed in row.items():
            if what == "signature":  # ends with the version of prunebench, which may be another
                same = claimed.rpartition("|")[0] == found[what].rpartition("|")[0]
            elif what in ("wer", "cer"):
                same = _same(claimed, float(found[what]))
            else:
                same = claimed == found[what]
            if not same:
                return f"{what}: {claimed!r:.80} is claimed, and the transcripts give {found[what]!r:.80}"
        return None


def _same(claimed: str, found: float) -> bool:
    try:
        value = float(claimed)
    except ValueError:
        return False
    return math.isclose(value, found, rel_tol=1e-12) or (math.isnan(value) and math.isnan(found))


def _size_fault(path: Path, utterances: object) -> str | None:
    """Look at how much a file says it holds before it is read: a few bytes can unpack to more than fits anywhere."""
    import pyarrow.parquet as pq

    try:
        about = pq.read_metadata(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot read transcripts ({error!s:.80})") from error
    size = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    if size > MOST_TEXT:
        return f"its transcripts would have {size:,} bytes, more than {MOST_TEXT:,}"
    if about.num_rows != utterances:
        return f"{utterances!r:.20} utterances are claimed, and the transcripts have {about.num_rows}"
    return None


def _check_clash(path: Path, folder: Path, beside: Mapping[Path, str]) -> None:
    """Refuse a name that stands for another content elsewhere.

    Raises:
        StoreError: it does.
    """
    for place, called in beside.items():
        there = place / path.relative_to(folder)
        if there.is_file() and read_json(there, WAY_OUT) != read_json(path, WAY_OUT):
            raise StoreError(f"{path}: {called} has something else of that name")


def _is_of(path: Path, admitted: set[str]) -> bool:
    """Return whether a spec or a timing record tells of anything that was let in.

    Raises:
        StoreError: it does not have its form, or its name is not that of its content.
        SpecError: a spec that this version does not read.
    """
    if path.parent.name != SPECS:
        return any(f"{row['cell']}/{row['attempt']}" in admitted for row in _timed(path))
    data = read_json(path, WAY_OUT)
    if spec_name(path.read_text(encoding="utf-8")) != path.stem:
        raise StoreError(f"{path}: its name is not that of its content")
    parse_as(Leaderboard, data.get("spec") or {}, "spec")
    cells = data.get("cells")
    return isinstance(cells, list) and any(f"{cell}/" in one for cell in cells for one in admitted)


def _timed(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_timing(path)["rows"]
    for row in rows:
        for what in TIMED:
            value = row.get(what)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and math.isfinite(value) and value > 0):
                raise StoreError(f"{path}: {what} = {value!r:.40} of {row['cell']} is no measurement")
    return rows

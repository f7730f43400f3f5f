"""What comes from elsewhere is let in record by record: each must follow from its spec, its transcripts and known data.

Checked of every attempt: its files are those that were packed; the record has the form that this version writes; its
id is that of its spec; counts, budget and steps agree; of a result, every split's test data are known here, the
references are those of that data, and the transcripts, scored again, give the scores that are claimed. Not checked,
because it cannot be without running the cell again: that the hypotheses are what the model said, and how long anything
took.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import PrunebenchError
from benchmark.harness.known_data import Known
from benchmark.measure.scores import Normalised, scored
from benchmark.store import plausible
from benchmark.store.attached import check_clash, check_spec, check_timing, is_of, table_fault
from benchmark.store.bundles import claim
from benchmark.store.folders import MARKER, SPECS, WAY_OUT, check_run, open_run, read_json
from benchmark.store.merging import Merged, merge
from benchmark.store.records import RECORD, SPEC, Record, read_record
from benchmark.store.unpacking import Opened, unpack


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
        SpecError: what is accepted is no beginning of a hash.
    """
    known = Known(accepted)
    check_run(into)
    folders, bundles = [one for one in sources if not one.is_file()], [one for one in sources if one.is_file()]
    beside = {open_run(run): str(run) for run in folders} | ({into: str(into)} if (into / MARKER).is_file() else {})
    for run in beside if bundles else ():
        known.trust(run)
    refused: list[Refusal] = []
    kept = 0
    with tempfile.TemporaryDirectory(prefix="prunebench-") as shelf:
        for number, bundle in enumerate(bundles):
            opened = unpack(bundle, Path(shelf) / str(number))
            found_wrong, ours = admit(opened, known, beside)
            refused += found_wrong
            kept += ours
            beside[opened.folder] = str(bundle)
        found = [*folders, *(Path(shelf) / str(number) for number in range(len(bundles)))]
        nothing = bool(refused) and not any(any(one.glob(f"runs/*/*/{RECORD}")) for one in found)
        done = merge(found, into, write=not (check or nothing))
    return dataclasses.replace(done, present=done.present + kept), refused


def admit(opened: Opened, known: Known, beside: Mapping[Path, str]) -> tuple[list[Refusal], int]:
    """Remove from an unpacked bundle what cannot be let in, and return what that was; the rest is fit for merging.

    Of a cell that has a result here already, that one stays: the number of attempts that were left out for it is
    returned too. They are no failures.

    Args:
        opened: the bundle; its folder is changed.
        known: test data and results.
        beside: run folders that it is merged with, and what to call them: no name may stand for two contents.
    """
    refused: list[Refusal] = []
    examiner = _Examiner(opened, known, beside)
    admitted: set[str] = set()
    ours = 0
    for cell, attempt in examiner.attempts():
        folder = opened.folder / "runs" / cell / attempt
        why = examiner.fault(cell, attempt)
        if why is not None:
            refused.append(Refusal(opened.source, examiner.name(cell, attempt), why))
        elif cell in known.done and f"{cell}/{attempt}" not in known.attempts:
            ours += 1
        else:
            admitted.add(f"{cell}/{attempt}")
            continue
        if folder.is_dir():
            shutil.rmtree(folder)
    for path in sorted([*(opened.folder / SPECS).glob("*.json"), *(opened.folder / "timings").glob("*/*.json")]):
        why = _other_fault(path, opened.folder, beside, known)
        if why is not None:
            refused.append(Refusal(opened.source, path.relative_to(opened.folder).as_posix(), why))
        if why is not None or not is_of(path, admitted):
            path.unlink()
    others = {name: why for name, why in opened.faults.items() if not name.startswith("runs/")}
    return refused + [Refusal(opened.source, name, why) for name, why in others.items()], ours


class _Examiner:
    def __init__(self, opened: Opened, known: Known, beside: Mapping[Path, str]) -> None:
        self.opened, self.known, self.beside = opened, known, beside
        self._normalised: dict[str, Normalised] = {}
        self._read: dict[tuple[str, str], Record] = {}
        self._faults: dict[tuple[str, str], str] = {}
        for name, why in opened.faults.items():
            if name.startswith("runs/"):
                _, cell, attempt, file = name.split("/")
                self._faults.setdefault((cell, attempt), f"{file} {why}")

    def attempts(self) -> list[tuple[str, str]]:
        """Return the attempts that the bundle tells of in any way."""
        there = {(path.parent.name, path.name) for path in (self.opened.folder / "runs").glob("*/*")}
        return sorted(there | set(self._faults) | set(self.opened.claims))

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
        """Return why an attempt cannot be let in; None where it can, and what comes later is held against it."""
        if (cell, attempt) in self._faults:
            return self._faults[cell, attempt]
        folder = self.opened.folder / "runs" / cell / attempt
        if not (folder / RECORD).is_file():
            return f"it has no {RECORD}"
        try:
            record = self._read[cell, attempt] = read_record(folder)
            why = self._form_fault(record) or plausible.fault(record) or self._splits_fault(record)
            if why is None:
                self.known.admit(record)
            return why
        except PrunebenchError as error:
            said = str(error).removesuffix(f"; {WAY_OUT}")
            return said.removeprefix(f"{folder}/").removeprefix(f"{folder}: ")
        except Exception as error:  # whatever somebody has put there: the other records are none the worse for it
            return f"cannot be examined ({type(error).__name__}: {error})"

    def _form_fault(self, record: Record) -> str | None:
        if read_json(record.path / SPEC, WAY_OUT) != record.data["spec"]:
            return f"{SPEC} and {RECORD} differ in what was asked"
        check_clash(record.path / RECORD, self.opened.folder, self.beside)
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
        if not (record.path / file).is_file():
            return f"its transcripts {file!r:.80} are not in the bundle"
        if (why := table_fault(record.path / file, utterances)) is not None:
            return why
        columns = record.columns(split, "speaker")
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


def _other_fault(path: Path, folder: Path, beside: Mapping[Path, str], known: Known) -> str | None:
    """Return why a spec or a timing record cannot be let in; None where it can."""
    try:
        check_spec(path) if path.parent.name == SPECS else check_timing(path, known.attempts, beside, folder)
        check_clash(path, folder, beside)
    except PrunebenchError as error:
        return str(error).removeprefix(f"{path}: ")
    except Exception as error:  # as of attempts
        return f"cannot be examined ({type(error).__name__}: {error})"
    return None

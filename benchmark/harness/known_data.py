"""What is known here: own results, and test data, so that what came from elsewhere can be seen to be of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import PrunebenchError, SpecError
from benchmark.registry import REGISTRY
from benchmark.store.records import Record, records

LEAST = 8
"""Digits of a hash that say which one is meant."""


@dataclass(frozen=True)
class _Texts:
    """What is known of test data: who vouches for it, and its utterances in order."""

    by: str
    columns: Mapping[str, list[Any]]

    @classmethod
    def of(cls, by: str, columns: Mapping[str, Sequence[Any]]) -> _Texts:
        """Return the part of transcripts that says what was tested: ids, references, and speakers where told."""
        told = {name: [*columns[name]] for name in ("id", "reference", "speaker") if name in columns}
        return cls(by, {**told, "id": list(map(str, told["id"]))})


@dataclass
class Known:
    """Test data of records that are trusted, of corpora that anybody can make, or that the user vouches for."""

    accepted: Sequence[str] = ()
    """Hashes, or beginnings of at least ``LEAST`` hexadecimal digits, that the user vouches for."""
    done: set[str] = field(default_factory=set)
    """Cells with a result in a folder that is trusted."""
    attempts: set[str] = field(default_factory=set)
    """All attempts there, as ``<cell>/<attempt>``."""
    _trusted: dict[str, tuple[Record, str]] = field(default_factory=dict)
    _used: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What a spec asks of a split to the hash that was used for it, and where."""
    _texts: dict[str, _Texts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.accepted = [start.strip().lower() for start in self.accepted]
        for start in self.accepted:
            if len(start) < LEAST or set(start) - set("0123456789abcdef"):
                raise SpecError(f"--accept-data {start!r}: give at least {LEAST} hexadecimal digits of the data's hash")

    def trust(self, run: Path) -> None:
        """Take the data of a run folder's results as known.

        Raises:
            StoreError: not a run folder, or a record that cannot be used.
        """
        for record in records(run):
            self.attempts.add(f"{record.cell}/{record.attempt}")
            if record.ok:
                self.done.add(record.cell)
                for split, about in record.data["data"].items():
                    self._trusted.setdefault(_key(record, split), (record, split))
                    self._used.setdefault(_asked(record, split), (str(about["hash"]), str(run)))

    def fault(self, record: Record, split: str, columns: Mapping[str, list[Any]]) -> str | None:
        """Return why the data of a split cannot be taken for what they say; None where they are known.

        Raises:
            StoreError: a record that is trusted cannot be read any more.
        """
        said = str(record.data["data"][split]["hash"])
        used, where = self._used.get(_asked(record, split), (said, ""))
        if used != said:
            return f"its data are {said[:12]}, and {where} has {used[:12]} for the same spec: no ranking takes both"
        known = self._find(record, split, said, columns)
        if isinstance(known, str):
            return known
        ours = _Texts.of("", columns).columns
        if ours["id"] != known.columns["id"]:
            return f"its utterances are not those of data {said[:12]} in {known.by}"
        for what in ("reference", "speaker"):
            here, there = ours.get(what), known.columns.get(what)
            if here is None or there is None:
                if here is not there:
                    return f"it {'lacks' if here is None else 'has'} a column {what}, unlike {known.by}"
                continue
            changed = next((key for key, a, b in zip(ours["id"], here, there, strict=True) if a != b), None)
            if changed is not None:
                return f"the {what} of {changed!r:.60} is not that of {known.by}"
        return None

    def admit(self, record: Record) -> None:
        """Hold what comes later against this record, which has passed: data that were vouched for are now known."""
        for split, about in (record.data["data"] if record.ok else {}).items():
            self._used.setdefault(_asked(record, split), (str(about["hash"]), f"cell {record.cell}"))
            if (key := _key(record, split)) not in self._texts:
                self._texts[key] = _Texts.of(f"cell {record.cell}", record.columns(split, "speaker"))

    def _find(self, record: Record, split: str, said: str, columns: Mapping[str, list[Any]]) -> _Texts | str:
        key = _key(record, split)
        if key in self._texts:
            return self._texts[key]
        if key in self._trusted:
            trusted, of = self._trusted[key]
            found: _Texts | str = _Texts.of(str(trusted.path.parents[2]), trusted.columns(of, "speaker"))
        elif said.startswith(tuple(self.accepted)):
            return _Texts.of("itself", columns)
        else:
            found = _from_corpus(record, split, said)
        if not isinstance(found, str):
            self._texts[key] = found
        return found


def _from_corpus(record: Record, split: str, said: str) -> _Texts | str:
    """Make the data of a synthetic corpus; others may lie anywhere, or would have to be fetched unasked."""
    asked = record.data["spec"]["corpus"]
    unknown = (
        f"data {said[:12]} are not known here: merge into a folder with a result on them, or vouch for them "
        f"yourself with --accept-data {said[:12]}"
    )
    try:
        if not REGISTRY.lookup("corpus", asked["name"]).synthetic:
            return unknown
        corpus = REGISTRY.get("corpus", asked["name"], **asked.get("options", {}))
        made = corpus.load(split, asked["evaluate"][split])
    except (PrunebenchError, LookupError, TypeError, ValueError) as error:  # whatever a foreign spec makes of it
        return f"{unknown} ({type(error).__name__}: {error})"
    if made.data_hash != said:
        return f"its data are {said[:12]}, and {asked['name']} has {made.data_hash[:12]} here; {unknown}"
    return _Texts.of(f"corpus {asked['name']}", {"id": made.ids, "reference": made.texts, "speaker": made.speakers})


def _key(record: Record, split: str) -> str:
    """Return what test data are: of which corpus, which split, and their hash."""
    about = {name: value for name, value in record.data["spec"]["corpus"].items() if name not in ("train", "evaluate")}
    return json.dumps([about, split, record.data["data"][split]["hash"]], sort_keys=True)


def _asked(record: Record, split: str) -> str:
    """Return what a spec asks of a split; of equals, one hash can be true in one folder."""
    return json.dumps([record.data["spec"]["corpus"], split], sort_keys=True)

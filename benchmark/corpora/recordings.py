"""The shared part of corpora of recordings: rows in, a split out; whatever cannot be used is counted and named.

A corpus of recordings derives from ``RecordingsCorpus`` and lists its rows; decoding, resampling, faults, hashes and
the report of what was left out are here.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from benchmark.api import Config, Corpus, Split
from benchmark.corpora._audio import RATE, AudioError, Kind, decode
from benchmark.corpora._exclusions import Fault, counts, warn_once, write_report
from benchmark.corpora._parts import SLACK
from benchmark.corpora._sounds import Row, Sound, Sounds
from benchmark.errors import DataError

__all__ = ["RATE", "AudioError", "Fault", "RecordingsConfig", "RecordingsCorpus", "RecordingsSplit", "Row", "decode"]

_BY_CHOICE: tuple[Kind, ...] = ("too long", "too short")
"""What is left out because a limit says so, and is never fatal."""


class RecordingsConfig(Config):
    """Options that all corpora of recordings share."""

    language: str = Field(pattern=r"^[a-z]{2,3}$", description="Whisper's language code, e.g. hi")
    faulty: Literal["exclude", "fatal"] = Field(
        default="fatal",
        description="utterances with missing, corrupt or empty audio, empty text or the id of another: leave them out "
        "and count them, or stop at the first",
    )
    longest: float | None = Field(
        default=30.0, gt=0, description="seconds; longer utterances are left out and counted (null: none is)"
    )
    shortest: float = Field(default=0.0, ge=0, description="seconds; shorter utterances are left out and counted")
    long_form: bool = Field(
        default=False, description="leave out longer utterances of the training split only, and evaluate on them"
    )

    @property
    def excludes(self) -> bool:
        """Whether faulty utterances are left out."""
        return self.faulty == "exclude"


@dataclass(frozen=True)
class _Taken:
    """What one pass over the rows of a split gave."""

    rows: list[Row]
    sounds: list[Sound]
    faults: list[Fault]


class RecordingsSplit(Split):
    """Utterances of recordings; audio is decoded when it is asked for."""

    def __init__(self, rows: list[Row], sounds: list[Sound], faults: list[Fault], report: Path | None) -> None:
        self.ids = [row.id for row in rows]
        self.texts = [row.text for row in rows]
        self.speakers = [row.speaker for row in rows]
        self.skipped: Sequence[str] = [fault.where for fault in faults]
        self.seconds: np.ndarray = np.array([sound.seconds for sound in sounds])
        """Length of each utterance, shape ``(utterances,)``."""
        self.faults = faults
        """What was left out, and why."""
        self.report = report
        """The file that lists it; None when nothing was left out."""
        self.digests = [sound.digest for sound in sounds]
        """SHA-256 (hex) of the bytes of each audio file."""
        self.rows, self.sounds = rows, sounds
        self._hash = self.hash_of([bytes.fromhex(digest) for digest in self.digests])

    def waveform(self, index: int) -> np.ndarray:
        """Return mono float32 samples at 16 kHz, shape ``(samples,)``.

        Raises:
            AudioError: the audio cannot be read or decoded any more.
            DataError: it is not what it was when the split was loaded, which ``data_hash`` is of.
        """
        row = self.rows[index]
        raw = row.read()
        if hashlib.sha256(raw).hexdigest() != self.digests[index]:
            raise DataError(
                f"{row.place}: the audio changed since it was loaded; run it again when nothing writes there"
            )
        return decode(raw, row.place)

    @property
    def data_hash(self) -> str:
        """SHA-256 over ids, texts and the bytes of the audio files, in order."""
        return self._hash


class RecordingsCorpus(Corpus):
    """Base of corpora of recordings: a subclass lists ``splits`` and the rows of each, and has a ``RecordingsConfig``.

    Audio is read once for its digest and decoded once for its faults; what was found is remembered in the cache until
    the file changes.
    """

    Config: ClassVar[type[Config]] = RecordingsConfig
    config: RecordingsConfig
    unhashed: ClassVar[frozenset[str]] = frozenset({"path", "faulty"})
    """Options that are in no cell's id: where data lie, and what is done about faults (which are in the data)."""
    empty_texts: ClassVar[bool] = False
    """True where an empty text is no fault."""
    way_out: ClassVar[str] = "repair it, or leave such utterances out with faulty: exclude"

    @property
    def language(self) -> str:  # type: ignore[override]  # an option here, a constant elsewhere
        """Whisper's language code."""
        return self.config.language

    @abstractmethod
    def rows(self, split: str) -> Iterable[Row]:
        """Return all utterances of a split as listed, faulty ones too, in a fixed order; no audio is read for it.

        Raises:
            DataError: the split does not exist, or its list cannot be read.
        """

    def identity(self, splits: Sequence[str]) -> dict[str, Any]:
        """Return name, options and a version that is a hash of texts and audio: where the data lie is no part of it.

        Raises:
            DataError: a split that is not there or cannot be read.
        """
        digest = hashlib.sha256()
        for split in sorted(splits):
            rows = list(self.rows(split))
            with Sounds(self._source(split)) as known:
                found = known.digests(rows)
            for row, sound in zip(rows, found, strict=True):
                if sound.kind is not None and not self.config.excludes:
                    raise DataError(f"{row.place}: {sound.detail}; {self.way_out}")
                for part in (split, row.id, row.text, row.speaker, sound.digest):
                    digest.update(f"{len(part.encode())}:{part}".encode())
        about = super().identity(splits)
        about["options"] = {name: value for name, value in about["options"].items() if name not in self.unhashed}
        return {**about, "version": f"{self.version}-{digest.hexdigest()[:16]}"}

    def load(self, split: str, limit: int | None = None) -> RecordingsSplit:
        """Return the first ``limit`` good utterances of a split, to evaluate on.

        Raises:
            DataError: no such split, a list that cannot be read, a fault where faults are fatal, or nothing is left.
        """
        return self._load(split, limit, None if self.config.long_form else self.config.longest, "evaluation")

    def load_for_training(self, split: str, limit: int | None = None) -> RecordingsSplit:
        """Return the first ``limit`` good utterances of a split that are not longer than ``longest``.

        Raises:
            DataError: as ``load``.
        """
        return self._load(split, limit, self.config.longest, "training")

    def without(self, split: Split, name: str, faults: Mapping[int, str]) -> RecordingsSplit:
        """Return a training split without the utterances whose transcripts a model has no room for, counted and listed.

        Raises:
            DataError: faults are fatal, or nothing is left.
        """
        assert isinstance(split, RecordingsSplit)
        found = [self._fault(split.rows[index], "text too long", why) for index, why in sorted(faults.items())]
        kept = [index for index in range(len(split)) if index not in faults]
        told = [*split.faults, *found]
        report = write_report(self._source(name), f"{self.name}-{self.language}-{name}-training-texts", told)
        warn_once(self.left_out(name, found, len(split), report))
        if not kept:
            raise DataError(self.nothing_left(name, told, len(split), report))
        return RecordingsSplit([split.rows[i] for i in kept], [split.sounds[i] for i in kept], told, report)

    def _load(self, split: str, limit: int | None, longest: float | None, purpose: str) -> RecordingsSplit:
        if limit is not None and limit < 1:
            raise DataError(f"corpus {self.name}: limit = {limit}: ask for at least one utterance")
        listed = list(self.rows(split))
        with Sounds(self._source(split)) as known:
            taken = self._take(listed, known, limit, longest)
        bounds = {"first": limit, "longest": longest, "shortest": self.config.shortest or None}
        loaded = [self.name, self.language, split, purpose]  # or one report takes the place of another
        loaded += [f"{name}-{bound:g}" for name, bound in bounds.items() if bound is not None]
        report = write_report(self._source(split), "-".join(loaded), taken.faults)
        if taken.faults:
            warn_once(self.left_out(split, taken.faults, len(listed), report))
        if not taken.rows:
            raise DataError(self.nothing_left(split, taken.faults, len(listed), report))
        return RecordingsSplit(taken.rows, taken.sounds, taken.faults, report)

    def _take(self, listed: list[Row], known: Sounds, limit: int | None, longest: float | None) -> _Taken:
        taken = _Taken([], [], [])
        wanted = len(listed) if limit is None else limit
        todo = iter(self._by_list(listed, taken.faults))
        while len(taken.rows) < wanted and (chunk := list(islice(todo, wanted - len(taken.rows)))):
            for row, sound in zip(chunk, known.check(chunk), strict=True):
                kind, detail = self._judged(row, sound, longest)
                if kind is not None:
                    taken.faults.append(self._fault(row, kind, detail))
                else:
                    taken.rows.append(row)
                    taken.sounds.append(sound)
        return taken

    def _judged(self, row: Row, sound: Sound, longest: float | None) -> tuple[Kind | None, str]:
        """Return what is wrong with an utterance, and details of it."""
        seconds, shortest = sound.seconds, self.config.shortest
        if sound.kind is not None:
            return sound.kind, sound.detail
        if row.seconds is not None and seconds > row.seconds + SLACK:
            said = f"{seconds:.2f} s, and listed with {row.seconds:g} s: a part of it? cut it: one file, one utterance"
            return "part of a file", said
        if longest is not None and seconds > longest:
            return "too long", f"{seconds:.2f} s, and longest is {longest:g} s"
        if seconds < shortest:
            return "too short", f"{seconds:.2f} s, and shortest is {shortest:g} s"
        return None, ""

    def _by_list(self, listed: list[Row], faults: list[Fault]) -> Iterator[Row]:
        """Yield the rows that have a text and an id of their own; the others join ``faults``."""
        first: dict[str, Row] = {}
        for row in listed:
            before = first.setdefault(row.id, row)
            if before is not row:
                faults.append(self._fault(row, "duplicate id", f"id {row.id!r} was that of {before.place} already"))
            elif not row.text.strip() and not self.empty_texts:
                faults.append(self._fault(row, "empty text", "text is empty"))
            else:
                yield row

    def _fault(self, row: Row, kind: Kind, detail: str) -> Fault:
        if not self.config.excludes and kind not in _BY_CHOICE:
            raise DataError(f"{row.place}: {detail}; {self.way_out}")
        return Fault(row.id, row.place, kind, detail)

    def _source(self, split: str) -> str:
        """Return a text that tells this source of audio from others."""
        limits = RecordingsConfig.model_fields.keys() - {"language"}
        options = self.config.model_dump(mode="json", exclude=set(limits))
        return json.dumps([self.name, options, split], sort_keys=True)

    # --- what is said -------------------------------------------------------------------------------------------------

    def left_out(self, split: str, faults: Sequence[Fault], of: int, report: Path | None) -> str:
        """Return what to log of faults: their counts, and the file that lists them."""
        where = f"; listed in {report}" if report else f": {', '.join(fault.where for fault in faults[:10])}"
        return (
            f"{self.name} {self.language}/{split}: left out {len(faults)} of {of} utterances ({counts(faults)}){where}"
        )

    def nothing_left(self, split: str, faults: Sequence[Fault], of: int, report: Path | None) -> str:
        """Return what to say when no utterance can be used."""
        if not of:
            return f"corpus {self.name}: split {split!r} lists no utterance"
        where = f"; see {report}" if report else ""
        return f"corpus {self.name}: none of the {of} utterances of {split!r} can be used ({counts(faults)}){where}"

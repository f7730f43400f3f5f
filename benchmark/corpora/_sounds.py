"""What is known of the audio of a split, remembered in the cache: digests, lengths, faults.

A hundred hours of speech are read and decoded once to find what is broken, and not again for every process.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmark.corpora._audio import DECODER, RATE, AudioError, Kind, decode
from benchmark.corpora._cache import cache_folder, write_atomically
from benchmark.corpora._digests import digests
from benchmark.errors import DataError

log = logging.getLogger(__name__)
_CHUNK = 256
_THREADS = 8
_SAVE_EVERY = 60.0  # seconds: what a killed process has learnt and nobody else has


@dataclass(frozen=True)
class Row:
    """One utterance as listed: its id, its audio (a file, or what returns the bytes), its text and who speaks.

    ``where`` is what to name in an error. ``stamp`` is for audio that is no file: a text that changes when the bytes
    do; with it, their digest is remembered. ``seconds`` is the length that the list gives, where it does.
    """

    id: str
    audio: Path | Callable[[], bytes]
    text: str
    speaker: str = ""
    where: str = ""
    stamp: str = ""
    seconds: float | None = None

    @property
    def place(self) -> str:
        """What to name in an error."""
        return self.where or (str(self.audio) if isinstance(self.audio, Path) else self.id)

    def read(self) -> bytes:
        """Return the bytes of the audio file.

        Raises:
            AudioError: it is missing or cannot be read.
        """
        try:
            return self.audio.read_bytes() if isinstance(self.audio, Path) else self.audio()
        except FileNotFoundError:
            raise AudioError(self.place, "missing audio", "audio file is missing") from None
        except (OSError, ValueError) as error:  # names can be too long, or none at all
            said = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise AudioError(self.place, "missing audio", f"audio file cannot be read ({said:.80})") from error


@dataclass(frozen=True)
class Sound:
    """What is known of one audio: digest of its bytes (hex, empty when it is missing), seconds, and what is wrong."""

    digest: str
    seconds: float = 0.0
    kind: Kind | None = None
    detail: str = ""


class Sounds:
    """What is known of the audio of one source; a context that writes down what it has learnt.

    ``source`` is any text that tells one source from another; what is remembered is bound to digests and stamps, so a
    wrong source costs time and never truth.
    """

    def __init__(self, source: str) -> None:
        name = hashlib.sha256(f"{DECODER}\n{source}".encode()).hexdigest()[:24]
        self._path = cache_folder() / "sounds" / f"{name}.json"
        self._digests: dict[str, str] = {}
        self._sounds: dict[str, list[Any]] = {}
        self._changed, self._saved = False, time.monotonic()

    def __enter__(self) -> Sounds:
        try:
            known = json.loads(self._path.read_bytes())
            self._digests, self._sounds = dict(known["digests"]), dict(known["sounds"])
        except (OSError, ValueError, KeyError, TypeError):
            self._digests, self._sounds = {}, {}
        return self

    def __exit__(self, *_: object) -> None:
        self._save()

    def _save(self) -> None:
        self._saved = time.monotonic()
        if not self._changed:
            return
        content = json.dumps({"digests": self._digests, "sounds": self._sounds}, ensure_ascii=False).encode()
        try:
            write_atomically(self._path, lambda file: file.write(content))
            self._changed = False
        except OSError as error:
            log.warning("%s: cannot be written (%s); audio is checked again each time", self._path, error.strerror)

    def digests(self, rows: Sequence[Row]) -> list[Sound]:
        """Return the digest of each audio, and nothing else of it but whether it is missing."""
        found: dict[int, Sound] = {}
        files: dict[int, Path] = {}
        others: list[int] = []
        for index, row in enumerate(rows):
            if not isinstance(row.audio, Path):
                known = self._digests.get(row.stamp) if row.stamp else None
                if known is None:
                    others.append(index)
                else:
                    found[index] = Sound(known)
            elif _is_readable(row.audio):
                files[index] = row.audio
            else:
                found[index] = _missing(row)
        found |= zip(files, map(Sound, digests(list(files.values()))), strict=True)
        found |= zip(others, self._new([rows[index] for index in others]), strict=True)
        return [found[index] for index in range(len(rows))]

    def _new(self, rows: list[Row]) -> Iterator[Sound]:
        for row, sound in _in_threads(_digest, rows):
            if row.stamp and sound.kind is None:
                self._digests[row.stamp] = sound.digest
                self._changed = True
            yield sound

    def check(self, rows: Sequence[Row]) -> Iterator[Sound]:
        """Yield what is known of each audio; what nobody has decoded yet is decoded."""
        sounds = self.digests(rows)
        for start in range(0, len(rows), _CHUNK):
            part = list(zip(rows[start : start + _CHUNK], sounds[start : start + _CHUNK], strict=True))
            new = {sound.digest: row for row, sound in part if sound.kind is None and sound.digest not in self._sounds}
            for row, outcome in _in_threads(_listen, list(new.values())):
                digest, *known = outcome
                self._sounds[digest] = known
                self._changed = True
                if new.get(digest) is not row:
                    raise DataError(f"{row.place}: the audio changed while it was read; run it again")
            if time.monotonic() - self._saved > _SAVE_EVERY:
                self._save()
            yield from (self._known(sound) for _, sound in part)

    def _known(self, sound: Sound) -> Sound:
        if sound.kind is not None:
            return sound
        samples, kind, detail = self._sounds[sound.digest]
        return Sound(sound.digest, samples / RATE, cast("Kind | None", kind), detail)


def _in_threads(work: Callable[[Row], Any], rows: list[Row]) -> Iterator[tuple[Row, Any]]:
    if not rows:
        return
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:  # hashing and decoding let go of the lock
        for start in range(0, len(rows), _CHUNK):  # in parts: an error need not wait for all that was asked for
            part = rows[start : start + _CHUNK]
            yield from zip(part, pool.map(work, part), strict=True)


def _is_readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):  # as of a name that is too long
        return False


def _missing(row: Row) -> Sound:
    try:
        row.read()
    except AudioError as error:
        return Sound("", 0.0, error.kind, error.detail)
    return Sound("", 0.0, "missing audio", "is no file")


def _digest(row: Row) -> Sound:
    try:
        return Sound(hashlib.sha256(row.read()).hexdigest())
    except AudioError as error:
        return Sound("", 0.0, error.kind, error.detail)


def _listen(row: Row) -> list[Any]:
    """Return digest, number of samples, kind of fault (or None) and what is wrong, as JSON holds them."""
    raw = row.read()
    digest = hashlib.sha256(raw).hexdigest()
    try:
        return [digest, decode(raw, row.place).size, None, ""]
    except AudioError as error:
        return [digest, 0, error.kind, error.detail]

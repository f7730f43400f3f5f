"""A plain folder of audio files with transcripts, as most people have them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soundfile
from pydantic import Field
from scipy.signal import resample_poly

from benchmark.api import Config, Corpus, Split
from benchmark.corpora._digests import digests
from benchmark.errors import DataError
from benchmark.registry import REGISTRY

log = logging.getLogger(__name__)
RATE = 16_000
SUFFIXES = (".flac", ".mp3", ".oga", ".ogg", ".wav")
_LAYOUT = "it needs metadata.csv or metadata.jsonl (columns file, text, optional speaker), or audio with .txt beside it"
_CHUNK = 256
_UNSIZED = (0, 0xFFFFFFFF)  # RIFF sizes of writers that could not go back to fill them in


@dataclass(frozen=True)
class Entry:
    """One utterance as listed: its id, its audio file, its text and who speaks (may be empty)."""

    id: str
    path: Path
    text: str
    speaker: str


class FolderConfig(Config):
    """Where the recordings are and what language they are in."""

    path: str = Field(min_length=1, description="folder that holds one folder per split")
    language: str = Field(pattern=r"^[a-z]{2,3}$", description="Whisper's language code, e.g. hi")
    skip_corrupt: bool = Field(default=False, description="leave out audio that cannot be read, and say so")


class FolderSplit(Split):
    """Utterances of one folder; audio is decoded when it is asked for. ``skipped`` lists unreadable files."""

    def __init__(self, entries: list[Entry], digests: list[bytes], skipped: list[str]) -> None:
        self.ids = [entry.id for entry in entries]
        self.texts = [entry.text for entry in entries]
        self.speakers = [entry.speaker for entry in entries]
        self.skipped: Sequence[str] = skipped
        self._paths = [entry.path for entry in entries]
        self._hash = self.hash_of(digests)

    def waveform(self, index: int) -> np.ndarray:
        """Return mono float32 samples at 16 kHz, shape ``(samples,)``.

        Raises:
            DataError: the file cannot be decoded any more.
        """
        return decode(self._paths[index])

    @property
    def data_hash(self) -> str:
        """SHA-256 over ids, texts and the bytes of the audio files, in order."""
        return self._hash


@REGISTRY.register("corpus", "folder")
class FolderCorpus(Corpus):
    """A plain folder: ``<path>/<split>/`` with ``metadata.csv`` or ``metadata.jsonl``, or ``.txt`` beside the audio.

    The columns are ``file`` (relative to the split's folder), ``text`` and, optionally, ``speaker``; metadata is UTF-8.
    Without metadata, every audio file needs a text file with the same stem. WAV, FLAC, Ogg and MP3 of any rate are
    mixed to one channel and resampled to 16 kHz. Any folder name is a split. Every file is decoded once by ``load``, so
    that a broken one is found before training begins.
    """

    Config: ClassVar[type[Config]] = FolderConfig
    config: FolderConfig

    @property
    def language(self) -> str:  # type: ignore[override]  # an option here, a constant elsewhere
        """Whisper's language code."""
        return self.config.language

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]  # what is there, not what is usual
        """Names of the folders that are there."""
        return tuple(_folders(self._root()))

    def identity(self, splits: Sequence[str]) -> dict[str, Any]:
        """Return name, options and a version that is a hash of texts and audio: where the folder lies is no part of it.

        Raises:
            DataError: a split that is not there or cannot be read.
        """
        digest = hashlib.sha256()
        for split in sorted(splits):
            entries = _entries(self._folder(split))
            for entry, audio in zip(entries, digests([entry.path for entry in entries]), strict=True):
                for part in (split, entry.id, entry.text, entry.speaker, audio):
                    digest.update(f"{len(part.encode())}:{part}".encode())
        about = super().identity(splits)
        about["options"].pop("path")
        return {**about, "version": f"{self.version}-{digest.hexdigest()[:16]}"}

    def load(self, split: str, limit: int | None = None) -> FolderSplit:
        """Return the first ``limit`` utterances of ``<path>/<split>``.

        Raises:
            DataError: no such folder, metadata or audio that cannot be read, or nothing in it.
        """
        if limit is not None and limit < 1:
            raise DataError(f"corpus folder: limit = {limit}: ask for at least one utterance")
        folder = self._folder(split)
        entries = _entries(folder)
        kept: list[Entry] = []
        digests: list[bytes] = []
        skipped: list[str] = []
        wanted = len(entries) if limit is None else limit
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # decoding lets go of the interpreter lock
            todo = iter(entries)
            while len(kept) < wanted and (chunk := list(islice(todo, min(_CHUNK, wanted - len(kept))))):
                for entry, outcome in zip(chunk, pool.map(_check, chunk), strict=True):
                    if isinstance(outcome, bytes):
                        kept.append(entry)
                        digests.append(outcome)
                    elif self.config.skip_corrupt:
                        skipped.append(str(entry.path))
                    else:
                        raise DataError(f"{outcome}; repair it, or leave it out with skip_corrupt: true") from outcome
        if skipped:
            log.warning("%s: left out %d unreadable files: %s", folder, len(skipped), ", ".join(skipped))
        if not kept:
            raise DataError(f"{folder}: none of its {len(entries)} audio files can be read")
        return FolderSplit(kept, digests, skipped)

    def _root(self) -> Path:
        root = Path(self.config.path).expanduser()
        if not root.is_dir():
            raise DataError(f"corpus folder: {root} is not a folder; check the option path")
        return root

    def _folder(self, split: str) -> Path:
        root = self._root()
        if split not in _folders(root):
            raise DataError(
                f"{root}: has no split {split!r}; there is: {', '.join(_folders(root)) or 'no folders at all'}"
            )
        return root / split


def _folders(root: Path) -> list[str]:
    return sorted(child.name for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))


def decode(path: Path) -> np.ndarray:
    """Return mono float32 samples at 16 kHz in [-1, 1], shape ``(samples,)``.

    Raises:
        DataError: the file is missing, not audio, cut off, empty, or holds numbers that are no sound.
    """
    return _decode(path, _bytes(path))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: audio file is missing") from None
    except OSError as error:
        raise DataError(f"{path}: audio file cannot be read ({error.strerror})") from error


def _decode(path: Path, raw: bytes) -> np.ndarray:
    try:
        with soundfile.SoundFile(io.BytesIO(raw)) as file:
            promised, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")  # without the address of a buffer
        raise DataError(f"{path}: audio cannot be decoded ({reason})") from error
    # libsndfile takes what is there of a cut-off file without a word.
    if raw[:4] == b"RIFF" and (size := int.from_bytes(raw[4:8], "little")) not in _UNSIZED and size + 8 > len(raw) + 1:
        raise DataError(f"{path}: audio is cut off ({len(raw)} of {size + 8} bytes)")
    if path.suffix.lower() == ".flac" and len(samples) < promised:
        raise DataError(f"{path}: audio is cut off ({len(samples)} of {promised} samples)")
    if not samples.size:
        raise DataError(f"{path}: audio is empty")
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise DataError(f"{path}: audio holds values that are not finite")
    if rate != RATE:
        shared = int(np.gcd(rate, RATE))
        mono = resample_poly(mono, RATE // shared, rate // shared)
    return np.asarray(np.clip(mono, -1, 1), dtype=np.float32)


def _check(entry: Entry) -> bytes | DataError:
    """Return the digest of the file's bytes, or what is wrong with it."""
    try:
        raw = _bytes(entry.path)
        _decode(entry.path, raw)
    except DataError as error:
        return error
    return hashlib.sha256(raw).digest()


def _entries(folder: Path) -> list[Entry]:
    """Return the utterances of a split's folder, in the order of its metadata (or of names)."""
    listed = [path for path in (folder / "metadata.csv", folder / "metadata.jsonl") if path.is_file()]
    if len(listed) > 1:
        raise DataError(f"{folder}: has metadata.csv and metadata.jsonl; keep one of them")
    entries = list(_from_metadata(listed[0]) if listed else _from_texts(folder))
    if not entries:
        raise DataError(f"{listed[0] if listed else folder}: lists no audio; {_LAYOUT}")
    first: dict[str, Entry] = {}
    for entry in entries:
        if first.setdefault(entry.id, entry) is not entry:
            raise DataError(f"{listed[0] if listed else folder}: {entry.id!r} occurs twice; ids must be unique")
    return entries


def _from_texts(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            beside = path.with_suffix(".txt")
            if not beside.is_file():
                raise DataError(f"{path}: has no transcript; expected {beside.name} beside it, or a metadata file")
            yield Entry(path.stem, path, _text(beside).strip(), "")


def _from_metadata(path: Path) -> Iterator[Entry]:
    rows = _csv_rows(path) if path.suffix == ".csv" else _json_rows(path)
    for line, row in rows:
        for column in ("file", "text"):
            if not isinstance(row.get(column), str):
                raise DataError(f"{path}, line {line}: no text in column {column!r}; columns are file, text, speaker")
        name = str(row["file"])
        if not name:
            raise DataError(f"{path}, line {line}: column 'file' is empty")
        yield Entry(name, path.parent / name, str(row["text"]), str(row.get("speaker") or ""))


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        columns = reader.fieldnames or []
        missing = [name for name in ("file", "text") if name not in columns]
        if missing:
            raise DataError(f"{path}: column {missing[0]!r} is missing; there is: {', '.join(columns) or 'nothing'}")
        for row in reader:
            if None in row:
                raise DataError(f"{path}, line {reader.line_num}: more cells than columns; quote texts with commas")
            yield reader.line_num, dict(row)
    except csv.Error as error:
        raise DataError(f"{path}, near line {max(reader.line_num, 1)}: not CSV ({error})") from error


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    for line, text in enumerate(_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {line}: not JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {line}: not a JSON object; write one object with file and text a line")
        yield line, row


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error

"""A plain folder of audio files with transcripts, as most people have them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from benchmark.api import Config
from benchmark.corpora._files import json_lines, option_path, read_text
from benchmark.corpora._parts import listed_seconds
from benchmark.corpora.recordings import AudioError, Fault, RecordingsConfig, RecordingsCorpus, RecordingsSplit, Row
from benchmark.errors import DataError
from benchmark.registry import REGISTRY

SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")
_LAYOUT = "it needs metadata.csv or metadata.jsonl (columns file, text, optional speaker), or audio with .txt beside it"

FolderSplit = RecordingsSplit


class FolderConfig(RecordingsConfig):
    """Where the recordings are and what language they are in."""

    path: str = Field(min_length=1, description="folder that holds one folder per split")
    skip_corrupt: bool = Field(default=False, description="leave out audio that cannot be read, and say so")
    longest: float | None = Field(
        default=None, gt=0, description="seconds; longer utterances are left out and counted (null: none is)"
    )

    @property
    def excludes(self) -> bool:
        """Whether faulty utterances are left out."""
        return self.skip_corrupt or super().excludes


@REGISTRY.register("corpus", "folder")
class FolderCorpus(RecordingsCorpus):
    """A plain folder: ``<path>/<split>/`` with ``metadata.csv`` or ``metadata.jsonl``, or ``.txt`` beside the audio.

    The columns are ``file`` (relative to the split's folder), ``text`` and, optionally, ``speaker``; metadata is UTF-8.
    Without metadata, every audio file needs a text file with the same stem, and every text file audio. WAV, AIFF, FLAC,
    Ogg and MP3 of any rate are mixed to one channel and resampled to 16 kHz. Any folder name is a split. Every file is
    decoded once by ``load``, so that a broken one is found before training begins.
    """

    Config: ClassVar[type[Config]] = FolderConfig
    config: FolderConfig
    empty_texts: ClassVar[bool] = True
    way_out: ClassVar[str] = "repair it, or leave it out with skip_corrupt: true"

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]  # what is there, not what is usual
        """Names of the folders that are there."""
        return tuple(_folders(self._root()))

    def rows(self, split: str) -> list[Row]:
        """Return the utterances of ``<path>/<split>``, in the order of its metadata (or of names).

        Raises:
            DataError: no such folder, or metadata that cannot be read.
        """
        return _entries(self._folder(split))

    def left_out(self, split: str, faults: Sequence[Fault], of: int, report: Path | None) -> str:
        """Return what to log of faults; unreadable files are named."""
        unreadable = [fault for fault in faults if fault.kind in ("missing audio", "corrupt audio", "empty audio")]
        if len(unreadable) < len(faults):
            return super().left_out(split, faults, of, report)
        named = ", ".join(fault.where for fault in unreadable)
        return f"{self._folder(split)}: left out {len(unreadable)} unreadable files: {named}"

    def nothing_left(self, split: str, faults: Sequence[Fault], of: int, report: Path | None) -> str:
        """Return what to say when no utterance can be used."""
        if any(fault.kind in ("too long", "too short") for fault in faults):
            return super().nothing_left(split, faults, of, report)
        return f"{self._folder(split)}: none of its {of} audio files can be read"

    def _root(self) -> Path:
        root = option_path(self.name, self.config.path)
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


def _entries(folder: Path) -> list[Row]:
    """Return the utterances of a split's folder, in the order of its metadata (or of names)."""
    listed = [path for path in (folder / "metadata.csv", folder / "metadata.jsonl") if path.is_file()]
    if len(listed) > 1:
        raise DataError(f"{folder}: has metadata.csv and metadata.jsonl; keep one of them")
    entries = list(_from_metadata(listed[0]) if listed else _from_texts(folder))
    if not entries:
        raise DataError(f"{listed[0] if listed else folder}: lists no audio; {_LAYOUT}")
    first: dict[str, Row] = {}
    for entry in entries:
        if first.setdefault(entry.id, entry) is not entry:
            raise DataError(f"{listed[0] if listed else folder}: {entry.id!r} occurs twice; ids must be unique")
    return entries


def _from_texts(folder: Path) -> Iterator[Row]:
    files = sorted(folder.iterdir())
    heard = {path.stem for path in files if path.suffix.lower() in SUFFIXES}
    for path in files:
        if path.suffix == ".txt" and path.stem not in heard and heard:  # without a count it would be gone in silence
            yield Row(path.stem, partial(_no_audio, path), read_text(path).strip(), where=str(path))
        elif path.suffix.lower() in SUFFIXES:
            beside = path.with_suffix(".txt")
            if not beside.is_file():
                raise DataError(f"{path}: has no transcript; expected {beside.name} beside it, or a metadata file")
            yield Row(path.stem, path, read_text(beside).strip())


def _no_audio(path: Path) -> bytes:
    """Find no audio beside a text.

    Raises:
        AudioError: always.
    """
    raise AudioError(str(path), "missing audio", f"no audio beside this text; it can be {', '.join(SUFFIXES)}")


def _from_metadata(path: Path) -> Iterator[Row]:
    rows = _csv_rows(path) if path.suffix == ".csv" else json_lines(path)
    for line, row in rows:
        for column in ("file", "text"):
            if not isinstance(row.get(column), str):
                raise DataError(f"{path}, line {line}: no text in column {column!r}; columns are file, text, speaker")
        name = str(row["file"])
        if not name:
            raise DataError(f"{path}, line {line}: column 'file' is empty")
        seconds = listed_seconds(row, f"{path}, line {line}")
        yield Row(name, path.parent / name, str(row["text"]), str(row.get("speaker") or ""), seconds=seconds)


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
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

"""``dataset``: a data set on the Hugging Face hub, or a folder that ``datasets`` saved, with columns named in the spec.

``datasets`` 4 and later run no loading scripts and decode audio with torchcodec. Here audio columns are read without
decoding, and their bytes go the way of all recordings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from pydantic import Field

from benchmark.api import Config, Corpus
from benchmark.corpora import _hub
from benchmark.corpora._cache import stamp
from benchmark.corpora._files import option_path
from benchmark.corpora.recordings import AudioError, RecordingsConfig, RecordingsCorpus, Row
from benchmark.errors import DataError, SpecError
from benchmark.registry import REGISTRY

_COMMIT = 40
_USUAL = ("train", "validation", "test")
_BATCH = 1000
_COLUMNS = ("audio", "text", "id", "speaker")
_BYTES, _TEXT = ("binary", "large_binary"), ("string", "large_string")


class DatasetConfig(RecordingsConfig):
    """Which data set, and what its columns and splits are called."""

    source: str = Field(min_length=1, description="a name on the hub, or a folder made by save_to_disk")
    config: str | None = Field(default=None, description="of a hub name: its configuration, e.g. hi")
    revision: str | None = Field(default=None, description="of a hub name: the commit, 40 hex digits; pins the data")
    data_dir: str | None = Field(default=None, description="of a hub name: a folder in its repository")
    audio: str = Field(default="audio", description="column of the audio")
    text: str = Field(default="text", description="column of the transcript")
    id: str | None = Field(default=None, description="column of ids (null: the number of the row)")
    speaker: str | None = Field(default=None, description="column of speakers (null: unknown)")
    splits: dict[str, str] = Field(
        default={}, description="names for splits, e.g. {dev: validation, train: train+other}; others keep theirs"
    )


@REGISTRY.register("corpus", "dataset")
class HubDataset(RecordingsCorpus):
    """Any data set that ``datasets`` loads: a name on the hub with its commit, or a folder made by ``save_to_disk``.

    A hub name needs the commit (``revision``): a branch moves, and a record must say which data it is about. The hub is
    asked when texts or audio are needed, never before. A folder is known by a hash of texts and audio; where it lies
    is no part of a cell's id. Columns (``audio``, ``text`` and, where there are such, ``id`` and ``speaker``) and
    splits are named by options; ``splits`` also joins several to one. A hub name has the splits train, validation and
    test, and those that ``splits`` gives.
    """

    Config: ClassVar[type[Config]] = DatasetConfig
    config: DatasetConfig

    def __init__(self, /, **options: Any) -> None:
        super().__init__(**options)
        self._check_source()

    @classmethod
    def places(cls, options: Mapping[str, Any]) -> frozenset[str]:
        """Return ``source`` where it is a folder, which is where no commit stands beside it."""
        return frozenset({"source"} if options.get("revision") is None else ())

    @cached_property
    def _folder(self) -> Path | None:
        path = option_path(self.name, self.config.source, "source")
        return path if path.is_dir() else None

    def _check_source(self) -> None:
        """Refuse a hub name without its commit, and a folder with what belongs to a hub name.

        Raises:
            SpecError: one of the two.
        """
        commit, source = self.config.revision, self.config.source
        if self._folder is not None:
            for option in ("config", "revision", "data_dir"):
                if getattr(self.config, option) is not None:
                    raise SpecError(f"corpus 'dataset': {source!r} is a folder here; leave {option} out")
        elif commit is None or len(commit) != _COMMIT or set(commit) - set("0123456789abcdef"):
            raise SpecError(
                f"corpus 'dataset': {source!r} is no folder here; as a name on the hub it needs its commit: "
                f"revision: <{_COMMIT} hex digits> (its page shows it under Files, History), not {commit!r}"
            )

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]  # what is there, not what is usual
        """Names of splits that the spec gives, and those of the folder, or the usual ones on the hub."""
        there = _USUAL if self._folder is None else tuple(self._data)
        return tuple(dict.fromkeys([*self.config.splits, *there]))

    def identity(self, splits: Sequence[str]) -> dict[str, Any]:
        """Return what a cell's id is made of: of a hub name its commit, of a folder a hash of texts and audio.

        Raises:
            DataError: a folder's split that is not there or cannot be read.
        """
        at_hub = self._folder is None
        about = Corpus.identity(self, splits) if at_hub else super().identity(splits)
        left = self.unhashed if at_hub else self.unhashed | {"source"}
        return {**about, "options": {name: value for name, value in about["options"].items() if name not in left}}

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the utterances of a split, in its order.

        Raises:
            DataError: no such split or column, or what cannot be loaded.
        """
        for part in self.config.splits.get(split, split).split("+"):
            if part not in self._data:
                called = f"; give {split!r} one of them with splits" if part == split else f" (splits: {split})"
                raise DataError(f"{self._said}: has no split {part!r}; there is: {', '.join(self._data)}{called}")
            self._check_columns(self._data[part].features, part)
            yield from self._rows_of(self._data[part], part)

    @property
    def _said(self) -> str:
        """What errors begin with."""
        return f"corpus 'dataset': {self.config.source}"

    @cached_property
    def _data(self) -> dict[str, Any]:
        """The splits by the data set's own names."""
        if self._folder is not None:
            return _hub.saved(self._folder)
        asked = self.config
        return _hub.fetched(asked.source, asked.config, str(asked.revision), asked.data_dir)

    def _rows_of(self, table: Any, part: str) -> Iterator[Row]:
        from datasets import Audio

        if isinstance(table.features[self.config.audio], Audio):
            table = table.cast_column(self.config.audio, Audio(decode=False))
        asked = {name: column for name in _COLUMNS[1:] if (column := getattr(self.config, name)) is not None}
        listed = table.select_columns(list(dict.fromkeys(asked.values())))
        paths = self._paths(table)
        sounds = table.select_columns([self.config.audio])
        stamp = self._stamp(table, part)
        number = 0
        for batch in listed.iter(_BATCH):
            told = {name: ["" if one is None else str(one) for one in batch[column]] for name, column in asked.items()}
            for place, text in enumerate(told["text"]):
                where = f"{self.config.source}, split {part}, row {number}"
                yield Row(
                    id=told["id"][place] if "id" in told else f"{part}/{number:06d}",
                    audio=paths[number] if paths else partial(self._bytes, sounds, number, where),
                    text=text.strip(),
                    speaker=told["speaker"][place] if "speaker" in told else "",
                    where=where,
                    stamp=f"{stamp} {number}" if stamp else "",
                )
                number += 1

    def _paths(self, table: Any) -> list[Path]:
        """Return the files that a column of paths names, relative to the folder; nothing for other columns."""
        if getattr(table.features[self.config.audio], "dtype", "") not in _TEXT:
            return []
        return [(self._folder or Path()) / (path or "") for path in table[self.config.audio]]

    def _bytes(self, sounds: Any, number: int, where: str) -> bytes:
        """Return the bytes of one audio: those in the table, or those of the file that it names.

        Raises:
            AudioError: the row has neither.
        """
        held = sounds[number][self.config.audio]
        raw, path = (held, None) if isinstance(held, bytes) else ((held or {}).get("bytes"), (held or {}).get("path"))
        if raw is not None:
            return bytes(raw)
        if path:
            return ((self._folder or Path()) / path).read_bytes()
        raise AudioError(where, "missing audio", "the row holds no audio")

    def _stamp(self, table: Any, part: str) -> str:
        """Return what changes when the bytes in the table do; nothing where some are in files beside it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        held = table.data.column(self.config.audio)
        if (pc.struct_field(held, "bytes") if pa.types.is_struct(held.type) else held).null_count:
            return ""
        if self._folder is None:
            asked = self.config
            return f"{asked.source} {asked.config} {asked.revision} {asked.data_dir} {part}"
        files = [Path(file["filename"]) for file in table.cache_files]
        stamps = [f"{file.name} {stamp(file.stat())}" for file in files]
        return hashlib.sha256("\n".join(stamps).encode()).hexdigest() if stamps else ""

    def _check_columns(self, features: Mapping[str, Any], part: str) -> None:
        """Refuse columns that are not there or hold something else.

        Raises:
            DataError: such a column.
        """
        from datasets import Audio

        for option in _COLUMNS:
            column = getattr(self.config, option)
            if column is not None and column not in features:
                there = ", ".join(features)
                raise DataError(
                    f"{self._said}, split {part}: has no column {column!r} (option {option}); there is: {there}"
                )
        if getattr(features[self.config.text], "dtype", None) not in _TEXT:
            self._refuse("text", features)
        audio = features[self.config.audio]
        plain = _BYTES if self._folder is None else _BYTES + _TEXT
        held = isinstance(audio, dict) and audio.keys() == {"bytes", "path"}
        if not (held or isinstance(audio, Audio) or getattr(audio, "dtype", None) in plain):
            self._refuse("audio", features)

    def _refuse(self, option: str, features: Mapping[str, Any]) -> NoReturn:
        column = getattr(self.config, option)
        held = " ".join(str(features[column]).split())[:100]
        raise DataError(f"{self._said}: column {column!r} (option {option}) holds no {option} but {held}")

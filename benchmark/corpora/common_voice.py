"""Common Voice as downloaded: a folder, or the archive itself.

Layout and columns: https://github.com/common-voice/cv-dataset, datasets/scripted-speech (releases 5 to 25).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from benchmark.api import Config
from benchmark.corpora._archive import CLIPS, Absent, Archive, Piece
from benchmark.corpora._files import numbered_lines, option_path
from benchmark.corpora.recordings import RecordingsConfig, RecordingsCorpus, Row
from benchmark.errors import DataError
from benchmark.registry import REGISTRY

SPLITS = ("train", "dev", "test", "validated", "other", "invalidated")
COLUMNS = ("client_id", "path", "sentence", "locale")
_TOGETHER = ("train", "dev", "test")
"""Splits whose clips are taken out of a compressed archive in one pass."""
_OF_WHISPER = {"jv": "jw", "nb-NO": "no", "zh-HK": "yue", "fil": "tl"}
"""Locales whose first part is not what Whisper calls the language (whisper/tokenizer.py, LANGUAGES)."""


class CommonVoiceConfig(RecordingsConfig):
    """Where the release is, and which language of it."""

    path: str = Field(
        min_length=1, description="the .tar.gz as downloaded, or a folder: cv-corpus-..., or that of one locale"
    )
    locale: str | None = Field(
        default=None, min_length=1, description="e.g. zh-TW; needed where the language does not settle it"
    )


@dataclass(frozen=True)
class _Home:
    """The folder of one locale: its lists, and the audio of the clips of a split."""

    name: str
    where: str
    lists: Mapping[str, Path]
    audio: Callable[[str], Callable[[str], tuple[Path | Callable[[], bytes], str]]]


@REGISTRY.register("corpus", "common_voice")
class CommonVoice(RecordingsCorpus):
    """Common Voice (scripted speech) as downloaded: ``<cv-corpus-...>/<locale>/clips/*.mp3`` beside ``train.tsv`` etc.

    ``path`` is the archive (.tar.gz, or .tar), the folder that it unpacks to, or a locale's folder in it. An archive is
    read through once for its lists, and once more for the clips of ``train``, ``dev`` and ``test``, which then lie in
    one file in the cache; of a plain tar no clip is copied. Columns are read by name, of any release with
    ``client_id``, ``path``, ``sentence`` and ``locale`` (5 and later), without quoting, as they are written. Splits:
    the lists that are there of train, dev, test, validated, other and invalidated. Ids are names of clips, speakers are
    hashes of ``client_id``, the same in all splits.
    """

    Config: ClassVar[type[Config]] = CommonVoiceConfig
    config: CommonVoiceConfig
    unhashed: ClassVar[frozenset[str]] = RecordingsCorpus.unhashed | {"locale"}

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]  # what is there, not what is usual
        """Those of the usual lists that are there."""
        return tuple(split for split in SPLITS if split in self._home.lists)

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the utterances of ``<split>.tsv``, in its order; the clips of an archive are found for it.

        Raises:
            DataError: no such split, a missing column, a line of another form or locale, or a broken archive.
        """
        home = self._home
        if split not in self.splits:
            raise DataError(f"{home.where}: has no split {split!r}; there is: {', '.join(self.splits)}")
        audio, where, path = home.audio(split), f"{home.where}/{split}.tsv", home.lists[split]
        locale = self.config.locale
        for line, cells in _table(path, where):
            locale = locale or self._checked(cells["locale"], where)
            if cells["locale"] != locale:
                raise DataError(
                    f"{where}, line {line}: is of the locale {cells['locale']!r}, not {locale!r}; say with locale "
                    "which is meant"
                )
            name = _clip(cells["path"])
            source, stamp = audio(name)
            speaker = hashlib.sha256(cells["client_id"].encode()).hexdigest()[:12] if cells["client_id"] else ""
            yield Row(
                name.removesuffix(".mp3"),
                source,
                cells["sentence"],
                speaker,
                f"{where}, line {line} ({CLIPS}/{name})",
                stamp,
            )

    def _checked(self, locale: str, where: str) -> str:
        """Return the locale of a list when it is of the language that was asked for."""
        if _language(locale) != self.language:
            raise DataError(
                f"{where}: is of the locale {locale!r}, and the language is {self.language!r}; correct one of them, or "
                f"say that this is meant with locale: {locale}"
            )
        return locale

    @cached_property
    def _home(self) -> _Home:
        path = option_path(self.name, self.config.path)
        if path.is_dir():
            homes = [_of_folder(home) for home in _folders(path)]
        elif path.is_file():
            archive = Archive(path)
            homes = [
                _of_archive(archive, folder) for folder, lists in archive.folders.items() if set(lists) & set(SPLITS)
            ]
        else:
            raise DataError(f"corpus common_voice: {path} is neither a folder nor an archive; check the option path")
        if not homes:
            raise DataError(f"{path}: has no train.tsv, dev.tsv or test.tsv beside {CLIPS}; is it Common Voice?")
        if len(homes) == 1:  # whatever its folder is called: the lists say of which locale they are
            return homes[0]
        return self._meant(path, homes)

    def _meant(self, path: Path, homes: list[_Home]) -> _Home:
        """Return the one folder of a locale that fits what was asked for.

        Raises:
            DataError: none does, or several do, as those of two releases do.
        """
        wanted = self.config.locale
        fitting = [one for one in homes if (one.name == wanted if wanted else _language(one.name) == self.language)]
        names = list(dict.fromkeys(one.name for one in fitting or homes))
        if len(fitting) > 1 and len(names) == 1:
            places = " and ".join(one.where for one in fitting)
            way = "name one of them as path" if path.is_dir() else "unpack it, and name the folder of one as path"
            raise DataError(f"{path}: holds {names[0]} {len(fitting)} times ({places}); {way}")
        if len(fitting) != 1:
            asked = f"locale {wanted!r}" if wanted else f"locale of the language {self.language!r}"
            said = f"{len(fitting)} are a" if fitting else "has no"
            raise DataError(f"{path}: {said} {asked}; say with locale which is meant: {', '.join(names)}")
        return fitting[0]


def _language(locale: str) -> str:
    """Return Whisper's code of a locale's language."""
    return _OF_WHISPER.get(locale, locale.partition("-")[0])


def _clip(path: str) -> str:
    """Return the name of a clip's file; early releases leave out its ending."""
    name = path.rpartition("/")[2]
    return name if not name or name.endswith(".mp3") else f"{name}.mp3"


def _table(path: Path, where: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield number and cells of each line of a list, by the names of its columns."""
    lines = ((line, text.split("\t")) for line, text in numbered_lines(path))  # no quoting: marks are the sentence's
    _, columns = next(lines, (0, []))
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise DataError(f"{where}: column {missing[0]!r} is missing; there is: {', '.join(columns) or 'nothing'}")
    places = {name: columns.index(name) for name in COLUMNS}
    for line, cells in lines:
        if len(cells) != len(columns):
            raise DataError(
                f"{where}, line {line}: {len(cells)} cells, and there are {len(columns)} columns; is it cut off? "
                "repair the line, or take it out"
            )
        yield line, {name: cells[place] for name, place in places.items()}


def _folders(path: Path) -> list[Path]:
    """Return the folders of locales in a folder: itself, or up to two levels down."""
    for pattern in ("", "*", "*/*"):
        found = [path] if not pattern else sorted(child for child in path.glob(pattern) if child.is_dir())
        homes = [folder for folder in found if any((folder / f"{split}.tsv").is_file() for split in SPLITS)]
        if homes:
            return homes
    return []


def _of_folder(folder: Path) -> _Home:
    lists = {split: folder / f"{split}.tsv" for split in SPLITS if (folder / f"{split}.tsv").is_file()}
    return _Home(folder.name, str(folder), lists, lambda split: lambda name: (folder / CLIPS / name, ""))


def _of_archive(archive: Archive, folder: str) -> _Home:
    lists = {split: archive.list_path(folder, split) for split in SPLITS if split in archive.folders[folder]}
    where = f"{archive.path}:{folder}"

    def audio(split: str) -> Callable[[str], tuple[Path | Callable[[], bytes], str]]:
        group = [one for one in _TOGETHER if one in lists] if split in _TOGETHER else [split]

        def wanted() -> set[str]:
            return {_clip(cells["path"]) for one in group for _, cells in _table(lists[one], f"{where}/{one}.tsv")}

        clips: Mapping[str, Piece] = archive.clips(folder, "-".join(group), wanted)

        def of(name: str) -> tuple[Path | Callable[[], bytes], str]:
            return clips.get(name) or Absent(name), f"{archive.stamp} {folder} {name}" if name in clips else ""

        return of

    return _Home(Path(folder).name, where, lists, audio)

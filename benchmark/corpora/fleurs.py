"""FLEURS as it lies in its repository on the hub: lists without a header beside archives of audio, one folder a locale.

Columns and layout: the loading script of google/fleurs, which its ``datasets`` of today no longer run (Conneau et al.
2022, https://arxiv.org/abs/2205.12446).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from benchmark.api import Config
from benchmark.corpora._files import numbered_lines, option_path, unpacked
from benchmark.corpora.recordings import RecordingsConfig, RecordingsCorpus, Row
from benchmark.errors import DataError
from benchmark.registry import REGISTRY

SPLITS = ("train", "dev", "test")
COLUMNS = ("id", "file name", "raw transcription", "transcription", "characters", "number of samples", "gender")
_LOCALE = re.compile(r"[a-z]{2,3}(_[a-z0-9]+)+")
_OF_WHISPER = {"cmn_hans_cn": "zh", "fil_ph": "tl", "jv_id": "jw", "nb_no": "no", "yue_hant_hk": "yue"}
"""Locales whose first part is not what Whisper calls the language (whisper/tokenizer.py, LANGUAGES)."""


class FleursConfig(RecordingsConfig):
    """Where the files are, and which of the two transcripts is taken."""

    path: str = Field(min_length=1, description="the folder of a locale (.../data/hi_in), or one that holds locales")
    locale: str | None = Field(default=None, description="e.g. es_419; needed where the language does not settle it")
    transcription: Literal["raw", "normalised"] = Field(
        default="raw", description="raw: as written, with capitals and punctuation; normalised: FLEURS's own, without"
    )


@REGISTRY.register("corpus", "fleurs")
class Fleurs(RecordingsCorpus):
    """FLEURS as downloaded: ``<locale>/train.tsv``, ``dev.tsv``, ``test.tsv`` and ``<locale>/audio/<split>.tar.gz``.

    Audio may be unpacked (``audio/<split>/*.wav``); an archive is unpacked once, into the cache. ``path`` is a locale's
    folder, or the repository: then the language says which (hi: ``hi_in``). One sentence is read by up to three people,
    who are not named: ids are names of files, and speakers are empty.
    """

    Config: ClassVar[type[Config]] = FleursConfig
    config: FleursConfig
    unhashed: ClassVar[frozenset[str]] = RecordingsCorpus.unhashed | {"locale"}

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]  # what is there, not what is usual
        """Those of train, dev and test that have a list."""
        return _splits(self._folder())

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the utterances of ``<split>.tsv``, in its order; an archive of audio is unpacked for it.

        Raises:
            DataError: no such split, a line that is not FLEURS's, or no audio beside the list.
        """
        folder = self._folder()
        if split not in _splits(folder):
            raise DataError(f"{folder}: has no split {split!r}; there is: {', '.join(_splits(folder))}")
        path = folder / f"{split}.tsv"
        audio, where = _audio(folder / "audio", split)
        text = COLUMNS.index("raw transcription" if self.config.transcription == "raw" else "transcription")
        for number, line in numbered_lines(path):
            cells = line.split("\t")  # without quoting: the marks of raw texts are quotation marks
            if len(cells) != len(COLUMNS):
                raise DataError(
                    f"{path}, line {number}: {len(cells)} columns, and FLEURS has {len(COLUMNS)} ({', '.join(COLUMNS)})"
                )
            name = cells[1].strip()
            if not name or Path(name).name != name:
                raise DataError(f"{path}, line {number}: {name!r} is no name of a file")
            yield Row(name, audio / name, cells[text].strip(), where=f"{where}/{name}")

    def _folder(self) -> Path:
        """Return the folder of the locale."""
        given, locale, language = option_path(self.name, self.config.path), self.config.locale, self.config.language
        if not given.is_dir():
            raise DataError(f"corpus fleurs: {given} is not a folder; check the option path")
        there = {given.name: given} if _splits(given) else _locales(given)
        if not there:
            raise DataError(
                f"{given}: has no <locale>/train.tsv; path is a folder of FLEURS's repository, e.g. data/hi_in"
            )
        fitting = [name for name in there if (name == locale if locale else _language(name) == language)]
        if not locale and list(there.values()) == [given] and _language(given.name) is None:
            fitting = [given.name]  # a locale's folder that was given a name of its own
        if len(fitting) != 1:
            asked = f"locale {locale!r}" if locale else f"locale of the language {language!r}"
            said = f"{len(fitting)} are a" if fitting else "has no"
            raise DataError(f"{given}: {said} {asked}; say with locale which is meant: {', '.join(fitting or there)}")
        return there[fitting[0]]


def _splits(folder: Path) -> tuple[str, ...]:
    return tuple(split for split in SPLITS if (folder / f"{split}.tsv").is_file())


def _locales(root: Path) -> dict[str, Path]:
    """Return the folders of locales by name; the repository has them in its folder ``data``."""
    home = root / "data" if (root / "data").is_dir() else root
    return {child.name: child for child in sorted(home.iterdir()) if child.is_dir() and _splits(child)}


def _language(locale: str) -> str | None:
    """Return Whisper's code of a locale's language; None for a name that is no locale."""
    if not _LOCALE.fullmatch(locale):
        return None
    return _OF_WHISPER.get(locale, locale.partition("_")[0])


def _audio(home: Path, split: str) -> tuple[Path, str]:
    """Return the folder of a split's audio, and what to call it in errors."""
    folder, archive = home / split, home / f"{split}.tar.gz"
    if folder.is_dir():
        return folder, str(folder)
    if archive.is_file():
        return unpacked(archive), str(archive)
    raise DataError(f"{home}: has neither {split}.tar.gz nor a folder {split}; fetch the audio, too")

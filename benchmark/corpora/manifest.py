"""A manifest of recordings: a table (CSV, TSV or JSON lines) that names audio files and what is said in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pydantic import Field

from benchmark.api import Config
from benchmark.corpora._files import json_lines, numbered_lines, option_path, read_text
from benchmark.corpora._parts import is_of_parts, listed_seconds
from benchmark.corpora.recordings import RecordingsConfig, RecordingsCorpus, Row
from benchmark.errors import DataError
from benchmark.registry import REGISTRY

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
Cells = dict[str, str]


class ManifestConfig(RecordingsConfig):
    """Where the manifest is, and what its columns are called."""

    path: str = Field(min_length=1, description="a manifest, or a folder with one manifest a split: train.csv, ...")
    audio: str = Field(default="audio", min_length=1, description="column with the audio file")
    text: str = Field(default="text", min_length=1, description="column with what is said")
    id: str | None = Field(
        default=None, min_length=1, description="column with a name of the utterance (none: the file)"
    )
    speaker: str | None = Field(
        default=None, min_length=1, description="column with who speaks (none: nobody is named)"
    )
    split: str | None = Field(default=None, min_length=1, description="column with the split, of one manifest for all")
    files: dict[str, str] = Field(
        default_factory=dict, description="manifests by split, relative to path, where they are called otherwise"
    )
    quoted: bool | None = Field(
        default=None, description="whether cells may stand in quotation marks (none: in .csv they may, in .tsv not)"
    )


@REGISTRY.register("corpus", "manifest")
class Manifest(RecordingsCorpus):
    """A table of recordings: CSV, TSV or JSON lines, by its ending, in UTF-8, with columns named in the options.

    One manifest a split in the folder ``path`` (``train.csv``, ``test.csv``, or named by ``files``), or one for all
    with a column ``split``. Audio paths are relative to their manifest, or absolute; an id is the path as written, or
    the file's name where that is absolute and lies elsewhere, so that ids are the same on every machine. One audio file
    is one utterance.
    """

    Config: ClassVar[type[Config]] = ManifestConfig
    config: ManifestConfig

    way_out: ClassVar[str] = (
        "repair it, leave such utterances out with faulty: exclude, or name a column of ids with the option id"
    )

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]  # what is there, not what is usual
        """The splits of the column, or the manifests that are there."""
        manifests = self._manifests()
        if self.config.split is None:
            return tuple(manifests)
        (path,) = manifests.values()
        return tuple(dict.fromkeys(cells[self.config.split] for _, cells in self._table(path)))

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the utterances of a split in the order of its manifest.

        Raises:
            DataError: no such split or column, or a line of another form.
        """
        if split not in self.splits:
            there = ", ".join(self.splits) or "none"
            raise DataError(f"{self.config.path}: has no split {split!r}; there is: {there}")
        manifests, column = self._manifests(), self.config.split
        path = manifests[split] if column is None else next(iter(manifests.values()))
        for line, cells in self._table(path):
            if column is None or cells[column] == split:
                yield self._row(path, line, cells)

    def _row(self, manifest: Path, line: int, cells: Cells) -> Row:
        named, about = cells[self.config.audio], self.config
        if not named.strip() or "\0" in named:
            raise DataError(f"{manifest}, line {line}: column {about.audio!r} names no file ({named!r:.40})")
        try:
            audio = manifest.parent / Path(named).expanduser()
        except RuntimeError as error:
            raise DataError(f"{manifest}, line {line}: {named!r:.60} is in the home of nobody here") from error
        if not Path(named).is_absolute() and not named.startswith("~"):
            name = PurePosixPath(named).as_posix()
        elif audio.is_relative_to(manifest.parent.absolute()):
            name = audio.relative_to(manifest.parent.absolute()).as_posix()
        else:
            name = audio.name
        return Row(
            cells[about.id] if about.id else name,
            audio,
            cells[about.text],
            cells[about.speaker] if about.speaker else "",
            f"{manifest}, line {line} ({named})",
            seconds=listed_seconds(
                {name: cells[name] for name in cells.keys() - self._named}, f"{manifest}, line {line}"
            ),
        )

    @property
    def _named(self) -> list[str]:
        """The columns that are named in the options."""
        about = self.config
        return [name for name in (about.audio, about.text, about.id, about.speaker, about.split) if name]

    def _manifests(self) -> dict[str, Path]:
        """Return the manifests by split; of one for all splits, by its name."""
        path, files = option_path(self.name, self.config.path), self.config.files
        if path.is_file():
            if files:
                raise DataError(f"corpus manifest: {path} is one file; with files, path is the folder that holds them")
            return {path.stem: path}
        if not path.is_dir():
            raise DataError(f"corpus manifest: {path} is neither a file nor a folder; check the option path")
        if self.config.split is not None:
            raise DataError(f"corpus manifest: {path} is a folder; with a column for the split, path is one file")
        if not files:
            found = sorted(child for child in path.iterdir() if child.suffix.lower() in SUFFIXES)
            if len({child.stem for child in found}) < len(found):
                raise DataError(f"{path}: has two manifests of one name; say which is meant with files")
            return {child.stem: child for child in found}
        for split, file in files.items():
            if Path(file).is_absolute() or ".." in Path(file).parts:
                raise DataError(f"corpus manifest: files: {split}: {file} is no file in the folder {path}; change path")
            if not option_path(self.name, str(path / file), "files").is_file():
                raise DataError(f"corpus manifest: files: {split}: {path / file} is no file")
        return {split: path / file for split, file in files.items()}

    def _table(self, path: Path) -> Iterator[tuple[int, Cells]]:
        """Yield number and cells of each line: of the columns that are named in the options, or tell parts of files."""
        about, kind, wanted = self.config, path.suffix.lower(), self._named
        if kind not in SUFFIXES:
            raise DataError(f"{path}: is no manifest by its ending; it can be {', '.join(SUFFIXES)}")
        if kind.startswith(".json"):
            return _json_lines(path, wanted)
        quoted = kind == ".csv" if about.quoted is None else about.quoted
        delimiter = "," if kind == ".csv" else "\t"
        return _named(path, _quoted(path, delimiter) if quoted else _plain(path, delimiter), wanted)


def _plain(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    return ((line, text.split(delimiter)) for line, text in numbered_lines(path))


def _quoted(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(
            f"{path}, near line {max(reader.line_num, 1)}: not a table with quoted cells ({error}); repair it, or say "
            "quoted: false where quotation marks are part of the texts"
        ) from error


def _named(path: Path, lines: Iterator[tuple[int, list[str]]], wanted: list[str]) -> Iterator[tuple[int, Cells]]:
    _, columns = next(lines, (0, []))
    missing = [name for name in wanted if name not in columns]
    if missing:
        there = ", ".join(columns) or "nothing"
        raise DataError(
            f"{path}: column {missing[0]!r} is missing; there is: {there}; columns are named in the options"
        )
    twice = [name for name in wanted if columns.count(name) > 1]
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} is there twice; name columns once")
    places = {name: columns.index(name) for name in [*wanted, *filter(is_of_parts, columns)]}
    for line, cells in lines:
        if len(cells) != len(columns):
            raise DataError(f"{path}, line {line}: {len(cells)} cells, and there are {len(columns)} columns")
        yield line, {name: cells[place] for name, place in places.items()}


def _json_lines(path: Path, wanted: list[str]) -> Iterator[tuple[int, Cells]]:
    for line, row in json_lines(path):
        cells: Cells = {name: str(row[name]) for name in row if is_of_parts(name) and row[name] is not None}
        for name in wanted:
            if not isinstance(row.get(name, []), (str, int, type(None))):
                there = ", ".join(map(str, row)) or "nothing"
                raise DataError(
                    f"{path}, line {line}: has no text in {name!r}; there is: {there}; columns are named in the options"
                )
            cells[name] = "" if row[name] is None else str(row[name])
        yield line, cells

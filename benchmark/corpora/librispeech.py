"""LibriSpeech as it is unpacked: ``LibriSpeech/<subset>/<speaker>/<chapter>/`` with FLAC and one transcript a chapter.

Layout: README.TXT of the release (Panayotov et al. 2015, https://www.openslr.org/12).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from benchmark.api import Config
from benchmark.corpora._files import numbered_lines, option_path
from benchmark.corpora.recordings import RecordingsConfig, RecordingsCorpus, Row
from benchmark.errors import DataError, nearest
from benchmark.registry import REGISTRY

_HOME = "LibriSpeech"
_ENDING = ".trans.txt"
_LAYOUT = f"<subset>/<speaker>/<chapter>/<speaker>-<chapter>{_ENDING}"


class LibriSpeechConfig(RecordingsConfig):
    """Where the subsets are, and how their texts are taken."""

    path: str = Field(min_length=1, description="the folder LibriSpeech, or the one that holds it")
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}$", description="Whisper's language code")
    splits: dict[str, str] = Field(
        default={}, description="names for subsets, e.g. {train: train-clean-100+train-clean-360}; others keep theirs"
    )
    lower: bool = Field(default=False, description="texts in small letters; LibriSpeech has capitals alone")


@REGISTRY.register("corpus", "librispeech")
class LibriSpeech(RecordingsCorpus):
    """LibriSpeech, unpacked: ``LibriSpeech/<subset>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt`` and ``.flac``.

    Splits are the subsets that are there (``train-clean-100``, ``dev-clean``, ``test-other``, ...), and what the option
    ``splits`` makes of them. Ids are those of the release (``84-121123-0000``), speakers its numbers of readers. Texts
    are capitals without punctuation, which Whisper does not write: ``lower`` makes them small, and scores need a
    normaliser in any case. Audio without a line in its chapter's transcript is counted as a fault (empty text).
    """

    Config: ClassVar[type[Config]] = LibriSpeechConfig
    config: LibriSpeechConfig

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]  # what is there, not what is usual
        """Names of the subsets that are there, after those that the spec gives."""
        return tuple(dict.fromkeys([*self.config.splits, *_subsets(self._root())]))

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the utterances of a subset, by the names of speakers, chapters and files.

        Raises:
            DataError: no such subset, or a transcript that cannot be read.
        """
        root = self._root()
        known = _subsets(root)
        for subset in self.config.splits.get(split, split).split("+"):
            if subset not in known:
                raise DataError(f"{root}: has no subset {subset!r}{nearest(subset, known)}")
            for chapter in sorted(path for path in (root / subset).glob("*/*") if path.is_dir()):
                for name, text in _chapter(chapter).items():
                    text = text.lower() if self.config.lower else text
                    yield Row(name, chapter / f"{name}.flac", text, speaker=chapter.parent.name)

    def _root(self) -> Path:
        given = option_path(self.name, self.config.path)
        root = given / _HOME if (given / _HOME).is_dir() else given
        if not root.is_dir():
            raise DataError(f"corpus librispeech: {given} is not a folder; check the option path")
        if not _subsets(root):
            raise DataError(f"{root}: has no {_LAYOUT}; unpack the archives of openslr.org/12 there")
        return root


def _subsets(root: Path) -> list[str]:
    """Return the folders in which there is a transcript."""
    found = [child for child in root.iterdir() if child.is_dir()]
    return sorted(child.name for child in found if next(child.glob(f"*/*/*{_ENDING}"), None) is not None)


def _chapter(folder: Path) -> dict[str, str]:
    """Return the texts of a chapter by id, in order; the text of audio that has none is empty."""
    texts: dict[str, str] = {path.stem: "" for path in folder.glob("*.flac")}
    for path in folder.glob(f"*{_ENDING}"):
        for number, line in numbered_lines(path):
            name, _, text = line.strip().partition(" ")
            if texts.get(name):
                raise DataError(f"{path}, line {number}: {name!r} has a text already; ids must be unique")
            texts[name] = text.strip()
    return dict(sorted(texts.items()))

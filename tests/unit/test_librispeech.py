"""The corpus ``librispeech``: the layout of the release is read, and what does not fit is named or counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import benchmark
from benchmark.corpora.recordings import RecordingsSplit
from benchmark.errors import DataError

RATE = 16_000
TEXTS = {
    ("dev-clean", "84", "121123"): {"0000": "GO DO YOU HEAR", "0001": "BUT IN LESS THAN FIVE MINUTES"},
    ("dev-clean", "84", "9"): {"0000": "AN EARLIER CHAPTER"},
    ("dev-clean", "174", "50561"): {"0000": "FORGOTTEN TOO"},
    ("train-clean-100", "19", "198"): {"0000": "NORTHANGER ABBEY"},
    ("train-other-500", "20", "205"): {"0000": "ANOTHER READER'S"},
}


def tone(pitch: float, seconds: float = 0.2) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """``LibriSpeech`` with its files of text beside three subsets (invented sentences, tones for speech)."""
    root = tmp_path / "LibriSpeech"
    for (subset, speaker, chapter), texts in TEXTS.items():
        folder = root / subset / speaker / chapter
        folder.mkdir(parents=True)
        lines = [f"{speaker}-{chapter}-{number} {text}\n" for number, text in texts.items()]
        (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines))
        for number in texts:
            name = f"{speaker}-{chapter}-{number}"
            soundfile.write(folder / f"{name}.flac", tone(200 + sum(map(ord, name))), RATE)
    for name in ("README.TXT", "SPEAKERS.TXT", "CHAPTERS.TXT", "BOOKS.TXT", "LICENSE.TXT"):
        (root / name).write_text(";ID |SEX| SUBSET |MINUTES| NAME\n")
    return root


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))


def corpus(path: Path, **options: Any) -> Any:
    return benchmark.get("corpus", "librispeech", path=str(path), **options)


def load(path: Path, split: str = "dev-clean", limit: int | None = None, **options: Any) -> RecordingsSplit:
    found: RecordingsSplit = corpus(path, **options).load(split, limit)
    return found


def error(path: Path, split: str = "dev-clean", **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(path, split, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_subsets_are_splits(release: Path) -> None:
    made = corpus(release)
    assert made.splits == ("dev-clean", "train-clean-100", "train-other-500")
    assert made.language == "en"
    split = load(release)
    assert list(split.ids) == ["174-50561-0000", "84-121123-0000", "84-121123-0001", "84-9-0000"]
    assert list(split.texts) == [
        "FORGOTTEN TOO",
        "GO DO YOU HEAR",
        "BUT IN LESS THAN FIVE MINUTES",
        "AN EARLIER CHAPTER",
    ]
    assert list(split.speakers) == ["174", "84", "84", "84"]
    name = "84-121123-0001"
    np.testing.assert_allclose(split.waveform(2), tone(200 + sum(map(ord, name))), atol=1e-3)


def test_the_folder_above_is_as_good(release: Path) -> None:
    assert load(release.parent).data_hash == load(release).data_hash


def test_small_letters(release: Path) -> None:
    split = load(release, lower=True)
    assert split.texts[1] == "go do you hear"
    assert split.data_hash != load(release).data_hash


def test_subsets_join_under_a_name(release: Path) -> None:
    made = corpus(release, splits={"train": "train-clean-100+train-other-500"})
    assert made.splits[0] == "train"
    assert list(made.load("train").ids) == ["19-198-0000", "20-205-0000"]
    assert "no subset 'train-clean-360'; did you mean" in error(release, "all", splits={"all": "train-clean-360"})


def test_audio_without_a_text_is_counted(release: Path) -> None:
    chapter = release / "dev-clean" / "84" / "121123"
    soundfile.write(chapter / "84-121123-0002.flac", tone(300), RATE)
    assert "84-121123-0002.flac: text is empty" in error(release)
    split = load(release, faulty="exclude")
    assert len(split) == 4
    assert [(fault.id, fault.kind) for fault in split.faults] == [("84-121123-0002", "empty text")]


def test_a_text_without_audio_is_counted(release: Path) -> None:
    (release / "dev-clean" / "84" / "121123" / "84-121123-0000.flac").unlink()
    assert "84-121123-0000.flac: audio file is missing" in error(release)
    split = load(release, faulty="exclude")
    assert [fault.kind for fault in split.faults] == ["missing audio"]


def test_two_texts_for_one_id(release: Path) -> None:
    with (release / "dev-clean" / "84" / "9" / "84-9.trans.txt").open("a") as file:
        file.write("84-9-0000 AGAIN\n")
    assert "84-9.trans.txt, line 2: '84-9-0000' has a text already" in error(release)


def test_what_is_not_there(release: Path, tmp_path: Path) -> None:
    assert "is not a folder; check the option path" in error(tmp_path / "nowhere")
    assert "has no subset 'dev-claen'; did you mean 'dev-clean'?" in error(release, "dev-claen")
    (tmp_path / "empty").mkdir()
    assert "has no <subset>/<speaker>/<chapter>" in error(tmp_path / "empty")


def test_the_place_is_no_part_of_the_identity(release: Path, tmp_path: Path) -> None:
    before = corpus(release, lower=True).identity(["dev-clean"])
    assert before["options"] == {"lower": True}
    moved = release.rename(tmp_path / "moved")
    assert corpus(moved, lower=True).identity(["dev-clean"]) == before
    (moved / "dev-clean" / "84" / "9" / "84-9.trans.txt").write_text("84-9-0000 ANOTHER TEXT\n")
    assert corpus(moved, lower=True).identity(["dev-clean"]) != before

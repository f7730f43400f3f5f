"""The corpus ``dataset``: folders of save_to_disk and names on the hub, without a network and without torchcodec."""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile
from datasets import Audio, Dataset, DatasetDict

import benchmark
from benchmark.corpora.hf_dataset import HubDataset
from benchmark.corpora.recordings import RecordingsSplit
from benchmark.errors import DataError, SpecError

RATE = 16_000
COMMIT, OTHER = "a" * 40, "b" * 40
NAME = "someone/tiny"


def sound(pitch: float, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.5 * np.sin(2 * np.pi * pitch * np.arange(4800) / RATE), RATE, format=kind)
    return file.getvalue()


def table(count: int = 3, kind: str = "WAV", **changed: list[Any]) -> Dataset:
    """Return a data set with a column of audio, as others make it with ``Audio()``."""
    columns: dict[str, list[Any]] = {
        "audio": [{"bytes": sound(200 + 50 * index, kind), "path": None} for index in range(count)],
        "text": [f"वाक्य {index}" for index in range(count)],
        "key": [f"k{index}" for index in range(count)],
        "reader": [index % 2 for index in range(count)],
    }
    return Dataset.from_dict(columns | changed).cast_column("audio", Audio(sampling_rate=RATE))


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test, and no network."""
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits, saved to disk."""
    DatasetDict({"train": table(5), "validation": table(3)}).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def corpus(source: Path | str, **options: Any) -> HubDataset:
    made: HubDataset = benchmark.get("corpus", "dataset", source=str(source), **{"language": "hi"} | options)
    return made


def load(source: Path | str, split: str = "validation", limit: int | None = None, **options: Any) -> RecordingsSplit:
    return corpus(source, **options).load(split, limit)


def error(source: Path | str, split: str = "validation", limit: int | None = None, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(source, split, limit, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- a folder -----------------------------------------------------------------------------------------------------


def test_a_saved_folder(folder: Path) -> None:
    assert corpus(folder).splits == ("train", "validation")
    split = load(folder)
    assert list(split.ids) == ["validation/000000", "validation/000001", "validation/000002"]
    assert list(split.texts) == ["वाक्य 0", "वाक्य 1", "वाक्य 2"]
    assert list(split.speakers) == ["", "", ""]
    spectrum = np.abs(np.fft.rfft(split.waveform(1)))
    assert np.argmax(spectrum) * RATE / 4800 == pytest.approx(250, abs=4)
    assert "torchcodec" not in sys.modules
    assert len(load(folder, "train", limit=2)) == 2


def test_columns_by_name(folder: Path) -> None:
    split = load(folder, text="key", id="text", speaker="reader")
    assert list(split.texts) == ["k0", "k1", "k2"]
    assert list(split.ids) == ["वाक्य 0", "वाक्य 1", "वाक्य 2"]
    assert list(split.speakers) == ["0", "1", "0"]


def test_one_split_alone(tmp_path: Path) -> None:
    table().save_to_disk(str(tmp_path / "one"))
    assert corpus(tmp_path / "one").splits == ("train",)
    assert len(load(tmp_path / "one", "train")) == 3


def test_splits_by_other_names_and_joined(folder: Path) -> None:
    named = corpus(folder, splits={"dev": "validation", "all": "train+validation"})
    assert named.splits == ("dev", "all", "train", "validation")
    assert named.load("dev").data_hash == corpus(folder).load("validation").data_hash
    assert len(named.load("all")) == 8
    assert len(set(named.load("all").ids)) == 8


@pytest.mark.parametrize("form", ["not decoded", "struct", "binary", "paths", "files in structs"])
def test_other_columns_of_audio(form: str, folder: Path, tmp_path: Path) -> None:
    raw = [sound(200 + 50 * index) for index in range(3)]
    for index, one in enumerate(raw):
        (tmp_path / f"{index}.wav").write_bytes(one)
    held: dict[str, list[Any]] = {
        "not decoded": [{"bytes": one, "path": None} for one in raw],
        "struct": [{"bytes": one, "path": "x.wav"} for one in raw],
        "binary": list(raw),
        "paths": ["../0.wav", "../1.wav", str(tmp_path / "2.wav")],
        "files in structs": [{"bytes": None, "path": f"../{index}.wav"} for index in range(3)],
    }
    made = Dataset.from_dict({"audio": held[form], "text": [f"वाक्य {index}" for index in range(3)]})
    if form == "not decoded":
        made = made.cast_column("audio", Audio(decode=False))
    if form == "files in structs":
        made = made.cast(
            datasets.Features(
                {
                    "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
                    "text": datasets.Value("string"),
                }
            )
        )
    DatasetDict({"validation": made}).save_to_disk(str(tmp_path / "other"))
    assert load(tmp_path / "other").data_hash == load(folder).data_hash


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3"])
def test_formats(kind: str, tmp_path: Path) -> None:
    table(kind=kind).save_to_disk(str(tmp_path / "one"))
    assert load(tmp_path / "one", "train").waveform(0).size == pytest.approx(4800, abs=2500)


def test_identity_of_a_folder(folder: Path, tmp_path: Path) -> None:
    before = corpus(folder, faulty="exclude").identity(["train", "validation"])
    assert before["options"] == {"language": "hi"}
    moved = folder.rename(tmp_path / "moved")
    assert corpus(moved).identity(["train", "validation"]) == before
    for number, other in enumerate((table(3, text=["a", "b", "c"]), table(3, kind="FLAC"))):
        there = tmp_path / f"other{number}"
        DatasetDict({"train": table(5), "validation": other}).save_to_disk(str(there))
        assert corpus(there).identity(["train", "validation"])["version"] != before["version"]


def test_audio_of_a_folder_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = corpus(folder).identity(["train", "validation"])
    monkeypatch.setattr(HubDataset, "_bytes", lambda *_: pytest.fail("audio is read again"))
    assert corpus(folder).identity(["train", "validation"]) == before


def test_a_folder_that_changed_is_hashed_anew(folder: Path) -> None:
    before = load(folder).data_hash
    (file,) = (folder / "validation").glob("*.arrow")
    about, raw = file.stat(), bytearray(file.read_bytes())
    raw[raw.index(sound(200)) + 500] ^= 0x55
    file.write_bytes(raw)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert load(folder).data_hash != before


def test_faults_are_counted(tmp_path: Path) -> None:
    raw = [one and {"bytes": one, "path": None} for one in (sound(300), None, sound(400)[:99], sound(500))]
    raw.insert(3, {"bytes": b"", "path": None})
    made = table(5, audio=raw, text=["a", "b", "c", "d", None])
    DatasetDict({"validation": made}).save_to_disk(str(tmp_path / "faulty"))
    assert "split validation, row 1: the row holds no audio; repair it, or leave" in error(tmp_path / "faulty", limit=3)
    split = load(tmp_path / "faulty", faulty="exclude")
    assert len(split) == 1
    assert sorted((fault.id[-1], fault.kind) for fault in split.faults) == [
        ("1", "missing audio"),
        ("2", "corrupt audio"),
        ("3", "empty audio"),
        ("4", "empty text"),
    ]
    assert all(f"split validation, row {fault.id[-1]}" in fault.where for fault in split.faults)


def test_columns_that_are_not_there_or_hold_something_else(folder: Path) -> None:
    said = "split validation: has no column 'sentence' (option text); there is: audio, text, key, reader"
    assert said in error(folder, text="sentence")
    assert "has no column 'client' (option speaker)" in error(folder, speaker="client")
    assert "column 'reader' (option text) holds no text but Value('int64')" in error(folder, text="reader")
    assert "column 'reader' (option audio) holds no audio but Value('int64')" in error(folder, audio="reader")


def test_splits_that_are_not_there(folder: Path) -> None:
    said = "has no split 'dev'; there is: train, validation; give 'dev' one of them with splits"
    assert said in error(folder, "dev")
    assert "has no split 'valid'; there is: train, validation (splits: dev)" in error(
        folder, "dev", splits={"dev": "valid"}
    )


def test_what_is_no_saved_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "cannot be opened" in error(tmp_path / "empty")
    for path in (folder / "validation").glob("*.arrow"):
        path.write_bytes(path.read_bytes()[:100])
    assert "cannot be opened" in error(folder)


@pytest.mark.parametrize("option", ["config", "revision", "data_dir"])
def test_a_folder_with_what_is_for_the_hub(option: str, folder: Path) -> None:
    with pytest.raises(SpecError, match=f"is a folder here; leave {option} out"):
        corpus(folder, **{option: COMMIT})


# --- a name on the hub --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [None, "main", COMMIT[:-1], COMMIT.replace("a", "g")])
def test_a_hub_name_needs_its_commit(revision: str | None) -> None:
    with pytest.raises(SpecError, match=r"needs its commit: revision: <40 hex digits>"):
        corpus(NAME, revision=revision)


def test_a_hub_name_is_asked_for_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: pytest.fail("asked too early"))
    made = corpus(NAME, revision=COMMIT, config="hi", splits={"dev": "validation"}, faulty="exclude")
    assert made.splits == ("dev", "train", "validation", "test")
    assert made.identity(["train", "dev"]) == {
        "name": "dataset",
        "version": "1",
        "options": {
            "source": NAME,
            "revision": COMMIT,
            "config": "hi",
            "language": "hi",
            "splits": {"dev": "validation"},
        },
    }
    assert made.places({"source": NAME, "revision": COMMIT}) == frozenset()
    assert made.places({"source": "folder"}) == {"source"}


def test_a_hub_name_is_loaded_at_its_commit(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    asked: list[Any] = []

    def builder(*names: Any, **options: Any) -> Any:
        asked.append((names, options))
        return SimpleNamespace(
            hash=COMMIT,
            download_and_prepare=lambda: asked.append("prepared"),
            as_dataset=lambda: DatasetDict({"validation": table(3)}),
        )

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    made = corpus(NAME, revision=COMMIT, config="hi", data_dir="hi_in")
    assert made.load("validation").data_hash == load(folder).data_hash
    assert made.load("validation", 1).ids == ["validation/000000"]
    assert asked == [((NAME, "hi"), {"data_dir": "hi_in", "revision": COMMIT}), "prepared"]
    assert "has no split 'test'; there is: validation" in error(NAME, "test", revision=COMMIT)


def test_paths_are_for_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Dataset.from_dict({"audio": ["/etc/hostname"], "text": ["a"]})
    builder = SimpleNamespace(hash=COMMIT, download_and_prepare=lambda: None, as_dataset=lambda: {"validation": made})
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: builder)
    assert "column 'audio' (option audio) holds no audio but Value('string')" in error(NAME, revision=COMMIT)


def test_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("Dataset scripts are no longer supported, but found tiny.py")

    monkeypatch.setattr(datasets, "load_dataset_builder", refuse)
    said = error(NAME, revision=COMMIT)
    assert f"{NAME} at commit {COMMIT[:12]} is a loading script, which datasets {datasets.__version__} does not" in said
    assert "refs/convert/parquet" in said


def test_datasets_still_says_so_of_scripts(tmp_path: Path) -> None:
    """The words by which a script is known are those of the installed datasets."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "tiny.py").write_text("")
    with pytest.raises(RuntimeError, match="scripts are no longer supported"):
        datasets.load_dataset_builder(str(tmp_path / "tiny"))


def test_without_a_network() -> None:
    said = error(NAME, revision=COMMIT)
    assert f"{NAME} at commit {COMMIT[:12]} cannot be loaded: Couldn't reach '{NAME}' on the Hub" in said
    assert "needs a network, or to have been loaded here before" in said


def test_a_failure_while_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise datasets.exceptions.DatasetGenerationError("An error occurred while\ngenerating") from error

    builder = SimpleNamespace(hash=COMMIT, download_and_prepare=fail)
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: builder)
    assert "An error occurred while generating: [Errno 28] No space left on device" in error(NAME, revision=COMMIT)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of datasets as it is after one commit was loaded from the hub."""
    from datasets.packaged_modules.parquet.parquet import Parquet

    table().to_parquet(tmp_path / "t.parquet")
    made = Parquet(
        cache_dir=str(tmp_path / "made"),
        dataset_name="tiny",
        hash=OTHER,
        data_files={"validation": [str(tmp_path / "t.parquet")]},
    )
    made.download_and_prepare()
    home = tmp_path / "hub" / NAME.replace("/", "___")
    home.mkdir(parents=True)
    Path(made.cache_dir).parents[1].rename(home / "default")


@pytest.mark.usefixtures("cached")
def test_another_commit_in_the_cache_is_not_taken(folder: Path) -> None:
    """Out of reach of the hub, datasets serves the last commit that it has, whichever was asked for."""
    assert datasets.load_dataset_builder(NAME, revision=COMMIT).hash == OTHER
    said = f"cannot be had at commit {COMMIT[:12]}: the hub is out of reach, and the last that the cache of datasets"
    assert f"{said} holds is {OTHER[:12]}" in error(NAME, revision=COMMIT)
    assert load(NAME, revision=OTHER).data_hash == load(folder).data_hash

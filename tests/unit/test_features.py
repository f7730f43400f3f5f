"""Features are computed once, equal the extractor's, and are made again when the file is not what it should be."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from benchmark.api import Split
from benchmark.corpora import features
from benchmark.corpora.features import log_mels
from benchmark.errors import DataError

COUNT = 5


class Tones(Split):
    """Five tones of growing length; the last is longer than the window of the extractor below."""

    def __init__(self, pitch: float = 300.0) -> None:
        self.ids = [f"tone{index}" for index in range(COUNT)]
        self.texts = self.speakers = ["x"] * COUNT
        self.pitch = pitch
        self.asked = 0

    def waveform(self, index: int) -> np.ndarray:
        self.asked += 1
        steps = np.arange(16_000 * (index + 1) // 4)
        return np.sin(2 * np.pi * self.pitch * steps / 16_000).astype(np.float32)

    @property
    def data_hash(self) -> str:
        return self.hash_of([hashlib.sha256(f"{self.pitch} {index}".encode()).digest() for index in range(COUNT)])


def make(**settings: int) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(**settings)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def extractor() -> WhisperFeatureExtractor:
    return make(feature_size=40, chunk_length=1)


def direct(split: Split, extractor: WhisperFeatureExtractor) -> np.ndarray:
    call: Any = extractor
    rows = [call(split.waveform(i), sampling_rate=16_000, return_tensors="np") for i in range(len(split))]
    return np.concatenate([row["input_features"] for row in rows])


def test_equal_to_the_extractor(
    extractor: WhisperFeatureExtractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(features, "BATCH", 2)
    split = Tones()
    found = log_mels(split, extractor, tmp_path)
    assert isinstance(found, np.memmap)
    assert found.shape == (COUNT, 40, 100)
    assert found.dtype == np.float16
    assert not found.flags.writeable
    np.testing.assert_allclose(found.astype(np.float32), direct(split, extractor), atol=2e-3)
    assert "1 of 5 utterances are longer than 1 s: features hold their beginnings" in caplog.text


def test_computed_once(extractor: WhisperFeatureExtractor, tmp_path: Path) -> None:
    split = Tones()
    log_mels(split, extractor, tmp_path)
    log_mels(split, extractor, tmp_path)
    assert split.asked == COUNT
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_the_key_is_data_and_settings(extractor: WhisperFeatureExtractor, tmp_path: Path) -> None:
    log_mels(Tones(), extractor, tmp_path)
    log_mels(Tones(pitch=500.0), extractor, tmp_path)
    log_mels(Tones(), make(feature_size=40, chunk_length=2), tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 3


def test_the_cache_is_under_the_user_cache(
    extractor: WhisperFeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path))
    log_mels(Tones(), extractor)
    assert len(list((tmp_path / "features").glob("*.npy"))) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "shape", "type"])
def test_damaged_files_are_made_again(
    damage: str, extractor: WhisperFeatureExtractor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = np.array(log_mels(Tones(), extractor, tmp_path))
    path = next(tmp_path.glob("*.npy"))
    breaks: dict[str, Callable[[], object]] = {
        "cut": lambda: path.write_bytes(path.read_bytes()[:-100]),
        "empty": lambda: path.write_bytes(b""),
        "text": lambda: path.write_text("no array"),
        "shape": lambda: np.save(path, good[:-1]),
        "type": lambda: np.save(path, good.astype(np.float32)),
    }
    breaks[damage]()
    np.testing.assert_array_equal(log_mels(Tones(), extractor, tmp_path), good)
    assert "it is made again" in caplog.text


def test_two_writers(extractor: WhisperFeatureExtractor, tmp_path: Path) -> None:
    splits = [Tones(), Tones()]
    threads = [threading.Thread(target=log_mels, args=(split, extractor, tmp_path)) for split in splits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(split.asked for split in splits) == [0, COUNT]
    assert not list(tmp_path.glob(".*npy-*")), "temporary files are left"


def test_what_a_killed_writer_left_is_removed(extractor: WhisperFeatureExtractor, tmp_path: Path) -> None:
    path = Path(str(log_mels(Tones(), extractor, tmp_path).filename))
    path.unlink()
    path.with_name(f".{path.name}-killed").write_bytes(bytes(99))
    path.with_name(".other.npy-writing").write_bytes(bytes(99))
    log_mels(Tones(), extractor, tmp_path)
    assert [left.name for left in tmp_path.glob(".*")] == [".other.npy-writing"]


def test_no_more_of_long_audio_is_held_than_is_used(tmp_path: Path) -> None:
    held: list[int] = []

    class Weighing(WhisperFeatureExtractor):
        def __call__(self, sounds: list[np.ndarray], **more: Any) -> Any:
            held.extend((sound if sound.base is None else sound.base).size for sound in sounds)
            return super().__call__(sounds, **more)

    Weighing.__name__ = "WhisperFeatureExtractor"
    settings: dict[str, int] = {"feature_size": 40, "chunk_length": 1}
    found = log_mels(Tones(), Weighing(**settings), tmp_path)  # type: ignore[arg-type,no-untyped-call]
    assert held == [4_000, 8_000, 12_000, 16_000, 16_000]
    np.testing.assert_array_equal(found, log_mels(Tones(), make(**settings), tmp_path / "other"))


def test_a_failure_leaves_nothing_behind(extractor: WhisperFeatureExtractor, tmp_path: Path) -> None:
    split = Tones()
    split.waveform = lambda index: (_ for _ in ()).throw(DataError("gone"))  # type: ignore[method-assign]
    with pytest.raises(DataError, match="gone"):
        log_mels(split, extractor, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] in ([], [".lock"])


def test_what_is_wrong_is_named(extractor: WhisperFeatureExtractor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expects 8000 Hz; corpora hold 16000 Hz"):
        log_mels(Tones(), make(feature_size=40, sampling_rate=8_000), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write features .* set PRUNEBENCH_CACHE"):
        log_mels(Tones(), extractor, tmp_path / "file")

"""What the cache of log-mels saves: an epoch read from it against the same epoch made from audio; ``-m benchmark``."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.corpora.features import BATCH, RATE, log_mels

UTTERANCES = 600
_READ = """
import sys
import numpy as np
features = np.load(sys.argv[1], mmap_mode="r")
order = np.random.default_rng(0).permutation(len(features))
read = 0
for start in range(0, len(order), 16):
    read += len(np.stack([features[index] for index in order[start : start + 16]]).astype(np.float32))
print(read)
"""


def epoch(features: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the batches of one epoch in random order, as training reads them."""
    order = np.random.default_rng(0).permutation(len(features))
    for start in range(0, len(order), 16):
        yield np.stack([features[int(index)] for index in order[start : start + 16]]).astype(np.float32)


@pytest.mark.benchmark
def test_an_epoch_from_the_cache_is_quicker_than_from_audio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import WhisperFeatureExtractor

    split = benchmark.get("corpus", "synthetic-hi").load("train", UTTERANCES)
    hours = sum(len(split.waveform(index)) for index in range(len(split))) / RATE / 3600
    extractor = WhisperFeatureExtractor()  # 80 mels of 30 s, as whisper-small has them
    began = time.perf_counter()
    made = 0
    for start in range(0, len(split), BATCH):
        sounds = [split.waveform(index) for index in range(start, min(start + BATCH, len(split)))]
        made += len(extractor(sounds, sampling_rate=RATE, return_tensors="np")["input_features"])
    from_audio = time.perf_counter() - began
    cached = log_mels(split, extractor, tmp_path)
    began = time.perf_counter()
    read = sum(len(batch) for batch in epoch(cached))
    from_cache = time.perf_counter() - began
    with capsys.disabled():
        print(
            f"\n{len(split)} utterances ({hours:.2f} h, windows of 30 s): an epoch from audio {from_audio:.1f} s, from "
            f"the cache {from_cache:.2f} s; the cache has {cached.nbytes / 1e6:.0f} MB"
        )
    assert made == read == UTTERANCES
    assert from_cache < from_audio / 2


@pytest.mark.benchmark
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read in the way of Linux")
def test_what_is_read_is_not_held(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An array is read through in random order by a process that may have a quarter of its size in memory."""
    path = tmp_path / "features.npy"
    shape = (4000, 80, 3000)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)[:] = 0
    size = path.stat().st_size
    room = size // 4

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (room, room))

    done = subprocess.run(
        [sys.executable, "-c", _READ, str(path)],
        preexec_fn=limited,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread reserves memory
        capture_output=True,
        text=True,
        check=True,
    )
    with capsys.disabled():
        print(f"\n{size / 1e9:.1f} GB read through with at most {room / 1e9:.2f} GB of memory of its own")
    assert int(done.stdout) == shape[0]

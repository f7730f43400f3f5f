"""A static cache against a dynamic one on a CPU, in seconds of CPU time; ``-m benchmark``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch

import benchmark
from benchmark.corpora.features import log_mels
from benchmark.measure.decoding import Decoding, transcribe
from tests import real_whispers

ROUNDS = 4


def embedded() -> tuple[Any, Any, np.ndarray, dict[str, Any]]:
    model, processor = benchmark.get("model", "nano-hi").load()
    split = benchmark.get("corpus", "synthetic-hi").load("test", 96)
    return model, processor, log_mels(split, processor.feature_extractor), {"batch": 32}


def tiny() -> tuple[Any, Any, np.ndarray, dict[str, Any]]:
    """The shape of whisper-tiny with random weights: what it says means nothing, and takes as long."""
    shape = real_whispers.PUBLISHED["tiny"]
    model, processor = real_whispers.whisper(shape), real_whispers.processor(shape)
    model.generation_config = real_whispers.generation(shape, processor)
    noise = np.random.default_rng(0).standard_normal((8, shape.mels, 3000)).astype(np.float16)
    return model, processor, noise, {"batch": 8, "max_new_tokens": 44}


@pytest.mark.benchmark
@pytest.mark.parametrize("make", [embedded, tiny])
def test_a_static_cache_says_the_same_and_does_not_pay(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    model, processor, features, options = make()
    told: dict[str, list[float]] = {"dynamic": [], "static": []}
    texts: dict[str, list[str]] = {}
    for _ in range(ROUNDS):  # in turn, so that what else the machine does meets both
        for cache, times in told.items():
            began = time.process_time()
            decoding = Decoding.parse({**options, "cache": cache}, "a test")
            texts[cache] = transcribe(model, processor, features, language="hi", decoding=decoding).texts
            times.append(time.process_time() - began)
    medians = {cache: float(np.median(times)) for cache, times in told.items()}
    with capsys.disabled():
        print(f"\n{make.__name__}: {', '.join(f'{cache} {value:.2f} s' for cache, value in medians.items())}")
    assert texts["static"] == texts["dynamic"]
    assert medians["dynamic"] <= 1.1 * medians["static"]  # else the default should be the other

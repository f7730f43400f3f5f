"""Decoding against transformers' own pipeline, on the same utterances at the same batch; ``-m benchmark``."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import benchmark
from benchmark.corpora.features import log_mels
from benchmark.measure.decoding import Decoding, transcribe

UTTERANCES, BATCH, ROUNDS, LIMIT = 300, 50, 5, 44


@pytest.mark.benchmark
def test_the_pipeline_says_the_same_and_is_no_faster(capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import pipeline

    torch.set_num_threads(1)
    model, processor = benchmark.get("model", "nano-hi").load()
    split = benchmark.get("corpus", "synthetic-hi").load("test", UTTERANCES)
    sounds = [split.waveform(index) for index in range(len(split))]
    features = log_mels(split, processor.feature_extractor)
    seconds = np.array([len(sound) for sound in sounds]) / 16_000
    listener = pipeline(
        "automatic-speech-recognition",
        model=model,
        tokenizer=processor.tokenizer,
        feature_extractor=processor.feature_extractor,
        batch_size=BATCH,
        device="cpu",
        generate_kwargs={"num_beams": 1, "max_new_tokens": LIMIT, "language": "hi", "task": "transcribe"},
    )  # a pipeline's own default is five beams
    told: dict[str, list[float]] = {"ours, from features": [], "ours, from audio": [], "pipeline": []}
    for _ in range(ROUNDS):  # in turn, so that what else the machine does meets all three
        began = time.perf_counter()
        ours = transcribe(
            model,
            processor,
            features,
            language="hi",
            decoding=Decoding(batch=BATCH, max_new_tokens=LIMIT),
            seconds=seconds,
        ).texts
        told["ours, from features"].append(time.perf_counter() - began)
        began = time.perf_counter()
        heard = np.concatenate([
            processor.feature_extractor(sounds[start : start + BATCH], sampling_rate=16_000, return_tensors="np")[
                "input_features"
            ]
            for start in range(0, len(sounds), BATCH)
        ])  # fmt: skip
        transcribe(
            model,
            processor,
            heard,
            language="hi",
            decoding=Decoding(batch=BATCH, max_new_tokens=LIMIT),
            seconds=seconds,
        )
        told["ours, from audio"].append(time.perf_counter() - began)
        began = time.perf_counter()
        theirs = [found["text"] for found in listener([{"raw": sound, "sampling_rate": 16_000} for sound in sounds])]
        told["pipeline"].append(time.perf_counter() - began)
    medians = {name: float(np.median(values)) for name, values in told.items()}
    differ = sum(a.strip() != b.strip() for a, b in zip(ours, theirs, strict=True))
    with capsys.disabled():
        said = ", ".join(f"{name} {value:.2f} s" for name, value in medians.items())
        print(f"\n{UTTERANCES} utterances, batch {BATCH}, one thread: {said}; {differ} texts differ")
    assert differ == 0
    assert medians["ours, from audio"] <= 1.05 * medians["pipeline"]

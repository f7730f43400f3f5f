"""Bytes of weights counted by hand, and peaks of models whose sizes are known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.measure import memory
from benchmark.measure.decoding import Decoding
from benchmark.measure.memory import Peaks, peak_memory, weight_bytes
from benchmark.whisper.files import save
from benchmark.whisper.quantise import quantise
from tests.tiny import tiny_whisper

DECODING = Decoding(max_new_tokens=4)
on_linux = pytest.mark.skipif(not memory._RESET.exists(), reason="resident memory is Linux's to tell")


# --- weights ------------------------------------------------------------------------------------------------------


def test_parameters_and_buffers_count_and_what_is_tied_counts_once() -> None:
    model = tiny_whisper()
    assert model.proj_out.weight is model.get_decoder().embed_tokens.weight
    assert weight_bytes(model) == 4 * sum(p.numel() for p in model.parameters())
    assert weight_bytes(model.half()) == 2 * sum(p.numel() for p in model.parameters())
    before = weight_bytes(model)
    model.register_buffer("columns", torch.zeros(5, dtype=torch.long))
    assert weight_bytes(model) == before + 40


def test_untying_makes_a_model_heavier_by_its_embedding() -> None:
    model = tiny_whisper()
    before, embedding = weight_bytes(model), model.proj_out.weight
    model.proj_out.weight = torch.nn.Parameter(embedding.detach().clone())
    assert weight_bytes(model) == before + 4 * embedding.numel()


@pytest.mark.skipif(torch.backends.quantized.engine == "none", reason="no int8 on this build of torch")
def test_int8_layers_count_as_executed() -> None:
    model = tiny_whisper()
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not model.proj_out]
    saved = sum(3 * layer.weight.numel() for layer in layers)
    scales = sum(8 * layer.out_features for layer in layers)  # one a row, in double precision
    # torch gives every int8 layer a bias, of zeros where there was none: k has none
    biases = sum(4 * layer.out_features for layer in layers if layer.bias is None)
    assert weight_bytes(quantise(model)) - (weight_bytes(model) - saved + scales) in (0, biases)


# --- peaks --------------------------------------------------------------------------------------------------------


def features(windows: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((windows, 8, 40)).astype(np.float16)


@on_linux
def test_a_peak_holds_the_weights_and_grows_with_them_whatever_was_measured_before(tmp_path: Path) -> None:
    sizes = {"small": 64, "large": 1024}
    models = {name: tiny_whisper(d=width, ffn=4 * width, layers=(1, 1)) for name, width in sizes.items()}
    for name, model in models.items():
        save(model, tmp_path / name, check=False)
    asked = [tmp_path / name for name in ("small", "large", "small", "missing")]
    found = peak_memory(asked, features(8), language="en", decoding=DECODING, batches=(1, 8))
    small, large, again, missing = found
    heavy, light = weight_bytes(models["large"]), weight_bytes(models["small"])
    assert heavy > 100e6 > 10 * light
    assert heavy < large.by_batch[1] < 1.5 * heavy, "not the libraries, and not two copies"
    assert 0 <= small.by_batch[1] < 30e6, "less than the libraries"
    assert large.by_batch[1] <= large.by_batch[8]
    assert abs(again.by_batch[1] - small.by_batch[1]) < 5e6, "what came before leaves no trace"
    assert missing.by_batch == {} and "no such folder" in str(missing.reason)
    assert [one.reason for one in found[:3]] == [None] * 3


@on_linux
def test_a_process_that_dies_costs_its_own_number_alone(tmp_path: Path) -> None:
    save(tiny_whisper(), tmp_path / "model", check=False)
    wrong = features(1)[:, :4]  # another number of mels: refused by name
    (refused,) = peak_memory([tmp_path / "model"], wrong, language="en", decoding=DECODING)
    assert refused.by_batch == {} and "mels" in str(refused.reason)
    (lost,) = peak_memory([tmp_path / "model"], features(1), language="en", decoding=DECODING, threads=-1)
    assert lost.by_batch == {} and "ended with code" in str(lost.reason)


@on_linux
def test_the_cache_is_that_of_the_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tiny_whisper(), tmp_path / "model", check=False)
    seen: list[str] = []
    monkeypatch.setattr(memory, "transcribe", lambda *_, decoding, **__: seen.append(decoding.cache))
    monkeypatch.setattr(memory, "_in_a_child", lambda folder, options: {"peaks": memory._measure(folder, options)})

    def here(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        memory.main(arguments)
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(memory, "_fresh", here)
    for cache in ("static", "dynamic"):
        peak_memory([tmp_path / "model"], features(1), language="en", decoding=Decoding(cache=cache))
    assert seen == ["static"] * 2 + ["dynamic"] * 2, "a warm-up, and what is measured"


def test_where_resident_memory_cannot_be_read_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_RESET", tmp_path / "absent")
    found = peak_memory([tmp_path, tmp_path], features(1), language="en", decoding=DECODING)
    assert found == [Peaks({}, "resident memory can be measured on Linux alone")] * 2
    assert peak_memory([], features(1), language="en", decoding=DECODING) == []

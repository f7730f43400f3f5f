"""Exports: what is written agrees with torch, what does not is refused, and a wrong request is one line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from benchmark.cli.main import invoke
from benchmark.errors import DataError, SpecError, StoreError
from benchmark.harness.exporting import open_source
from benchmark.store.folders import open_run
from benchmark.store.records import MODEL, Attempt
from benchmark.whisper import export as exports
from benchmark.whisper import graphs, runtimes
from benchmark.whisper.export_parity import Material, Speech
from benchmark.whisper.files import load, save
from benchmark.whisper.plan import Plan
from benchmark.whisper.quantise import quantise
from benchmark.whisper.runtimes import ExportedWhisper
from benchmark.whisper.surgery import shrink
from tests import fake_runs
from tests.saved import flip, one_line
from tests.tiny import tiny_whisper

RUNTIMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            any(importlib.util.find_spec(module) is None for module in modules),
            reason=f"pip install '.[{name}]' brings {', '.join(modules)}",
        ),
    )
    for name, modules in (("onnx", ("onnx", "onnxscript", "onnxruntime")), ("openvino", ("openvino",)))
]


def odd_whisper() -> WhisperForConditionalGeneration:
    """Return a model of every form that surgery makes: uneven heads and widths, columns, two factors, fewer layers."""
    plan = Plan(
        {
            "model.decoder.layers.0.encoder_attn": torch.tensor([1, 2]),
            "model.decoder.layers.1.self_attn": torch.tensor([3]),
            "model.encoder.layers.1.ffn": torch.arange(7),
            "model.encoder.layers": torch.tensor([1, 2]),
        },
        columns={"model.decoder.layers.1.fc1.weight": torch.arange(0, 32, 3)},
        ranks={"model.decoder.layers.0.fc2.weight": 6, "model.encoder.layers.2.self_attn.k_proj.weight": 9},
    )
    model = shrink(tiny_whisper(layers=(3, 2), seed=5), plan)
    model.generation_config.suppress_tokens, model.generation_config.begin_suppress_tokens = [7, 11], [5, 2]
    return model


@torch.inference_mode()
def greedy(model: WhisperForConditionalGeneration, features: np.ndarray, count: int) -> list[list[int]]:
    """Decode by hand, without a cache: the largest logit, again and again, up to the end token."""
    never, first = (getattr(model.generation_config, f"{name}suppress_tokens", None) or [] for name in ("", "begin_"))
    rows = []
    for window in torch.from_numpy(features)[:, None]:
        row = [3]
        while row[-1] != 2 and len(row) <= count:
            logits = model(input_features=window, decoder_input_ids=torch.tensor([row])).logits[0, -1]
            logits[[*never, *(first if len(row) == 1 else [])]] = -torch.inf
            row.append(int(logits.argmax()))
        rows.append(row[1:])
    return rows


# --- what is written ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("format_", RUNTIMES)
def test_every_form_of_surgery_says_there_what_torch_says(format_: str, tmp_path: Path) -> None:
    model = odd_whisper()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parity = exports.export(model, tmp_path / "out", format_)
    assert parity is not None and parity.utterances == 4 and parity.difference <= 1e-4 * parity.largest
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    exported = ExportedWhisper.open(tmp_path / "out", threads=1)
    features = np.random.default_rng(9).standard_normal((3, 8, 40)).astype(np.float32)
    tokens = np.random.default_rng(9).integers(4, 100, (3, 5))
    with torch.inference_mode():
        given = {"input_features": torch.from_numpy(features), "decoder_input_ids": torch.from_numpy(tokens)}
        expected = model(**given).logits.numpy()
    assert np.abs(exported.logits(features, tokens) - expected).max() <= 1e-4 * np.abs(expected).max()
    alone = exported.logits(features[:1], tokens[:1, :1])  # one window, one token: sizes that were not traced
    assert np.abs(alone - expected[:1, :1]).max() <= 1e-4 * np.abs(expected).max()
    assert exported.generate(features, max_new_tokens=12) == greedy(model, features, 12)
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    assert about["parity"]["tokens"] == parity.tokens and about["runtime"] == format_
    assert parity.sentence in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(DataError, match="exported for another runtime"):
        load(tmp_path / "out")
    weights = tmp_path / "out" / ("decoder.onnx" if format_ == "onnx" else "decoder.bin")
    flip(weights)
    with pytest.raises(DataError, match=f"{weights.name}: changed since it was saved"):
        ExportedWhisper.open(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("format_", RUNTIMES)
def test_the_runtime_needs_no_torch_and_tells_nobody(format_: str, tmp_path: Path) -> None:
    exports.export(tiny_whisper(), tmp_path / "out", format_)
    code = (
        "import sys, numpy; from benchmark.whisper.runtimes import ExportedWhisper; "
        f"w = ExportedWhisper.open({str(tmp_path / 'out')!r}, threads=1); "
        "print(len(w.generate(numpy.zeros((1, 8, 40)))), 'torch' in sys.modules, 'openvino_telemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False", "False"]


# --- what is refused ------------------------------------------------------------------------------------------------


def _bent(model: WhisperForConditionalGeneration, folder: Path) -> None:
    """An exporter that writes one weight wrong."""
    with torch.no_grad():
        model.model.decoder.layers[1].fc1.weight[0, 0] += 3
    graphs.write_onnx(model, folder)
    with torch.no_grad():
        model.model.decoder.layers[1].fc1.weight[0, 0] -= 3


@pytest.mark.slow
@pytest.mark.parametrize("format_", RUNTIMES[:1])
def test_an_export_that_says_something_else_is_refused(
    format_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(exports._WRITERS, format_, _bent)
    with pytest.raises(StoreError) as caught:
        exports.export(tiny_whisper(), tmp_path / "out", format_)
    one_line(caught, "out: not saved: parity: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format_", RUNTIMES)
def test_what_a_converter_cannot_do_is_one_line(format_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise RuntimeError("no such operator\nand a page of graph")

    monkeypatch.setitem(exports._WRITERS, format_, cannot)
    with pytest.raises(StoreError) as caught:
        exports.export(tiny_whisper(), tmp_path / "out", format_)
    one_line(caught, f"{format_!r} does not carry this model (no such operator)")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format_", ["hf", *RUNTIMES])
def test_int8_and_foreign_decoding_are_refused(format_: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        exports.export(quantise(tiny_whisper()), tmp_path / "out", format_)
    one_line(caught, "int8", format_)
    if format_ != "hf":
        model = tiny_whisper()
        model.generation_config.no_repeat_ngram_size = 3
        with pytest.raises(StoreError, match="no_repeat_ngram_size = 3"):
            exports.export(model, tmp_path / "out", format_)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    honest = importlib.util.find_spec
    absent = {"onnxscript", "openvino"}
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None if name in absent else honest(name))
    for format_, module in (("onnx", "onnxscript"), ("openvino", "openvino")):
        with pytest.raises(SpecError) as caught:
            exports.export(tiny_whisper(), tmp_path / "out", format_)
        one_line(caught, f"needs {module}", f"pip install '.[{format_}]'")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_export_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no export\.json"):
        ExportedWhisper.open(tmp_path)
    (tmp_path / "export.json").write_text('{"format": 1, "runtime": "onyx"}')
    with pytest.raises(DataError, match="did you mean 'onnx'"):
        ExportedWhisper.open(tmp_path)
    (tmp_path / "export.json").write_text('{"format": 2, "runtime": "onnx"}')
    with pytest.raises(StoreError, match="update prunebench"):
        ExportedWhisper.open(tmp_path)


# --- the comparison -------------------------------------------------------------------------------------------------


class _Told:
    """An exported model that says what it is told to: for the comparison alone."""

    def __init__(self, model: WhisperForConditionalGeneration, **changes: Any) -> None:
        self.model, self.changes = model, changes

    def prompt(self, language: str | None = None) -> list[int]:
        return [3]

    def generate(self, features: np.ndarray, **_: Any) -> list[list[int]]:
        said = greedy(self.model, features, 6)
        return [[*row[:-1], row[-1] + 1] for row in said] if "tokens" in self.changes else said

    def logits(self, features: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        given = {"input_features": torch.from_numpy(features), "decoder_input_ids": torch.from_numpy(tokens)}
        with torch.inference_mode():
            found = self.model(**given).logits.numpy()
        return found * self.changes.get("logits", 1.0)


def test_the_comparison_sees_tokens_and_logits() -> None:
    from benchmark.whisper.export_parity import compare

    model = tiny_whisper()
    features = np.random.default_rng(0).standard_normal((2, 8, 40)).astype(np.float32)
    material = Material([Speech("noise", features)], None, 6)
    same = compare(model, _Told(model), material)
    assert same.difference == 0 and same.utterances == 2 and same.tokens > 0 and same.stored_equal is None
    with pytest.raises(StoreError, match="window 0 of noise: greedy tokens are"):
        compare(model, _Told(model, tokens=True), material)
    with pytest.raises(StoreError, match="logits of noise differ by"):
        compare(model, _Told(model, logits=1.002), material)
    with pytest.raises(StoreError, match="logits of noise differ by nan"):
        compare(model, _Told(model, logits=float("nan")), material)
    assert compare(model, _Told(model, logits=1.0001), material).difference > 0


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run an export that cannot be; return its line. Nothing was written, here or there."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert invoke(["export", *map(str, arguments), "--to", str(tmp_path / "to")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("prunebench: error: ") and said.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return said

    return run


def test_wrong_requests(refused: Any, tmp_path: Path) -> None:
    assert "unknown format 'onx'; did you mean 'onnx'?" in refused("nano-hi", "--format", "onx")
    assert "did you mean 'hindi'?" in refused("nano-hi", "--normalizer", "hindo")
    assert "did you mean 'nano-hi'?" in refused("nano-hj")
    assert "no run folder in out/; name one with --runs" in refused("0123abcd")
    assert "no such folder" in refused(tmp_path / "nowhere")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    assert "a model of type 'bert', not a Whisper" in refused("bert")
    (tmp_path / "empty").mkdir()
    assert "neither config.json nor record.json" in refused("empty")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "mine").write_text("")
    assert "exists and is not empty" in refused("nano-hi")


def test_wrong_cells(refused: Any, tmp_path: Path) -> None:
    run = open_run(tmp_path / "out" / "fake", create=True)  # found without being named
    for cell, status in (("aaaa1", "failed"), ("aaaa2", "ok"), ("bbbb", "ok")):
        attempt = Attempt.create(run, cell, fake_runs.spec("l1_group"))
        error = {"type": "BudgetMissedError", "message": "missed"} if status == "failed" else None
        data = {"test": {"hash": "0", "utterances": 0, "transcripts": "none"}}
        filled = {"plan": {}, "counts": {}, "budget": {}} if status == "ok" else {}
        common = {"status": status, "error": error, "spec": fake_runs.spec("l1_group"), "data": data}
        record = attempt.commit(common | {key: {"": 0} for key in filled})
    assert "no model, folder or cell 'cccc'" in refused("cccc")
    assert "'aaaa' begins the ids of 2 cells: aaaa1 (l1_group), aaaa2 (l1_group); give more" in refused("aaaa")
    assert "cell aaaa1 failed (BudgetMissedError: missed)" in refused("aaaa1")
    assert "kept no model" in refused("bbbb")
    assert "kept no model" in refused("bbbb", "--runs", run)
    assert "kept no model" in refused(record.path)
    assert "name one of its cells" in refused(run)
    assert "is not a run folder" in refused("bbbb", "--runs", tmp_path)
    (record.path / MODEL).write_bytes(b"")
    assert "missing" in refused("bbbb")  # its plan is
    (record.path / "record.json").unlink()
    assert "never finished" in refused(record.path)


def test_a_folder_of_the_same_name_comes_before_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tiny_whisper(), tmp_path / "nano-hi", check=False)
    found = open_source("nano-hi", ())
    assert found.processor is None and found.model.config.d_model == 32

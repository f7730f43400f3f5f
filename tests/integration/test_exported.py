"""A pruned model leaves torch: onnxruntime and OpenVINO hear the same words on the test split."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

import benchmark
from benchmark.cli.main import invoke
from benchmark.harness.exporting import open_source, spoken
from benchmark.specs import Leaderboard
from benchmark.store.records import Record, latest
from benchmark.whisper.export import export
from benchmark.whisper.export_parity import Material, Speech
from benchmark.whisper.plan import Plan
from benchmark.whisper.runtimes import ExportedWhisper
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from tests.unit.test_export import RUNTIMES

UTTERANCES = 40
SPEC = {
    "name": "exported",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": UTTERANCES}},
    "grid": [
        {"methods": ["l1_group"], "budget": "prunable_stored", "keep": [0.6]},
        {"methods": ["vocab_trim", "int8"], "budget": "none"},
    ],
    "training": {"steps": 8, "batch": 4, "utterances": 32},
    "profile": None,
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "run"
    assert not benchmark.run(Leaderboard.parse(SPEC, "a test"), out=folder, workers=0, quiet=True).failed
    return folder


def cell_of(run: Path, method: str) -> Record:
    (record,) = (record for record in latest(run) if record.data["spec"]["method"]["name"] == method)
    return record


@pytest.mark.parametrize("format_", RUNTIMES)
@pytest.mark.parametrize("method", ["l1_group", "vocab_trim"])
def test_another_runtime_hears_what_torch_heard(
    run: Path, method: str, format_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, to = cell_of(run, method), tmp_path / "out"
    asked = ["export", record.cell[:12], "--runs", str(run), "--to", str(to), "--format", format_]
    assert invoke(asked) == 0
    assert f"{UTTERANCES} of {UTTERANCES} transcripts are those of the record" in capsys.readouterr().out
    source = open_source(str(record.path), ())
    assert source.processor is not None
    (split,) = spoken(record, source.processor).speech
    exported = ExportedWhisper.open(to, threads=1)
    heard = exported.transcribe(split.features)
    assert len(heard) == UTTERANCES and heard == record.transcripts("test")["hypothesis"].tolist()
    corpus = benchmark.get("corpus", "synthetic-hi").load("test", 2)
    assert exported.listen([corpus.waveform(0), corpus.waveform(1)], language="hi") == heard[:2]
    assert not list(to.glob("*.safetensors"))

    found = ModelCard.load(to / "README.md")
    (score,) = benchmark.score(run).query("cell == @record.cell").to_dict("records")
    rates = {result.metric_type: result for result in found.data.eval_results}
    assert rates["wer"].metric_value == round(100 * score["wer"], 4) and set(rates) == {"wer", "cer"}
    assert rates["wer"].metric_args["signature"] == score["signature"]
    assert rates["wer"].dataset_args == {
        "data_hash": record.data["data"]["test"]["hash"],
        "utterances": UTTERANCES,
        "synthetic": True,
    }
    assert found.data.license == "apache-2.0" and "**synthetic** speech" in found.text


def test_hf_is_saved_with_processor_and_card(run: Path, tmp_path: Path) -> None:
    record = cell_of(run, "vocab_trim")
    assert invoke(["export", str(record.path), "--to", str(tmp_path / "hf"), "--normalizer", "identity"]) == 0
    model, source = benchmark.load(tmp_path / "hf"), open_source(str(tmp_path / "hf"), ())
    assert source.processor is not None
    assert len(source.processor.tokenizer) == model.config.vocab_size < 651
    result = ModelCard.load(tmp_path / "hf" / "README.md").data.eval_results[0]
    assert result.metric_args["signature"].startswith("wer|identity:")


@pytest.mark.parametrize("format_", ["hf", *RUNTIMES])
def test_int8_is_refused_and_leaves_nothing(
    run: Path, format_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [cell_of(run, "int8").cell, "--runs", str(run), "--to", str(tmp_path / "out"), "--format", format_]
    assert invoke(["export", *asked]) == 2
    assert "int8" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("format_", RUNTIMES)
def test_compact_columns_and_factors_hear_the_same(run: Path, format_: str, tmp_path: Path) -> None:
    record = cell_of(run, "l1_group")
    source = open_source("nano-hi", ())
    first, second, *_ = Structure.of(source.model).matrices
    plan = Plan(columns={first.name: torch.arange(0, 128, 2)}, ranks={second.name: 64})
    small = shrink(source.model, plan)
    assert small.config.kept_shape["columns"] and small.config.kept_shape["ranks"]
    assert source.processor is not None
    (split,) = spoken(record, source.processor, utterances=12).speech
    material = Material([Speech("test", split.features)], "hi")
    parity = export(small, tmp_path / "out", format_, source.processor, material=material)
    assert parity is not None and parity.utterances == 12 and parity.difference <= 1e-4 * parity.largest

"""The card of a saved folder: huggingface_hub reads back what was meant, and the text says what is true."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from benchmark.errors import DataError, StoreError
from benchmark.store.checksums import sha256
from benchmark.whisper import _selfcheck
from benchmark.whisper.card import About, Score, card, origin
from benchmark.whisper.files import load, save
from benchmark.whisper.plan import Plan
from benchmark.whisper.surgery import shrink
from tests.saved import pruned_whisper
from tests.tiny import tiny_whisper

SCORE = Score(
    corpus="synthetic-hi",
    version="1.1",
    language="hi",
    synthetic=True,
    split="test",
    metric="wer",
    rate=0.031389,
    signature="wer|hindi:1|word|greedy,max=44|prunebench:0.1.0",
    data_hash="c0" * 32,
    utterances=40,
    counts={"substitutions": 3, "interval_95": [0.0, 0.076]},
)


def test_every_saved_folder_has_a_card_and_its_checksum_is_kept(tmp_path: Path) -> None:
    model = pruned_whisper()
    folder = save(model, tmp_path / "small", check=False)
    found = ModelCard.load(folder / "README.md")
    assert found.data.to_dict() == {
        "library_name": "transformers",
        "model_name": "small",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["whisper", "prunebench"],
    }
    stored = sum(parameter.numel() for parameter in model.parameters())
    whole = sum(parameter.numel() for parameter in tiny_whisper(seed=4).parameters())
    assert f"{stored:,} of {whole:,} parameters are stored" in found.text
    assert "| encoder: FFN neurons | 64 | 64, 7 |" in found.text
    assert "| decoder: cross-attention heads | 4 | 2, 4 |" in found.text
    assert f"| bytes of the weights | {(folder / 'model.safetensors').stat().st_size:,} |" in found.text
    assert "trust_remote_code=True)" in found.text
    sums = json.loads((folder / "checksums.json").read_text())["sha256"]
    assert sums["README.md"] == sha256(folder / "README.md")
    (folder / "README.md").write_text("another card")
    with pytest.raises(DataError, match=r"README\.md: changed since it was saved"):
        load(folder)


def test_a_stock_model_needs_no_trust_and_claims_no_saving(tmp_path: Path) -> None:
    text = (save(tiny_whisper(), tmp_path / "whole", check=False) / "README.md").read_text()
    assert "trust_remote_code=True" not in text and "`trust_remote_code` is not needed" in text
    assert "physically smaller" not in text and "100.0% of" in text


def test_zeros_columns_and_ranks_are_counted(tmp_path: Path) -> None:
    name, other = "model.encoder.layers.0.fc1.weight", "model.decoder.layers.1.fc2.weight"
    plan = Plan(columns={name: torch.arange(20)}, ranks={other: 5})
    small = shrink(tiny_whisper(), plan)
    with torch.no_grad():
        small.model.encoder.layers[1].fc1.weight[:3].zero_()
    text = (save(small, tmp_path / "small", check=False) / "README.md").read_text()
    assert "| matrices that read some of their inputs |  | 1 (columns 20 to 20) |" in text
    assert "| matrices in two factors |  | 1 (ranks 5 to 5) |" in text
    zeros = sum(int((parameter == 0).sum()) for parameter in small.parameters())
    assert zeros >= 96 and f"| of them exactly zero | {zeros:,} " in text


def test_scores_become_a_model_index_that_reads_back(tmp_path: Path) -> None:
    other = dataclasses.replace(SCORE, split="test-unseen-voice", metric="cer", rate=0.5, counts={})
    about = About(
        base="nano-hi", license="apache-2.0", languages=("hi",), scores=(SCORE, other), command="prunebench x"
    )
    folder = save(tiny_whisper(), tmp_path / "cell", check=False, about=about)
    found = ModelCard.load(folder / "README.md")
    first, second = found.data.eval_results
    assert (first.metric_type, first.metric_value, first.dataset_split) == ("wer", 3.1389, "test")
    assert first.metric_args == {"signature": SCORE.signature, "substitutions": 3, "interval_95": [0.0, 0.076]}
    assert SCORE.signature in first.metric_name
    assert first.dataset_args == {"data_hash": SCORE.data_hash, "utterances": 40, "synthetic": True}
    assert (first.dataset_type, first.dataset_revision, first.dataset_config) == ("synthetic-hi", "1.1", "hi")
    assert (second.metric_type, second.metric_value, second.dataset_split) == ("cer", 50.0, "test-unseen-voice")
    assert (found.data.license, found.data.language, found.data.metrics) == ("apache-2.0", "hi", ["cer", "wer"])
    again = ModelCard(str(found))
    assert again.data.to_dict() == found.data.to_dict() and again.data.eval_results == found.data.eval_results
    assert "**synthetic** speech" in found.text and "prunebench x" in found.text
    assert "WER (95 %: 0.00 to 7.60) | 3.14 |" in found.text
    real = dataclasses.replace(SCORE, synthetic=False)
    assert "synthetic** speech" not in card(tiny_whisper(), folder, "cell", About(scores=(real,)))


def test_what_the_base_says_of_itself_is_carried_on(tmp_path: Path) -> None:
    about = About(license="mit", languages=("hi", "ta"), tags=("synthetic",), base_model="openai/whisper-tiny")
    folder = save(tiny_whisper(), tmp_path / "base", check=False, about=about)
    again = ModelCard.load(save(load(folder), tmp_path / "next", check=False) / "README.md")
    assert (again.data.license, again.data.language) == ("mit", ["hi", "ta"])
    assert again.data.base_model == "openai/whisper-tiny"
    assert again.data.tags == ["whisper", "prunebench", "synthetic"]
    (folder / "README.md").write_text("---\nno: [front\n---\n")
    model = tiny_whisper()
    model.config._name_or_path = str(folder)
    assert origin(model)["license"] is None
    model.config._name_or_path = "openai/whisper-small"
    assert origin(model) == {"base": "openai/whisper-small", "base_model": "openai/whisper-small"}


def test_no_card_is_left_when_the_check_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_selfcheck, "compare", lambda *_: "never")
    honest = _selfcheck.probe
    monkeypatch.setattr(_selfcheck, "probe", lambda model: {name: tensor + 1 for name, tensor in honest(model).items()})
    with pytest.raises(StoreError, match="not saved"):
        save(pruned_whisper(), tmp_path / "model")
    assert not list(tmp_path.iterdir())

"""The card of a saved folder: huggingface_hub reads back what was meant, and the text says what is true."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import EvalResultEntry, ModelCard, parse_eval_result_entries

from benchmark.errors import DataError, SpecError, StoreError
from benchmark.markdown import flat
from benchmark.registry import REGISTRY
from benchmark.reproduce import Recipe
from benchmark.store.checksums import sha256
from benchmark.whisper import _selfcheck
from benchmark.whisper.card import About, Score, Timing, card, origin
from benchmark.whisper.eval_results import HubTask, task_of
from benchmark.whisper.files import load, save
from benchmark.whisper.plan import Plan
from benchmark.whisper.surgery import shrink
from tests.markdown import HOSTILE, kinds, tables, tokens
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
    counts={"substitutions": 3},
    interval=(0.0, 0.076),
    difference=(0.021, 0.0, 0.05),
    resampled="8 speakers",
    finished="2026-11-25T09:41:57+00:00",
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
    other = dataclasses.replace(
        SCORE,
        split="test-unseen-voice",
        metric="cer",
        rate=0.5,
        counts={},
        interval=None,
        difference=None,
        resampled="",
    )
    about = About(
        base="nano-hi", license="apache-2.0", languages=("hi",), scores=(SCORE, other), command="prunebench x"
    )
    folder = save(tiny_whisper(), tmp_path / "cell", check=False, about=about)
    found = ModelCard.load(folder / "README.md")
    first, second = found.data.eval_results
    assert (first.metric_type, first.metric_value, first.dataset_split) == ("wer", 3.1389, "test")
    assert first.metric_args == {
        "signature": SCORE.signature,
        "substitutions": 3,
        "interval_95": [0.0, 7.6],  # per cent, as the value
        "minus_dense": 2.1,
        "minus_dense_interval_95": [0.0, 5.0],
        "resampled": "8 speakers",
    }
    assert second.metric_args == {"signature": SCORE.signature}
    assert SCORE.signature in first.metric_name
    assert first.dataset_args == {"data_hash": SCORE.data_hash, "utterances": 40, "synthetic": True}
    assert (first.dataset_type, first.dataset_revision, first.dataset_config) == ("synthetic-hi", "1.1", "hi")
    assert (second.metric_type, second.metric_value, second.dataset_split) == ("cer", 50.0, "test-unseen-voice")
    assert (found.data.license, found.data.language, found.data.metrics) == ("apache-2.0", "hi", ["cer", "wer"])
    again = ModelCard(str(found))
    assert again.data.to_dict() == found.data.to_dict() and again.data.eval_results == found.data.eval_results
    assert "**synthetic** speech" in found.text and "prunebench x" in found.text
    assert "| WER | 3.14 [0.00, 7.60] | +2.10 [+0.00, +5.00] |" in found.text and "8 speakers (test)" in found.text
    assert not (folder / ".eval_results").exists() and "There is no `.eval_results/`" in found.text
    real = dataclasses.replace(SCORE, synthetic=False)
    assert "synthetic** speech" not in card(tiny_whisper(), folder, "cell", About(scores=(real,)))


def test_scores_on_a_task_of_the_hub_are_written_as_the_hub_reads_them(tmp_path: Path) -> None:
    task = HubTask("owner/speech", "hindi-test", "wer", "hindi", revision="ab" * 20)
    real = dataclasses.replace(SCORE, corpus="speech", synthetic=False, hub=task)
    scores = (
        real,
        dataclasses.replace(real, metric="cer", rate=0.5),  # not what the task is scored by
        dataclasses.replace(real, signature="wer|identity:1|word|greedy,max=44|prunebench:0.1.0", rate=0.6),
        dataclasses.replace(real, signature="wer|hindi:1[nasal=off]|word|greedy,max=44|prunebench:0.1.0", rate=0.7),
        SCORE,  # of no dataset on the hub
    )
    folder = save(tiny_whisper(), tmp_path / "cell", check=False, about=About(scores=scores))
    (path,) = (folder / ".eval_results").iterdir()
    assert path.name == "owner-speech.yaml"
    assert ".eval_results/owner-speech.yaml" in json.loads((folder / "checksums.json").read_text())["sha256"]
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert entry == EvalResultEntry(
        dataset_id="owner/speech",
        task_id="hindi-test",
        value=3.1389,
        dataset_revision="ab" * 20,
        date=SCORE.finished,
        notes=f"WER in per cent; {SCORE.signature}; data {SCORE.data_hash[:12]}",
    )
    text = (folder / "README.md").read_text()
    assert "`.eval_results/` holds those" in text and "There is no" not in text
    load(folder)


class OnHub:
    """A corpus whose test split is a benchmark."""

    @classmethod
    def hub_task(cls, corpus: Mapping[str, Any], split: str) -> HubTask | None:
        return HubTask(str(corpus["options"]["dataset"]), "asr", "wer", "hindi") if split == "test" else None


def test_only_a_whole_split_of_a_dataset_on_the_hub_is_a_task() -> None:
    corpus: dict[str, Any] = {"name": "some", "options": {"dataset": "a/b"}, "evaluate": {"test": None, "dev": None}}
    assert task_of(OnHub, corpus, "test") == HubTask("a/b", "asr", "wer", "hindi")
    assert task_of(OnHub, corpus, "dev") is None
    assert task_of(OnHub, corpus | {"evaluate": {"test": 300}}, "test") is None
    assert task_of(object, corpus, "test") is None
    for wrong in ("no-owner", "a/b/c", "../up"):
        with pytest.raises(SpecError, match="corpus 'some': hub_task names"):
            task_of(OnHub, corpus | {"options": {"dataset": wrong}}, "test")
    assert not any(hasattr(REGISTRY.lookup("corpus", name), "hub_task") for name in ("synthetic-hi", "folder"))


def test_times_and_the_way_to_repeat_are_told(tmp_path: Path) -> None:
    timing = Timing("some-cpu", 8, 32, 1.776, (1.7, 1.8), 471.0, (465.0, 484.0), 1.268, 17_768_448)
    recipe = Recipe("prunebench run spec.yaml", "out/cell-1", "name: cell-1\n", ("corpus.options.path",))
    one = dataclasses.replace(timing, batch=1, peak_memory=None)
    about = About(timings=(timing, one), recipe=recipe, command="prunebench export 1")
    folder = save(tiny_whisper(), tmp_path / "cell", check=False, about=about)
    text = (folder / "README.md").read_text()
    assert "| `some-cpu` | 8 | 32 | 1.78× [1.70, 1.80] | 471 [465, 484] | 1.27 | 17.8 MB |" in text
    assert "| `some-cpu` | 1 | 32 | 1.78× [1.70, 1.80] | 471 [465, 484] | 1.27 | – |" in text
    assert "```sh\nprunebench run spec.yaml\n```" in text and "prunebench export 1 --runs out/cell-1" in text
    assert "First fill in `corpus.options.path`" in text and (folder / "spec.yaml").read_text() == "name: cell-1\n"
    assert "Speed is that of the device named above" in text and "not a promise of speed" not in text
    onnx = card(tiny_whisper(), folder, "cell", about, "onnx")
    assert "was not timed" in onnx and not (save(tiny_whisper(), tmp_path / "b", check=False) / "spec.yaml").exists()


def test_no_text_of_a_record_leaves_its_place(tmp_path: Path) -> None:
    score = dataclasses.replace(
        SCORE, corpus=HOSTILE, version=HOSTILE, split=HOSTILE, signature=HOSTILE, resampled=HOSTILE
    )
    timing = Timing(HOSTILE, 8, 32, 1.0, (1.0, 1.0), 1.0, (1.0, 1.0), 1.0, None)
    recipe = Recipe(HOSTILE, HOSTILE, "x: 1\n", (HOSTILE,))
    about = About(base=HOSTILE, scores=(score,), timings=(timing,), recipe=recipe, command=HOSTILE, license="mit")
    text = card(tiny_whisper(), tmp_path, HOSTILE, about)
    found = ModelCard(text)
    assert found.data.license == "mit" and found.data.eval_results is not None
    assert found.data.eval_results[0].dataset_split == flat(HOSTILE)
    assert not kinds(found.text) & {"html_inline", "html_block", "image", "link_open", "hr"}
    plain = card(tiny_whisper(), tmp_path, "x", dataclasses.replace(about, base="x", scores=(SCORE,), timings=()))
    headings = [[token.tag for token in tokens(one) if token.type == "heading_open"] for one in (text, plain)]
    assert headings[0].count("h1") == 1 and len(headings[0]) == len(headings[1]) + 1  # the times are told
    assert [row for table in tables(found.text) for row in table].count(8) == 2  # error rates: heading, and one row
    assert [token.info for token in tokens(found.text) if token.type == "fence"] == ["python", "sh", "sh"]
    assert "\u202e" not in text and not [line for line in found.text.splitlines() if line.startswith("license")]


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

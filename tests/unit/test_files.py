"""What is saved opens again, here and elsewhere, as exactly the same model; what is broken says so in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from benchmark.errors import DataError, StoreError
from benchmark.whisper import _selfcheck
from benchmark.whisper.files import load, save
from benchmark.whisper.modeling_pruned_whisper import PrunedWhisperForConditionalGeneration
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from tests.saved import edit, flip, logits, one_line, pruned_whisper
from tests.tiny import features, random_plan, tiny_whisper, token_ids


@pytest.fixture
def pruned() -> WhisperForConditionalGeneration:
    return pruned_whisper()


# --- folders --------------------------------------------------------------------------------------------------------


def test_save_checks_itself_and_loads_the_same_model(pruned: WhisperForConditionalGeneration, tmp_path: Path) -> None:
    pruned.train()
    before = (
        pruned.config.to_dict(),
        pruned.generation_config.to_dict(),
        {n: t.clone() for n, t in pruned.state_dict().items()},
    )
    folder = save(pruned, tmp_path / "deep" / "model", processor=WhisperFeatureExtractor(feature_size=8))
    assert (pruned.config.to_dict(), pruned.generation_config.to_dict()) == before[:2]
    assert pruned.training and all(torch.equal(tensor, before[2][name]) for name, tensor in pruned.state_dict().items())
    assert {file.name for file in folder.iterdir()} == {
        "checksums.json", "config.json", "generation_config.json", "model.safetensors", "modeling_pruned_whisper.py",
        "preprocessor_config.json", "README.md",
    }  # fmt: skip
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]
    assert "proj_out.weight" not in load_file(folder / "model.safetensors")
    opened = load(folder)
    assert type(opened) is PrunedWhisperForConditionalGeneration and not opened.training
    assert torch.equal(logits(opened), logits(pruned.eval()))
    assert opened.generation_config.alignment_heads == [[0, 0], [1, 3]]
    assert opened.proj_out.weight is opened.model.decoder.embed_tokens.weight
    second = shrink(opened, Plan({"model.encoder.layers.1.ffn": torch.tensor([3])}))
    assert torch.equal(logits(load(save(second, tmp_path / "second", check=False))), logits(second))


def test_stock_models_stay_stock(tmp_path: Path) -> None:
    model = tiny_whisper().to(torch.bfloat16)
    folder = save(model, tmp_path / "model", check=False)
    opened = load(folder)
    assert type(opened) is WhisperForConditionalGeneration and opened.dtype == torch.bfloat16
    assert torch.equal(logits(opened), logits(model))
    assert not (folder / "modeling_pruned_whisper.py").exists()


ELSEWHERE = """
import sys
sys.modules["benchmark"] = None  # importing it fails from here on, even where prunebench is installed
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSpeechSeq2Seq
folder, given, result = sys.argv[1:]
try:
    AutoModelForSpeechSeq2Seq.from_pretrained(folder, trust_remote_code=False)
    raise SystemExit("opened as a stock Whisper")
except (RuntimeError, ValueError):
    pass
model = AutoModelForSpeechSeq2Seq.from_pretrained(folder, trust_remote_code=True).eval()
inputs = load_file(given)
with torch.no_grad():
    logits = model(input_features=inputs["features"], decoder_input_ids=inputs["ids"]).logits
tokens = model.generate(inputs["features"], do_sample=False)
save_file({"logits": logits, "tokens": tokens}, result)
model.save_pretrained(folder + "-again")
"""


def test_opens_elsewhere_with_transformers_alone(pruned: WhisperForConditionalGeneration, tmp_path: Path) -> None:
    folder = save(pruned, tmp_path / "model", check=False)
    save_file({"features": features(pruned), "ids": token_ids(pruned)}, tmp_path / "given.safetensors")
    script = tmp_path / "elsewhere.py"
    script.write_text(ELSEWHERE)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-I",
        str(script),
        str(folder),
        str(tmp_path / "given.safetensors"),
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "out")
    expected = logits(pruned)
    assert (found["logits"] - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert torch.equal(found["tokens"], pruned.generate(features(pruned), do_sample=False))
    assert (tmp_path / "model-again" / "modeling_pruned_whisper.py").exists()


def test_refuses_a_folder_that_is_not_empty(pruned: WhisperForConditionalGeneration, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert save(pruned, tmp_path / "model", check=False).is_dir()
    with pytest.raises(StoreError) as caught:
        save(pruned, tmp_path / "model", check=False)
    one_line(caught, tmp_path / "model", "not empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be saved"):
        save(pruned, tmp_path / "file" / "model", check=False)


def test_a_failed_check_leaves_nothing(
    pruned: WhisperForConditionalGeneration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = _selfcheck.probe

    def lying(model: WhisperForConditionalGeneration) -> dict[str, torch.Tensor]:
        found = honest(model)
        return {**found, "logits": found["logits"] + 1e-3}

    monkeypatch.setattr(_selfcheck, "probe", lying)
    with pytest.raises(StoreError) as caught:
        save(pruned, tmp_path / "model")
    one_line(caught, tmp_path / "model", "logits differ by")
    assert not list(tmp_path.iterdir())


def test_the_check_opens_the_folder_with_transformers_alone_too(
    pruned: WhisperForConditionalGeneration, tmp_path: Path
) -> None:
    folder = save(pruned, tmp_path / "model", check=False)
    _selfcheck.check_folder(pruned, folder)
    (folder / "modeling_pruned_whisper.py").write_text("")
    (folder / "checksums.json").unlink()
    with pytest.raises(StoreError, match="opened by transformers alone: "):
        _selfcheck.check_folder(pruned, folder)


def test_compare_sees_each_difference(pruned: WhisperForConditionalGeneration) -> None:
    expected, generation = _selfcheck.probe(pruned), _selfcheck.fields(pruned.generation_config)
    assert _selfcheck.compare(pruned, expected, generation) == ""
    assert "shape" in _selfcheck.compare(pruned, {**expected, "logits": expected["logits"][:, 1:]}, generation)
    assert "logits" in _selfcheck.compare(pruned, {**expected, "logits": expected["logits"] * torch.nan}, generation)
    assert "greedy" in _selfcheck.compare(pruned, {**expected, "tokens": expected["tokens"] + 1}, generation)
    changed = {**generation, "alignment_heads": [[0, 1]]}
    assert "alignment_heads is [[0, 0], [1, 3]]" in _selfcheck.compare(pruned, expected, changed)


# --- what is broken -------------------------------------------------------------------------------------------------


def test_broken_folders(pruned: WhisperForConditionalGeneration, tmp_path: Path) -> None:
    def refused(folder: Path, *parts: object) -> None:
        with pytest.raises((DataError, StoreError)) as caught:
            load(folder)
        one_line(caught, folder, *parts)

    def fresh(name: str) -> Path:
        return save(pruned, tmp_path / name, check=False)

    refused(tmp_path / "nowhere", "no such folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "neither config.json nor record.json")
    folder = fresh("changed")
    flip(folder / "model.safetensors")
    refused(folder, "model.safetensors: changed since it was saved")
    (folder / "model.safetensors").unlink()
    refused(folder, "model.safetensors: missing")
    (folder / "checksums.json").unlink()
    refused(folder, "weights do not open")
    (folder / "config.json").write_text("{")
    refused(folder, "config.json: cannot be read")
    folder = fresh("generation")
    edit(folder / "generation_config.json", max_length=5)
    refused(folder, "generation_config.json: changed since it was saved")
    (folder / "generation_config.json").unlink()
    refused(folder, "generation_config.json: missing")
    folder = fresh("kinds")
    edit(folder / "config.json", kept_shape={"format": 3})
    refused(folder, "format 3", "update prunebench")
    (folder / "checksums.json").unlink()
    shape = json.loads((fresh("whole") / "config.json").read_text())["kept_shape"]
    for wrong in ({"format": "x"}, {**shape, "heads": 3}, {**shape, "ffn": {"model.encoder.layers.0.ffn": 0}}):
        edit(folder / "config.json", kept_shape=wrong)
        refused(folder, "kept_shape")
    edit(folder / "config.json", kept_shape={**shape, "heads": {"model.encoder.layers.77.self_attn": 1}})
    refused(folder, "do not open as this Whisper")
    edit(folder / "config.json", kept_shape=shape, encoder_attention_heads=0)
    refused(folder, "do not open as this Whisper")
    edit(folder / "config.json", encoder_attention_heads=4, d_model="a")
    refused(folder, "do not open as this Whisper")
    edit(folder / "config.json", d_model=64)
    edit(folder / "config.json", kept_shape={"format": 1, "heads": {}, "ffn": {}})
    refused(folder, "weights do not")
    edit(folder / "config.json", model_type="bert")
    refused(folder, "'bert', not a Whisper")
    edit(folder / "config.json", model_type="whisper", kept_shape=None)
    refused(folder, "weights do not")
    folder = fresh("lacking")
    state = load_file(folder / "model.safetensors")
    del state["model.encoder.layers.0.fc1.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "checksums.json").unlink()
    refused(folder, "missing keys: model.encoder.layers.0.fc1.weight")


def test_random_plans_survive_the_disk(tmp_path: Path) -> None:
    model = tiny_whisper(seed=3)
    for seed in range(3):
        result = shrink(model, random_plan(Structure.of(model), seed))
        assert torch.equal(logits(load(save(result, tmp_path / str(seed), check=False))), logits(result))

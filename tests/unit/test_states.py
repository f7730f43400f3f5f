"""Attempts opened as models, and the state dicts in them: the same model, or one line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import WhisperForConditionalGeneration

from benchmark.errors import StoreError
from benchmark.registry import REGISTRY
from benchmark.whisper import files
from benchmark.whisper.files import load, save
from benchmark.whisper.plan import Plan
from benchmark.whisper.states import load_state, read_state, state_for_disk, write_state
from benchmark.whisper.surgery import shrink
from tests.saved import PLAN, edit, flip, logits, one_line, pruned_whisper, untied
from tests.tiny import tiny_whisper


@pytest.fixture
def pruned() -> WhisperForConditionalGeneration:
    return pruned_whisper()


@pytest.mark.parametrize("said", [True, False])
def test_an_output_projection_of_its_own_stays_one(tmp_path: Path, said: bool) -> None:
    model = untied(tiny_whisper())
    model.config.tie_word_embeddings = said  # the config may lie; what the model computes may not change
    small = shrink(model, Plan({"model.encoder.layers.1.ffn": torch.arange(64)}))
    assert torch.equal(logits(small), logits(model))
    assert torch.equal(logits(load(save(small, tmp_path / "model"))), logits(model))
    write_state(model, tmp_path / "state")
    state = read_state(tmp_path / "state")
    assert torch.equal(logits(load_state(untied(tiny_whisper(seed=5)), state, "x")), logits(model))
    with pytest.raises(StoreError, match="output projection of its own"):
        load_state(tiny_whisper(), state, "x")


class TinyModel:
    """Stands in for a model plug-in."""

    revision = "first"

    def __init__(self, **options: Any) -> None:
        self.options = options

    @classmethod
    def places(cls, options: dict[str, Any]) -> frozenset[str]:
        return frozenset()

    def load(self) -> tuple[WhisperForConditionalGeneration, None]:
        return tiny_whisper(seed=99, **self.options), None


@pytest.fixture
def attempt(pruned: WhisperForConditionalGeneration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    get = REGISTRY.get

    def get_tiny(kind: str, name: str, **options: Any) -> Any:
        return TinyModel(**options) if (kind, name) == ("model", "tiny") else get(kind, name, **options)

    lookup = files.REGISTRY.lookup

    def look_tiny_up(kind: str, name: str) -> Any:
        return TinyModel if (kind, name) == ("model", "tiny") else lookup(kind, name)

    monkeypatch.setattr(files.REGISTRY, "get", get_tiny)
    monkeypatch.setattr(files.REGISTRY, "lookup", look_tiny_up)
    folder = tmp_path / "attempt"
    folder.mkdir()
    (folder / "spec.json").write_text(
        json.dumps({"model": {"name": "tiny", "revision": "first", "options": {"ffn": 64}}})
    )
    PLAN.save(folder / "plan.safetensors")
    write_state(pruned, folder / "model.safetensors")
    (folder / "record.json").write_text(json.dumps({"format": 1, "status": "ok", "plan": {"digest": PLAN.digest()}}))
    return folder


def test_an_attempt_opens_as_its_model(attempt: Path, pruned: WhisperForConditionalGeneration) -> None:
    opened = load(attempt)
    assert torch.equal(logits(opened), logits(pruned)) and not opened.training
    assert opened.config.kept_shape == pruned.config.kept_shape


def test_broken_attempts(attempt: Path, pruned: WhisperForConditionalGeneration) -> None:
    def refused(*parts: object) -> None:
        with pytest.raises(StoreError) as caught:
            load(attempt)
        one_line(caught, attempt, *parts)

    other = Plan({"model.encoder.layers.1.ffn": torch.arange(6)})
    other.save(attempt / "plan.safetensors")
    refused("plan.safetensors: not the plan that the record names")
    edit(attempt / "record.json", plan={"digest": other.digest()})
    refused("model.safetensors: does not fit the plan")
    PLAN.save(attempt / "plan.safetensors")
    edit(attempt / "record.json", plan={"digest": PLAN.digest()})
    flip(attempt / "model.safetensors")
    refused("model.safetensors: changed since it was written")
    (attempt / "model.safetensors").write_bytes(b"cut")
    refused("model.safetensors: cannot be read")
    save_file({"a": torch.ones(1)}, attempt / "model.safetensors")
    refused("not a state dict")
    save_file({"a": torch.ones(1)}, attempt / "model.safetensors", metadata={"kind": "prunebench-state", "format": "2"})
    refused("format 2", "update prunebench")
    (attempt / "model.safetensors").unlink()
    refused("model.safetensors: missing")
    write_state(pruned, attempt / "model.safetensors")
    spec = json.loads((attempt / "spec.json").read_text())["model"]
    edit(attempt / "spec.json", model={**spec, "revision": "second"})
    refused("made from tiny at revision second, and here it is first")
    (attempt / "spec.json").write_text("{}")
    refused("names no model")
    edit(attempt / "record.json", format=9)
    refused("format 9")
    edit(attempt / "record.json", format=1, status="failed")
    refused("a failed attempt")


def test_state_on_disk_holds_the_tied_weight_once(tmp_path: Path) -> None:
    model = tiny_whisper(seed=1)
    write_state(model, tmp_path / "state.safetensors")
    state = read_state(tmp_path / "state.safetensors")
    assert "proj_out.weight" not in state and set(state) == set(model.state_dict()) - {"proj_out.weight"}
    other = load_state(tiny_whisper(seed=2), state, "here")
    assert torch.equal(logits(other), logits(model))
    assert other.proj_out.weight is other.model.decoder.embed_tokens.weight
    model.proj_out.weight = torch.nn.Parameter(model.proj_out.weight.detach().clone())
    assert "proj_out.weight" in state_for_disk(model)  # untied by someone: it is a weight of its own then
    del state["model.decoder.embed_tokens.weight"]
    with pytest.raises(StoreError, match=r"here: does not fit.*embed_tokens"):
        load_state(tiny_whisper(), state, "here")

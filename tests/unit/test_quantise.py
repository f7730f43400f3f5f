"""int8: computes nearly the same, stores a byte a weight, and comes back bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.api import Budget, Fit, Prune, Quantise
from benchmark.errors import SpecError, StoreError
from benchmark.harness.tree import checked_program
from benchmark.registry import REGISTRY
from benchmark.specs import MethodSpec, Row
from benchmark.store.naming import label
from benchmark.whisper.files import save
from benchmark.whisper.plan import Plan
from benchmark.whisper.quantise import is_quantised, quantise
from benchmark.whisper.states import load_state, read_state, write_state
from benchmark.whisper.surgery import shrink
from tests.tiny import features, tiny_whisper, token_ids


@torch.no_grad()
def test_int8_is_near_and_comes_back_bit_for_bit(tmp_path: Path) -> None:
    model = shrink(tiny_whisper(d=64, ffn=128), Plan({"model.encoder.layers.0.ffn": torch.arange(50)}))
    small = quantise(model)
    assert is_quantised(small) and not is_quantised(model)
    inputs = {"input_features": features(model), "decoder_input_ids": token_ids(model)}
    exact, near = model(**inputs).logits, small(**inputs).logits
    assert 0 < (near - exact).abs().max() < 0.1 * exact.abs().max()
    write_state(model, tmp_path / "a.safetensors")
    write_state(small, tmp_path / "b.safetensors")
    state = read_state(tmp_path / "b.safetensors")
    assert state["model.encoder.layers.0.fc1.weight"].dtype == torch.int8
    assert (tmp_path / "b.safetensors").stat().st_size < 0.5 * (tmp_path / "a.safetensors").stat().st_size
    again = load_state(
        quantise(shrink(tiny_whisper(d=64, ffn=128, seed=5), Plan({"model.encoder.layers.0.ffn": torch.arange(50)}))),
        state,
        "here",
    )
    assert torch.equal(again(**inputs).logits, near)
    state.pop("model.encoder.conv1.bias")
    with pytest.raises(StoreError, match=r"encoder\.conv1\.bias"):
        load_state(quantise(model), state, "here")
    with pytest.raises(StoreError, match="int8 layers have no form"):
        save(small, tmp_path / "folder")


def test_compositions_are_the_first_program_and_what_the_others_finish() -> None:
    budget = Budget(kind="prunable_stored", keep=0.6)
    spec = MethodSpec.named("l1_group + vocab_trim+int8")
    method = REGISTRY.get("method", spec.name, **spec.options)
    program = checked_program("x", method, budget, 100)
    assert program[:3] == checked_program("l1_group", REGISTRY.get("method", "l1_group"), budget, 100)
    assert isinstance(program[-1], Quantise) and isinstance(program[-2], Prune)
    assert sum(step.steps for step in program if isinstance(step, Fit)) == 100
    assert spec.title == "l1_group+vocab_trim+int8" == label(spec.name, spec.options)
    assert label("compose", {}) == "l1_group+int8"
    assert Row(methods=["l1_group+int8"], budget="prunable_stored", keep=[0.5]).methods[0].name == "compose"
    with pytest.raises(SpecError, match="'l1_group' and 'imp' train, and only one part can"):
        REGISTRY.get("method", "compose", parts=[{"name": "l1_group"}, {"name": "imp"}])
    with pytest.raises(SpecError, match="'low_rank' changes what budget"):
        list(REGISTRY.get("method", "compose", parts=[{"name": "l1_group"}, {"name": "low_rank"}]).program(budget, 10))
    with pytest.raises(SpecError, match="no composition among its parts"):
        REGISTRY.get("method", "compose", parts=[{"name": "compose"}, {"name": "int8"}])

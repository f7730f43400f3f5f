"""The structure must name exactly what can be pruned, and count it as an independent formula and library do."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers import WhisperModel

from benchmark.errors import SpecError
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from tests.tiny import tiny_whisper

D, FFN, HEADS = 32, 64, 4


def test_counts_follow_the_architecture() -> None:
    structure = Structure.of(tiny_whisper(d=D, layers=(3, 2), heads=HEADS, ffn=FFN))
    # 3 encoder layers with one attention, 2 decoder layers with two; four square matrices each.
    assert structure.prunable == 7 * 4 * D * D + 5 * 2 * D * FFN
    assert len(structure.matrices) == 7 * 4 + 5 * 2
    heads = [group for group in structure.groups if group.kind == "head"]
    neurons = [group for group in structure.groups if group.kind == "ffn_neuron"]
    assert [(group.count, group.width, group.weights) for group in heads] == [
        (HEADS, D // HEADS, 4 * D * D // HEADS)
    ] * 7
    assert [(group.count, group.width, group.weights) for group in neurons] == [(FFN, 1, 2 * D)] * 5
    assert sum(group.count * group.weights for group in structure.groups) == structure.prunable


def test_every_matrix_is_a_parameter_of_that_shape_and_every_attention_and_ffn_matrix_is_there() -> None:
    model = tiny_whisper()
    structure = Structure.of(model)
    for matrix in structure.matrices:
        assert tuple(model.get_parameter(matrix.name).shape) == matrix.shape
        assert structure.matrix(matrix.name) is matrix
        assert matrix in structure.matrices_of(matrix.group)
        if matrix.bias is not None:
            assert model.get_parameter(matrix.bias).shape == (matrix.shape[0],)
    expected = {n for n, p in model.named_parameters() if p.ndim == 2 and (".fc" in n or "_proj." in n)}
    assert {matrix.name for matrix in structure.matrices} == expected


def test_axis_and_bias_of_each_kind() -> None:
    structure = Structure.of(tiny_whisper())
    layer = "model.decoder.layers.1"
    found = {
        matrix.kind: (matrix.axis, matrix.bias, matrix.width)
        for matrix in structure.matrices
        if matrix.name.startswith(f"{layer}.encoder_attn") or matrix.name.startswith(f"{layer}.fc")
    }
    assert found == {
        "q": (0, f"{layer}.encoder_attn.q_proj.bias", 8),
        "k": (0, None, 8),
        "v": (0, f"{layer}.encoder_attn.v_proj.bias", 8),
        "out": (1, None, 8),
        "fc1": (0, f"{layer}.fc1.bias", 1),
        "fc2": (1, None, 1),
    }


def test_a_neuron_owns_what_torch_pruning_removes_with_it() -> None:
    torch_pruning = pytest.importorskip("torch_pruning")
    model = tiny_whisper(layers=(1, 1))
    structure = Structure.of(model)
    layer = model.model.encoder.layers[0]
    block = torch.nn.Sequential(layer.fc1, torch.nn.GELU(), layer.fc2)
    graph = torch_pruning.DependencyGraph().build_dependency(block, example_inputs=torch.randn(1, 3, 32))
    before = sum(parameter.numel() for parameter in block.parameters())
    graph.get_pruning_group(block[0], torch_pruning.prune_linear_out_channels, idxs=[5, 9]).prune()
    removed = before - sum(parameter.numel() for parameter in block.parameters())
    assert removed == 2 * (structure.group("model.encoder.layers.0.ffn").weights + 1)  # and fc1's bias entry


def test_structure_of_an_unevenly_shrunk_model() -> None:
    model = tiny_whisper()
    key = "model.decoder.layers.0.encoder_attn"
    structure = Structure.of(
        shrink(model, Plan({key: torch.tensor([1, 3]), "model.encoder.layers.1.ffn": torch.arange(5)}))
    )
    assert structure.group(key).count == 2
    assert structure.group(key).weights == 4 * 32 * 8
    assert structure.group("model.encoder.layers.1.ffn").count == 5
    assert structure.matrix(f"{key}.out_proj.weight").shape == (32, 16)


def test_errors_name_what_is_wrong() -> None:
    structure = Structure.of(tiny_whisper())
    with pytest.raises(SpecError, match=r"q_porj.*did you mean"):
        structure.matrix("model.encoder.layers.0.self_attn.q_porj.weight")
    with pytest.raises(SpecError, match="no structural group 'x'"):
        structure.matrices_of("x")
    with pytest.raises(SpecError, match="WhisperModel is not a WhisperForConditionalGeneration"):
        Structure.of(WhisperModel(tiny_whisper().config))
    with pytest.raises(dataclasses.FrozenInstanceError):
        structure.groups[0].count = 3  # type: ignore[misc]

"""Surgery: a plan and a model in, a new and physically smaller model out."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from benchmark.whisper.modeling_pruned_whisper import SHAPE_FORMAT, PrunedWhisperForConditionalGeneration
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Group, Structure

if TYPE_CHECKING:
    from transformers import GenerationConfig, WhisperConfig


def shrink(model: WhisperForConditionalGeneration, plan: Plan) -> WhisperForConditionalGeneration:
    """Return a new model without the heads and neurons that ``plan`` removes; single pruned weights stay as zeros.

    ``model`` may be stock or already shrunk, and is not changed; the plan's indices are those of ``model``. The result
    shares no memory with it, is on the same device, in the same precision and mode, and is a stock
    ``WhisperForConditionalGeneration`` as long as all its widths are what a stock config says.

    Raises:
        SpecError: not a Whisper, a plan of another model, or a plan that empties a group.
    """
    structure = Structure.of(model)
    plan.validate(structure)
    counts = {group.key: len(plan.kept.get(group.key, range(group.count))) for group in structure.groups}
    config = copy.deepcopy(model.config)
    # What counts is what the model does, not what its config says: an untied projection must not be tied again.
    config.tie_word_embeddings = model.proj_out.weight is model.get_input_embeddings().weight
    smaller = any(counts[group.key] != _stock_count(group, config) for group in structure.groups)
    if smaller:
        config.kept_shape = {
            "format": SHAPE_FORMAT,
            "heads": {group.key: counts[group.key] for group in structure.groups if group.kind == "head"},
            "ffn": {group.key: counts[group.key] for group in structure.groups if group.kind == "ffn_neuron"},
        }
    shape_class = PrunedWhisperForConditionalGeneration if smaller else WhisperForConditionalGeneration
    with torch.device("meta"):  # no memory, no time, and no draw from the global generator
        result = shape_class(config)
    state = _cut(model, structure, plan)
    result.load_state_dict(state, strict=True, assign=True)
    result.tie_weights()  # assigning gave the output projection a tensor of its own
    for name, parameter in model.named_parameters():
        result.get_parameter(name).requires_grad_(parameter.requires_grad)
    result.generation_config = _remap(model.generation_config, structure, plan)
    result.train(model.training)
    return result


@torch.no_grad()
def _cut(model: WhisperForConditionalGeneration, structure: Structure, plan: Plan) -> dict[str, Tensor]:
    """Return a state dict of new tensors: zeros written, then rows and columns of removed members taken out."""
    state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    for matrix in structure.matrices:
        weight = state[matrix.name]
        if matrix.name in plan.masks:
            weight.masked_fill_(~plan.masks[matrix.name].to(weight.device), 0.0)
        if matrix.group in plan.kept:
            entries = _entries(plan.kept[matrix.group], matrix.width).to(weight.device)
            state[matrix.name] = weight.index_select(matrix.axis, entries)
            if matrix.bias is not None:
                state[matrix.bias] = state[matrix.bias].index_select(0, entries)
    return state


def _entries(members: Tensor, width: int) -> Tensor:
    return (members[:, None] * width + torch.arange(width)[None, :]).flatten()


def _stock_count(group: Group, config: WhisperConfig) -> int:
    name = "attention_heads" if group.kind == "head" else "ffn_dim"
    return int(getattr(config, f"{group.stack}_{name}"))


def _remap(generation: GenerationConfig, structure: Structure, plan: Plan) -> GenerationConfig:
    """Return a copy whose alignment heads (pairs of decoder layer and cross-attention head) name what is left."""
    result = copy.deepcopy(generation)
    heads = getattr(result, "alignment_heads", None)
    if heads is None:
        return result
    left = []
    for layer, head in heads:
        group = structure.group(f"model.decoder.layers.{layer}.encoder_attn")
        kept = plan.kept[group.key].tolist() if group.key in plan.kept else range(group.count)
        if head in kept:
            left.append([layer, kept.index(head)])
    if left:
        setattr(result, "alignment_heads", left)  # noqa: B010 - transformers declares no such field
    else:
        delattr(result, "alignment_heads")  # absent is how transformers is told that token timestamps are not available
    return result

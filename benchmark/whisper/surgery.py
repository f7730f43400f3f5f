"""Surgery: a plan and a model in, a new and physically smaller model out."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from benchmark.errors import SpecError
from benchmark.whisper.modeling_pruned_whisper import PrunedWhisperForConditionalGeneration
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import TOKENS, Group, Matrix, Structure
from benchmark.whisper.vocabulary import remap_ids

if TYPE_CHECKING:
    from transformers import GenerationConfig, WhisperConfig

_LAYER = re.compile(r"(model\.(?:encoder|decoder)\.layers)\.(\d+)(.*)")


def shrink(model: WhisperForConditionalGeneration, plan: Plan) -> WhisperForConditionalGeneration:
    """Return a new model without what ``plan`` removes; single pruned weights stay as zeros.

    Heads, neurons, layers and tokens are taken out; gathered columns and factorised matrices become the layers of
    ``modeling_pruned_whisper``. ``model`` may be stock or already shrunk, and is not changed; the plan's indices are
    those of ``model``. The result shares no memory with it, is on the same device, in the same precision and mode, and
    is a stock ``WhisperForConditionalGeneration`` as long as all its widths are what a stock config says. Quantisation
    is not surgery (see ``benchmark.whisper.quantise``).

    Raises:
        SpecError: not a Whisper, a plan of another model, or one that removes all of something or a special token.
    """
    structure = Structure.of(model)
    plan.validate(structure)
    config = _config(model, structure, plan)
    stock = getattr(config, "kept_shape", None) is None
    shape_class = WhisperForConditionalGeneration if stock else PrunedWhisperForConditionalGeneration
    with torch.device("meta"):  # no memory, no time, and no draw from the global generator
        result = shape_class(config)
    result.load_state_dict(_cut(model, structure, plan), strict=True, assign=True)
    result.tie_weights()  # assigning gave the output projection a tensor of its own
    trained = dict(model.named_parameters())
    for name, parameter in result.named_parameters():
        old = trained.get(_old_name(name, plan))
        parameter.requires_grad_(old is None or old.requires_grad)
    result.generation_config = _generation(model.generation_config, structure, plan)
    result.train(model.training)
    return result


def new_name(name: str, plan: Plan) -> str | None:
    """Return the name that a module or parameter has once layers are removed; None for what is in a removed one."""
    found = _LAYER.fullmatch(name)
    if found is None or found[1] not in plan.kept:
        return name
    kept = plan.kept[found[1]].tolist()
    return f"{found[1]}.{kept.index(int(found[2]))}{found[3]}" if int(found[2]) in kept else None


def _old_name(name: str, plan: Plan) -> str:
    found = _LAYER.fullmatch(name)
    if found is not None and found[1] in plan.kept:
        name = f"{found[1]}.{int(plan.kept[found[1]][int(found[2])])}{found[3]}"
    return re.sub(r"\.(?:linear|[01])\.(weight|bias)$", r".\1", name)


# --- the config ---------------------------------------------------------------------------------------------------


def _config(model: WhisperForConditionalGeneration, structure: Structure, plan: Plan) -> WhisperConfig:
    """Return the config of the result, with ``kept_shape`` where a stock config cannot say what is left."""
    config: WhisperConfig = copy.deepcopy(model.config)
    # What counts is what the model does, not what its config says: an untied projection must not be tied again.
    config.tie_word_embeddings = model.proj_out.weight is model.get_input_embeddings().weight
    for group in structure.stacks:
        if group.key in plan.kept:
            setattr(config, f"{group.stack}_layers", len(plan.kept[group.key]))
            if group.stack == "encoder":
                config.num_hidden_layers = len(plan.kept[group.key])
    if TOKENS in plan.kept:
        config.vocab_size = len(plan.kept[TOKENS])
        remap_ids(config, plan.kept[TOKENS])
    groups = [group for group in structure.groups if new_name(group.key, plan) is not None]
    counts = {group.key: len(plan.kept.get(group.key, range(group.count))) for group in groups}
    vars(config).pop("kept_shape", None)
    if plan.columns or plan.ranks or any(counts[group.key] != _stock_count(group, config) for group in groups):
        config.kept_shape = _kept_shape(structure, plan, groups, counts)
    return config


def _kept_shape(structure: Structure, plan: Plan, groups: list[Group], counts: dict[str, int]) -> dict[str, Any]:
    named = {kind: {new_name(g.key, plan): counts[g.key] for g in groups if g.kind == kind} for kind in _KINDS}
    shape: dict[str, Any] = {"format": 1, "heads": named["head"], "ffn": named["ffn_neuron"]}
    if plan.columns or plan.ranks:
        matrices = {name: structure.matrix(name) for name in (*plan.columns, *plan.ranks)}
        columns = {new_name(matrices[n].module, plan): len(plan.live_columns(matrices[n])) for n in plan.columns}
        ranks = {new_name(matrices[n].module, plan): rank for n, rank in plan.ranks.items()}
        shape |= {"format": 2, "columns": columns, "ranks": ranks}
    return shape


_KINDS = ("head", "ffn_neuron")


def _stock_count(group: Group, config: WhisperConfig) -> int:
    name = "attention_heads" if group.kind == "head" else "ffn_dim"
    return int(getattr(config, f"{group.stack}_{name}"))


# --- the weights --------------------------------------------------------------------------------------------------


@torch.no_grad()
def _cut(model: WhisperForConditionalGeneration, structure: Structure, plan: Plan) -> dict[str, Tensor]:
    """Return a state dict of new tensors: zeros written, then what is removed taken out, then layers renumbered."""
    old = model.state_dict()
    state = {name: tensor.detach().clone() for name, tensor in old.items() if new_name(name, plan) is not None}
    for matrix in structure.matrices:
        if not plan.has(matrix):
            continue
        weight = state[matrix.name]
        if matrix.name in plan.masks:
            weight.masked_fill_(~plan.masks[matrix.name].to(weight.device), 0.0)
        if matrix.group in plan.kept:
            entries = _entries(plan.kept[matrix.group], matrix.width).to(weight.device)
            state[matrix.name] = weight.index_select(matrix.axis, entries)
            if matrix.bias is not None:
                state[matrix.bias] = state[matrix.bias].index_select(0, entries)
        if matrix.name in plan.columns:
            _gather(state, matrix, plan)
        if matrix.name in plan.ranks:
            _factorise(state, matrix, plan.ranks[matrix.name])
    if TOKENS in plan.kept:
        tokens = plan.kept[TOKENS]
        for name in (f"{TOKENS}.weight", "proj_out.weight"):
            state[name] = state[name].index_select(0, tokens.to(state[name].device))
    return {str(new_name(name, plan)): tensor for name, tensor in state.items()}


def _gather(state: dict[str, Tensor], matrix: Matrix, plan: Plan) -> None:
    """Turn a matrix into one that gathers its live inputs; indices are those of what is left of its input."""
    weight = state.pop(matrix.name)
    live = plan.live_columns(matrix)
    if matrix.axis == 1 and matrix.group in plan.kept:  # the inputs themselves are fewer: count among those
        live = torch.searchsorted(_entries(plan.kept[matrix.group], matrix.width), live)
    live = live.to(weight.device)
    state[f"{matrix.module}.linear.weight"] = weight.index_select(1, live)
    state[f"{matrix.module}.columns"] = live
    if f"{matrix.module}.bias" in state:
        state[f"{matrix.module}.linear.bias"] = state.pop(f"{matrix.module}.bias")


def _factorise(state: dict[str, Tensor], matrix: Matrix, rank: int) -> None:
    """Store a matrix as two factors; exact up to rounding where its rank is what the plan says."""
    weight = state.pop(matrix.name)
    if rank > min(weight.shape):
        raise SpecError(f"plan: rank {rank} of {matrix.name} is more than its {tuple(weight.shape)} after pruning")
    # In the weights' own precision: what is left out is rounding, and single precision takes half the time.
    whole = weight if weight.dtype == torch.float64 else weight.float()
    left, values, right = torch.linalg.svd(whole, full_matrices=False)
    root = values[:rank].sqrt()
    state[f"{matrix.module}.0.weight"] = (root[:, None] * right[:rank]).to(weight.dtype).contiguous()
    state[f"{matrix.module}.1.weight"] = (left[:, :rank] * root).to(weight.dtype).contiguous()
    if f"{matrix.module}.bias" in state:
        state[f"{matrix.module}.1.bias"] = state.pop(f"{matrix.module}.bias")


def _entries(members: Tensor, width: int) -> Tensor:
    return (members[:, None] * width + torch.arange(width)[None, :]).flatten()


# --- the generation config ----------------------------------------------------------------------------------------


def _generation(generation: GenerationConfig, structure: Structure, plan: Plan) -> GenerationConfig:
    """Return a copy whose token ids and alignment heads (decoder layer, cross-attention head) name what is left."""
    result = copy.deepcopy(generation)
    if TOKENS in plan.kept:
        remap_ids(result, plan.kept[TOKENS])
    heads = getattr(result, "alignment_heads", None)
    if heads is None:
        return result
    layers = plan.kept.get("model.decoder.layers")
    left = []
    for layer, head in heads:
        if layers is not None and not bool((layers == layer).any()):
            continue
        group = structure.group(f"model.decoder.layers.{layer}.encoder_attn")
        kept = plan.kept[group.key].tolist() if group.key in plan.kept else range(group.count)
        if head in kept:
            left.append([layer if layers is None else int((layers < layer).sum()), kept.index(head)])
    if left:
        setattr(result, "alignment_heads", left)  # noqa: B010 - transformers declares no such field
    else:
        delattr(result, "alignment_heads")  # absent is how transformers is told that token timestamps are not available
    return result

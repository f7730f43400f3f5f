"""Dynamic int8 quantisation by torch's own modules: a reference beside the pruners, executed on the CPU.

Weights of the Linear layers of both stacks are stored as int8 with one scale per output (symmetric), activations are
quantised on the fly. Embedding and output projection stay in floating point, because they are one tensor, and so do
convolutions and norms.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

from benchmark.errors import SpecError

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

_TIED = {"proj_out.weight"}


def quantise(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """Return a copy on the CPU whose Linear layers compute in int8; ``model`` is not changed.

    Raises:
        SpecError: this build of torch has no engine for it.
    """
    if torch.backends.quantized.engine == "none":
        raise SpecError("int8: this build of torch has no quantised engine; leave the int8 rows out on this machine")
    result = copy.deepcopy(model).cpu().float().eval()
    names = {
        name: per_channel_dynamic_qconfig
        for name, module in result.named_modules()
        if type(module) is nn.Linear and module is not result.proj_out
    }
    with _no_farewell():
        quantize_dynamic(result, names, inplace=True)
    return result


@contextmanager
def _no_farewell() -> Iterator[None]:
    """Silence that torch.ao will go one day: the lock holds a torch that has it, and what it does is what we test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor", category=UserWarning)
        yield


def is_quantised(model: nn.Module) -> bool:
    """Whether a model holds int8 layers."""
    return any(isinstance(module, DynamicLinear) for module in model.modules())


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict with each int8 layer as plain tensors: ``weight`` (int8), ``scale``, ``bias``."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, DynamicLinear)}
    inside = tuple(f"{name}." for name in layers)
    state = {name: value for name, value in model.state_dict().items() if not name.startswith(inside)}
    for name, layer in layers.items():
        weight: Any = layer.weight()
        state[f"{name}.weight"] = weight.int_repr()
        state[f"{name}.scale"] = weight.q_per_channel_scales()
        if layer.bias() is not None:
            state[f"{name}.bias"] = layer.bias()
    return state


def load_plain_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Write what ``plain_state`` returned into a quantised model of the same shape, in place.

    Raises:
        KeyError: a tensor is missing.
        ValueError: a tensor is of another shape or type.
    """
    rest = dict(state)
    for name, layer in model.named_modules():
        if isinstance(layer, DynamicLinear):
            ints, scale = rest.pop(f"{name}.weight"), rest.pop(f"{name}.scale")
            if ints.dtype != torch.int8 or ints.shape != (layer.out_features, layer.in_features):
                raise ValueError(f"{name}.weight is {ints.dtype} of shape {tuple(ints.shape)}")
            zeros = torch.zeros(len(ints), dtype=torch.long)
            with _no_farewell():
                packed = torch._make_per_channel_quantized_tensor(ints, scale, zeros, 0)
            layer.set_weight_bias(packed, rest.pop(f"{name}.bias") if layer.bias() is not None else None)
    own = dict(model.named_parameters()) | dict(model.named_buffers())  # an int8 layer has neither
    odd = sorted((own.keys() | _TIED) ^ (rest.keys() | _TIED))
    if odd:
        raise KeyError(odd[0])
    with torch.no_grad():
        for name, value in rest.items():
            if name not in own:  # the tied projection, which is the embedding
                continue
            if own[name].shape != value.shape:
                raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(own[name].shape)}")
            own[name].copy_(value)

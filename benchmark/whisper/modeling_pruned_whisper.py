"""Whisper whose attentions may differ in heads, whose layers may differ in width, and whose matrices may be compact.

This file travels with every pruned model that is saved, so it leans on torch and transformers alone. The config's
``kept_shape`` holds what is left: ``{"format": 1, "heads": {attention: heads}, "ffn": {layer.ffn: neurons}}``, and with
format 2 also ``"columns": {linear: live inputs}`` and ``"ranks": {linear: rank}``; all other fields of the config
describe the model before pruning (the dimension of a head follows from them, and does not change). Removed layers and
tokens need nothing of this: their numbers stand in the config as in every Whisper.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import WhisperConfig, WhisperForConditionalGeneration

SHAPE_FORMAT = 2


class CompactLinear(nn.Module):
    """A Linear layer that reads some of its inputs: ``linear(x[..., columns])``; the other columns were zero."""

    columns: torch.Tensor

    def __init__(self, columns: torch.Tensor, out_features: int, bias: bool) -> None:
        super().__init__()
        self.register_buffer("columns", columns)
        self.linear = nn.Linear(len(columns), out_features, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(..., in)`` to ``(..., out)``."""
        return self.linear(x.index_select(-1, self.columns))


class LowRankLinear(nn.Sequential):
    """A Linear layer stored as two factors: first down to the rank, without bias, then up to the outputs."""

    def __init__(self, in_features: int, rank: int, out_features: int, bias: bool) -> None:
        super().__init__(nn.Linear(in_features, rank, bias=False), nn.Linear(rank, out_features, bias=bias))


class PrunedWhisperForConditionalGeneration(WhisperForConditionalGeneration):
    """A Whisper that was made physically smaller; it is used, saved and loaded like any other."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        shape = getattr(config, "kept_shape", None)
        if not isinstance(shape, dict) or not {"format", "heads", "ffn"} <= set(shape):
            raise ValueError("config.kept_shape is missing or incomplete; a pruned Whisper cannot be built without it")
        if shape["format"] > SHAPE_FORMAT:
            raise ValueError(
                f"config.kept_shape has format {shape['format']}, this file reads up to {SHAPE_FORMAT}; update it"
            )
        for name, heads in shape["heads"].items():
            _resize_attention(self.get_submodule(name), heads)
        for name, neurons in shape["ffn"].items():
            _resize_feed_forward(self.get_submodule(name.removesuffix(".ffn")), neurons)
        for name, rank in shape.get("ranks", {}).items():
            old: Any = self.get_submodule(name)
            self.set_submodule(name, LowRankLinear(old.in_features, rank, old.out_features, old.bias is not None))
        for name, live in shape.get("columns", {}).items():
            old = self.get_submodule(name)
            # Which columns they are is read with the weights; the buffer only needs its size here.
            columns = torch.zeros(live, dtype=torch.long)
            self.set_submodule(name, CompactLinear(columns, old.out_features, old.bias is not None))
        self.post_init()  # once more, for the layers that are new


def _resize_attention(attention: Any, heads: int) -> None:
    width = heads * attention.head_dim
    attention.num_heads = heads  # the head dimension, and with it the scaling, stays
    for name in ("q_proj", "k_proj", "v_proj"):
        old = getattr(attention, name)
        setattr(attention, name, nn.Linear(old.in_features, width, bias=old.bias is not None))
    old = attention.out_proj
    attention.out_proj = nn.Linear(width, old.out_features, bias=old.bias is not None)


def _resize_feed_forward(layer: Any, neurons: int) -> None:
    layer.fc1 = nn.Linear(layer.fc1.in_features, neurons)
    layer.fc2 = nn.Linear(neurons, layer.fc2.out_features)


PrunedWhisperForConditionalGeneration.register_for_auto_class("AutoModelForSpeechSeq2Seq")

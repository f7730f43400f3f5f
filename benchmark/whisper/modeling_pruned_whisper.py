"""Whisper whose attentions may differ in heads and whose feed-forward layers may differ in width.

This file travels with every pruned model that is saved, so it leans on torch and transformers alone. The config's
``kept_shape`` holds what is left: ``{"format": 1, "heads": {attention: heads}, "ffn": {layer.ffn: neurons}}``; all its
other fields describe the model before pruning (the dimension of a head follows from them, and does not change).
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import WhisperConfig, WhisperForConditionalGeneration

SHAPE_FORMAT = 1


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

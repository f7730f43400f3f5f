"""Whisper as two graphs without state, traced once and written as ONNX or OpenVINO.

``encoder`` maps log-mels to the keys and values that every decoder layer's cross-attention reads: they depend on the
window alone, so they are computed once. ``decoder`` maps some tokens, their positions, the keys and values of the
tokens before, and those of the window to logits and the grown keys and values. Whoever runs them keeps the cache.

The decoder is written out here, layer by layer, from the model's own modules, instead of traced through transformers'
cache and mask classes: what is traced is then plain arithmetic, whatever heads, widths, factors or gathered columns
the modules have. That it is the same arithmetic is checked on every export (``benchmark.whisper.export_parity``).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmark.whisper.runtimes import DECODER, ENCODER, import_openvino

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

_BATCH, _TOKENS, _PAST = 2, 3, 4  # of the example that is traced; none is 1, which torch.export takes for a constant
_QUIET = ("torch.onnx", "torch._export", "torch.export", "onnxscript", "onnx_ir")


class Encoder(nn.Module):
    """Log-mels ``(B, mels, frames)`` to one key and one value ``(B, heads, positions, width)`` a decoder layer."""

    def __init__(self, model: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.encoder = model.model.encoder
        self.attentions = nn.ModuleList([layer.encoder_attn for layer in model.model.decoder.layers])

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Return key and value of the first layer, of the second, and so on."""
        hidden = self.encoder(features).last_hidden_state
        attentions: Any = self.attentions
        return tuple(
            _heads(project(hidden), attention.head_dim)
            for attention in attentions
            for project in (attention.k_proj, attention.v_proj)
        )


class Decoder(nn.Module):
    """Tokens ``(B, T)`` at positions ``(T,)``, after ``past`` and over ``cross``, to logits ``(B, T, vocabulary)``."""

    def __init__(self, model: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.decoder = model.model.decoder
        self.proj_out = model.proj_out

    def forward(self, tokens: Tensor, positions: Tensor, past: list[Tensor], cross: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the logits, and key and value of each layer's self-attention with these tokens joined on."""
        decoder = self.decoder
        hidden = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[positions]
        keys = torch.arange(past[0].shape[2] + tokens.shape[1])
        lowest = torch.finfo(hidden.dtype).min
        mask = torch.where(keys[None, :] <= positions[:, None], 0.0, lowest)  # none looks ahead
        present: list[Tensor] = []
        for index, layer in enumerate(decoder.layers):
            attention, normed = layer.self_attn, layer.self_attn_layer_norm(hidden)
            key, value = (
                torch.cat([before, _heads(project(normed), attention.head_dim)], dim=2)
                for before, project in zip(
                    past[2 * index : 2 * index + 2], (attention.k_proj, attention.v_proj), strict=True
                )
            )
            present += [key, value]
            hidden = hidden + _attend(attention, normed, key, value, mask)
            normed = layer.encoder_attn_layer_norm(hidden)
            hidden = hidden + _attend(layer.encoder_attn, normed, cross[2 * index], cross[2 * index + 1], None)
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
        return (self.proj_out(decoder.layer_norm(hidden)), *present)


def _heads(flat: Tensor, width: int) -> Tensor:
    """Return ``(B, T, heads * width)`` as ``(B, heads, T, width)``."""
    return flat.view(flat.shape[0], flat.shape[1], -1, width).transpose(1, 2)


def _attend(attention: Any, hidden: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    query = _heads(attention.q_proj(hidden) * attention.scaling, attention.head_dim)
    scores = query @ key.transpose(2, 3)
    weights = nn.functional.softmax(scores if mask is None else scores + mask, dim=-1)
    projected: Tensor = attention.out_proj((weights @ value).transpose(1, 2).flatten(2))
    return projected


def names(model: WhisperForConditionalGeneration) -> dict[str, dict[str, list[str]]]:
    """Return the names of both graphs' inputs and outputs, in their order."""
    layers = range(len(model.model.decoder.layers))
    of = {what: [f"{what}_{layer}_{part}" for layer in layers for part in ("key", "value")] for what in _CACHES}
    return {
        ENCODER: {"inputs": ["features"], "outputs": of["cross"]},
        DECODER: {
            "inputs": ["tokens", "positions", *of["past"], *of["cross"]],
            "outputs": ["logits", *of["present"]],
        },
    }


_CACHES = ("past", "present", "cross")


@torch.no_grad()
def trace(model: WhisperForConditionalGeneration) -> dict[str, torch.export.ExportedProgram]:
    """Return both graphs of a model in fp32 on the CPU, with free sizes for batch, tokens and past."""
    free = torch.export.Dim.AUTO
    encoder, decoder = Encoder(model).eval(), Decoder(model).eval()
    shape = (_BATCH, model.config.num_mel_bins, 2 * model.config.max_source_positions)
    features = torch.zeros(shape)
    cross = list(encoder(features))
    attentions = [layer.self_attn for layer in model.model.decoder.layers]
    past = [torch.zeros(_BATCH, a.num_heads, _PAST, a.head_dim) for a in attentions for _ in range(2)]
    tokens, positions = torch.zeros(_BATCH, _TOKENS, dtype=torch.long), torch.arange(_PAST, _PAST + _TOKENS)
    sizes = ({0: free, 1: free}, {0: free}, [{0: free, 2: free}] * len(past), [{0: free}] * len(cross))
    with _hushed():
        return {
            ENCODER: torch.export.export(encoder, (features,), dynamic_shapes=({0: free},)),
            DECODER: torch.export.export(decoder, (tokens, positions, past, cross), dynamic_shapes=sizes),
        }


def write_onnx(model: WhisperForConditionalGeneration, folder: Path) -> None:
    """Write ``encoder.onnx`` and ``decoder.onnx``; beyond protobuf's 2 GB, the weights go into a file beside it."""
    called = names(model)
    for name, program in trace(model).items():
        with _hushed():
            written = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=called[name]["inputs"],
                output_names=called[name]["outputs"],
            )
            assert written is not None  # None is for the exporter before dynamo
            written.save(folder / f"{name}.onnx")


def write_openvino(model: WhisperForConditionalGeneration, folder: Path) -> None:
    """Write ``encoder.xml`` and ``decoder.xml`` with their ``.bin``, weights in fp32."""
    openvino = import_openvino()
    called = names(model)
    for name, program in trace(model).items():
        with _hushed():
            graph = openvino.convert_model(program)
        for ports, known in ((graph.inputs, called[name]["inputs"]), (graph.outputs, called[name]["outputs"])):
            for port, one in zip(ports, known, strict=True):
                port.get_tensor().set_names({one})
        openvino.save_model(graph, folder / f"{name}.xml", compress_to_fp16=False)


@contextmanager
def _hushed() -> Iterator[None]:
    """Silence what the tracers say about themselves; what they cannot do they raise."""
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    try:
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

"""Multiply-accumulates in three parts, parameters, and a closed form that checks the counter. No torch on import.

The counter is ptflops with its ``aten`` backend under eager attention, told to leave biases out: what is counted is
matrix products and convolutions, as the published figures do, and the closed form is met exactly. The backend matters:
``pytorch`` counts module hooks, and with them biases, soft-max, GELU and layer norms. Eager attention matters more:
under sdpa either backend misses the attention products (small: 152 instead of 193 GMac, a fake 21 % saving).
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import SpecError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates at batch 1 (FLOPs are twice that)."""

    encoder: int
    """The encoder, per window."""
    cross_kv: int
    """Keys and values of the decoder's cross-attention, computed once per window."""
    decoder_token: int
    """One token of the decoder with cached keys and values, LM head included, cross K/V not."""
    position: int
    """Where that token stands: its self-attention reads ``position + 1`` keys."""
    backend: str = "eager"
    """The attention that was counted."""

    @property
    def window(self) -> int:
        """What a window costs before the first token."""
        return self.encoder + self.cross_kv

    @property
    def total(self) -> int:
        """Encoder, cross K/V and one token: the usual single figure for a Whisper model."""
        return self.window + self.decoder_token


@dataclass(frozen=True)
class ForcedMacs:
    """Multiply-accumulates of one teacher-forced pass at batch 1: what a forward pass over a whole text costs."""

    encoder: int
    """The encoder, per window."""
    cross_kv: int
    """Keys and values of the decoder's cross-attention."""
    decoder: int
    """All tokens through the decoder, LM head included, cross K/V not."""
    tokens: int
    """How many tokens; each is scored against all of them (what the causal mask hides is computed too)."""

    @property
    def total(self) -> int:
        """The whole pass."""
        return self.encoder + self.cross_kv + self.decoder


@dataclass(frozen=True)
class Size:
    """Parameters of a model, tied ones counted once."""

    parameters: int
    nonzero: int

    @classmethod
    def of(cls, model: nn.Module) -> Size:
        """Count both."""
        return cls(parameters(model), nonzero(model))


def parameters(model: nn.Module) -> int:
    """Return the number of parameters, trainable or not; the tied embedding counts once."""
    return sum(parameter.numel() for parameter in model.parameters())  # parameters() yields a tied tensor once


def nonzero(model: nn.Module) -> int:
    """Return the number of parameters that are not exactly zero; the tied embedding counts once."""
    import torch

    return sum(int(torch.count_nonzero(parameter)) for parameter in model.parameters())


def parameters_by_stack(model: Any) -> dict[str, int]:
    """Return the parameters of the ``encoder`` and of the ``decoder`` with the LM head, which is tied to its embedding.

    The two add up to ``parameters``: a parameter that several modules share counts once.
    """
    encoder = {id(parameter): parameter.numel() for parameter in model.get_encoder().parameters()}
    every = {id(parameter): parameter.numel() for parameter in model.parameters()}
    return {"encoder": sum(encoder.values()), "decoder": sum(every[key] for key in every.keys() - encoder.keys())}


def macs(model: Any, position: int) -> Macs:
    """Count a ``WhisperForConditionalGeneration``, stock or unevenly shrunk, with ptflops; the model is not touched.

    Shapes are all that is needed, so a weightless copy on the meta device is run: no arithmetic, no second model in
    memory.

    Raises:
        SpecError: ``position`` is outside the decoder's positions, or the model cannot be run without its weights.
    """
    _check_position(model, position)
    hollow = _hollow(model)
    return Macs(
        encoder=_count(lambda: hollow.get_encoder()(_window(hollow))),
        cross_kv=_count(lambda: _cross_kv(hollow)),
        decoder_token=_count(lambda: _decode(hollow, tokens=1, position=position)),
        position=position,
    )


def teacher_forced(model: Any, tokens: int) -> ForcedMacs:
    """Count one pass over ``tokens`` given tokens as ``macs`` does; the model is not touched.

    Raises:
        SpecError: no tokens, more than the decoder has positions, or the model cannot be run without its weights.
    """
    _check_tokens(model, tokens)
    hollow = _hollow(model)
    return ForcedMacs(
        encoder=_count(lambda: hollow.get_encoder()(_window(hollow))),
        cross_kv=_count(lambda: _cross_kv(hollow)),
        decoder=_count(lambda: _decode(hollow, tokens=tokens, position=0)),
        tokens=tokens,
    )


def closed_form(model: Any, position: int) -> Macs:
    """Return the same from the shapes alone: matrix products and convolutions, no biases.

    A matrix costs its size per token that runs through it; an attention over ``n`` keys costs ``n`` times the widths of
    its queries (the scores) and of its values (the mix) per query.

    Raises:
        SpecError: ``position`` is outside the decoder's positions.
    """
    _check_position(model, position)
    encoder, decoder = model.get_encoder(), model.get_decoder()
    frames = model.config.max_source_positions
    before_stride = frames * encoder.conv2.stride[0]
    convolutions = before_stride * encoder.conv1.weight.numel() + frames * encoder.conv2.weight.numel()
    layers = sum(_attention(a.self_attn, frames) + _ffn(a) for a in encoder.layers)
    crosses = [layer.encoder_attn for layer in decoder.layers]
    keys_values = sum(_numel(cross.k_proj, cross.v_proj) for cross in crosses)
    token = sum(_attention(layer.self_attn, position + 1) + _ffn(layer) for layer in decoder.layers)
    token += sum(_attention(cross, frames) for cross in crosses) - keys_values
    return Macs(
        encoder=convolutions + frames * layers,
        cross_kv=frames * keys_values,
        decoder_token=token + _numel(model.get_output_embeddings()),
        position=position,
    )


def teacher_forced_closed_form(model: Any, tokens: int) -> ForcedMacs:
    """Return the same from the shapes alone: ``tokens`` times a token that reads as many keys (the full score matrix).

    Raises:
        SpecError: no tokens, or more than the decoder has positions.
    """
    _check_tokens(model, tokens)
    last = closed_form(model, tokens - 1)
    return ForcedMacs(last.encoder, last.cross_kv, tokens * last.decoder_token, tokens)


def _numel(*layers: Any) -> int:
    return sum(int(layer.weight.numel()) for layer in layers)


def _attention(attention: Any, keys: int) -> int:
    """One query over ``keys`` keys, all four projections included."""
    q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
    return _numel(q, k, v, attention.out_proj) + keys * int(q.out_features + v.out_features)


def _ffn(layer: Any) -> int:
    return _numel(layer.fc1, layer.fc2)


def _check_position(model: Any, position: int) -> None:
    limit = int(model.config.max_target_positions)
    if not 0 <= position < limit:
        raise SpecError(f"position = {position}: the decoder has positions 0 to {limit - 1}")


def _check_tokens(model: Any, tokens: int) -> None:
    limit = int(model.config.max_target_positions)
    if not 1 <= tokens <= limit:
        raise SpecError(f"tokens = {tokens}: the decoder takes 1 to {limit}")


def _hollow(model: Any) -> Any:
    """Return a copy in eval mode and with eager attention, its tensors on the meta device (ties are kept)."""
    import torch

    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = torch.nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    hollow = copy.deepcopy(model, memo).eval()  # deepcopy takes from the memo what is there, and so moves no weight
    hollow.set_attn_implementation("eager")
    return hollow


def _window(model: Any) -> torch.Tensor:
    import torch

    encoder = model.get_encoder()
    frames = model.config.max_source_positions * encoder.conv1.stride[0] * encoder.conv2.stride[0]
    return torch.empty(1, model.config.num_mel_bins, frames, dtype=model.dtype, device="meta")


def _encoded(model: Any) -> torch.Tensor:
    import torch

    return torch.empty(1, model.config.max_source_positions, model.config.d_model, dtype=model.dtype, device="meta")


def _cross_kv(model: Any) -> None:
    encoded = _encoded(model)
    for layer in model.get_decoder().layers:
        layer.encoder_attn.k_proj(encoded)
        layer.encoder_attn.v_proj(encoded)


def _decode(model: Any, tokens: int, position: int) -> None:
    """Run ``tokens`` tokens with ``position`` cached ones before them and the cross K/V of all frames in the cache."""
    import torch
    from transformers import DynamicCache, EncoderDecoderCache

    caches = (DynamicCache(), DynamicCache())
    for index, layer in enumerate(model.get_decoder().layers):
        lengths = (position, model.config.max_source_positions)
        for cache, attention, length in zip(caches, (layer.self_attn, layer.encoder_attn), lengths, strict=True):
            if length:
                shape = (1, attention.num_heads, length, attention.head_dim)
                cached = torch.empty(shape, dtype=model.dtype, device="meta")
                cache.update(cached, cached, index)
    output = model.get_decoder()(
        input_ids=torch.zeros(1, tokens, dtype=torch.long, device="meta"),
        encoder_hidden_states=_encoded(model),
        past_key_values=EncoderDecoderCache(*caches),
        use_cache=True,
    )
    model.get_output_embeddings()(output.last_hidden_state)


def _count(call: Callable[[], object]) -> int:
    """Return the MACs of ``call`` by ptflops.

    ptflops leaves hooks on a module's children (aten backend), prints what goes wrong, and then returns None: the call
    is wrapped into a module without children, and the print becomes an error.
    """
    import torch
    from ptflops import get_model_complexity_info
    from torch import nn

    class Part(nn.Module):
        def forward(self, _: torch.Tensor) -> None:
            call()

    said = io.StringIO()
    # no_grad, not inference_mode: there linear layers reach the counter whole, and it knows their parts only
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), torch.no_grad():
        counted, _ = get_model_complexity_info(
            Part(),
            (1,),
            backend="aten",
            as_strings=False,
            print_per_layer_stat=False,
            ost=said,
            custom_modules_hooks={torch.ops.aten.addmm: _addmm, torch.ops.aten.convolution: _convolution},
        )
    if not isinstance(counted, int):
        raise SpecError(f"MACs cannot be counted: {(said.getvalue().strip().splitlines() or ['no reason given'])[-1]}")
    return counted


def _addmm(inputs: Sequence[Any], _: Sequence[Any]) -> int:
    """Return the MACs of ``bias + a @ b`` without the bias: its share, 1 / width, would flatter the wide."""
    a, b = inputs[1], inputs[2]
    return int(a.numel() * b.shape[-1])


def _convolution(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    weight, output = inputs[1], outputs[0]
    return int(output.numel() * weight[0].numel())

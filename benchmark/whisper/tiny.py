"""Whisper models small enough for a test, and inputs for them: random weights, real architecture.

For our tests, for those of plug-ins outside, and for the checks of ``benchmark.contracts``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from benchmark.api import Statistic
from benchmark.whisper.structure import Structure


def tiny_whisper(
    d: int = 32,
    layers: tuple[int, int] = (2, 2),
    heads: int = 4,
    ffn: int = 64,
    vocab: int = 100,
    frames: int = 40,
    targets: int = 24,
    mels: int = 8,
    seed: int = 0,
) -> WhisperForConditionalGeneration:
    """Return a random Whisper in eval mode; ``frames`` are mel frames (two per encoder position).

    Weights are drawn wider than Whisper's own initialisation, so that attention is not uniform, logits differ clearly,
    and a wrong head or neuron shows. Biases and norms are random too, and the global generator is left as it was.
    """
    config = WhisperConfig(
        d_model=d,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=ffn,
        decoder_ffn_dim=ffn,
        vocab_size=vocab,
        num_mel_bins=mels,
        max_source_positions=frames // 2,
        max_target_positions=targets,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "layer_norm.weight" in name:
                    parameter.copy_(1 + 0.1 * torch.randn_like(parameter))
                elif "encoder.embed_positions" not in name:
                    parameter.copy_(torch.randn_like(parameter) * (0.2 if parameter.ndim == 1 else 2 * d**-0.5))
    model.generation_config = GenerationConfig(
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3, max_length=targets
    )
    model.eval()
    return model


def features(model: WhisperForConditionalGeneration, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """Return random log-mel input of shape ``(batch, mels, frames)`` in the model's precision."""
    shape = (batch, model.config.num_mel_bins, 2 * model.config.max_source_positions)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(model.dtype)


def token_ids(model: WhisperForConditionalGeneration, batch: int = 2, length: int = 6, seed: int = 0) -> torch.Tensor:
    """Return random decoder input of shape ``(batch, length)``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, model.config.vocab_size, (batch, length), generator=generator)


def random_statistics(
    structure: Structure, kinds: Sequence[Statistic], seed: int = 0
) -> dict[Statistic, dict[str, torch.Tensor]]:
    """Return what a Calibrate step of those kinds could have gathered."""
    draw = torch.Generator().manual_seed(seed)
    found: dict[Statistic, dict[str, torch.Tensor]] = {kind: {} for kind in kinds}
    for matrix in structure.matrices:
        rows = torch.randn(3 * matrix.shape[1], matrix.shape[1], generator=draw, dtype=torch.float64)
        every: dict[Statistic, dict[str, torch.Tensor]] = {
            "input_square": {matrix.name: rows.square().mean(0)},
            "input_covariance": {matrix.name: rows.T @ rows / len(rows), f"{matrix.name}:mean": rows.mean(0)},
            "gradient": {matrix.name: torch.randn(matrix.shape, generator=draw)},
        }
        for kind in set(kinds) & every.keys():
            found[kind] |= every[kind]
    if "tokens" in kinds:
        assert structure.tokens is not None
        size = structure.tokens.count
        bits = {name: torch.rand(size, generator=draw) < 0.1 for name in ("required", "letters", "timestamps")}
        bits["required"][:4] = True
        counts = torch.randint(0, 3, (size,), generator=draw)
        found["tokens"] = {"counts": counts, "merges": torch.tensor([[9, 7, 8], [20, 9, 5]]), **bits}
    return found

"""A small pruned model, and what tests of saving ask of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from benchmark.errors import PrunebenchError
from benchmark.whisper.plan import Plan
from benchmark.whisper.surgery import shrink
from tests.tiny import features, tiny_whisper, token_ids

PLAN = Plan(
    {"model.decoder.layers.0.encoder_attn": torch.tensor([1, 2]), "model.encoder.layers.1.ffn": torch.arange(7)}
)


def pruned_whisper() -> WhisperForConditionalGeneration:
    """Return a tiny Whisper that ``PLAN`` was carried out on."""
    model = tiny_whisper(seed=4)
    model.generation_config.alignment_heads = [[0, 1], [1, 3]]
    return shrink(model, PLAN)


def untied(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """Give a model an output projection of its own."""
    model.config.tie_word_embeddings = False
    model.proj_out.weight = torch.nn.Parameter(model.proj_out.weight.detach().flip(0).clone())
    return model


@torch.no_grad()
def logits(model: WhisperForConditionalGeneration) -> torch.Tensor:
    """Return the logits on a fixed input."""
    return model(input_features=features(model), decoder_input_ids=token_ids(model)).logits


def one_line(caught: pytest.ExceptionInfo[PrunebenchError], *parts: object) -> None:
    """Check that an error is one line that holds all parts."""
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message


def edit(path: Path, **changes: object) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def flip(path: Path) -> None:
    """Change one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)

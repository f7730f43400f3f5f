"""State dicts on disk: what a run keeps of an artefact, besides its plan."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from benchmark.errors import StoreError
from benchmark.whisper.plan_files import write_tensors
from benchmark.whisper.quantise import is_quantised, load_plain_state, plain_state

STATE_FORMAT = 1
_STATE_KIND = "prunebench-state"
_TIED = "proj_out.weight"
UNREADABLE = (
    *(OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ArithmeticError),
    *(SafetensorError, StrictDataclassError),
)
"""What torch, safetensors and transformers raise for files that are cut off, foreign or of another shape."""


def state_for_disk(model: WhisperForConditionalGeneration) -> dict[str, Tensor]:
    """Return the state dict on the CPU, contiguous, with the tied output projection left out (it is the embedding)."""
    plain = plain_state(model) if is_quantised(model) else model.state_dict()
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in plain.items()}
    if model.proj_out.weight is model.get_input_embeddings().weight:
        del state[_TIED]
    return state


def write_state(model: WhisperForConditionalGeneration, path: str | os.PathLike[str]) -> None:
    """Write the model's state dict as safetensors, with a digest of its content; whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    state = state_for_disk(model)
    metadata = {"kind": _STATE_KIND, "format": str(STATE_FORMAT), "digest": _content(state)}
    write_tensors(Path(path), state, metadata)


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read what ``write_state`` wrote.

    Raises:
        StoreError: missing, not a state dict of ours, of a newer format, or changed since it was written.
    """
    way_out = "restore it, or run the cell again to make it anew"
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            known = metadata.get("kind") == _STATE_KIND
            newest = int(metadata["format"]) <= STATE_FORMAT if known else True
            state = {name: file.get_tensor(name) for name in names} if known and newest else {}
    except UNREADABLE as error:
        raise StoreError(f"{path}: cannot be read ({said(error)}); {way_out}") from error
    if not known:
        raise StoreError(f"{path}: not a state dict that prunebench wrote; {way_out}")
    if not newest:
        raise StoreError(f"{path}: format {metadata['format']} is newer than this prunebench reads; update prunebench")
    if _content(state) != metadata.get("digest"):
        raise StoreError(f"{path}: changed since it was written; {way_out}")
    return state


def load_state(
    model: WhisperForConditionalGeneration, state: Mapping[str, Tensor], where: str | os.PathLike[str]
) -> WhisperForConditionalGeneration:
    """Load a state dict from disk strictly, in place; an absent tied projection follows the embedding.

    Raises:
        StoreError: a name or a shape does not fit; ``where`` begins the line.
    """
    state = dict(state)
    tied = model.proj_out.weight is model.get_input_embeddings().weight
    if tied and _TIED in state:  # both would be written into one tensor, the later over the earlier
        raise StoreError(
            f"{where}: holds an output projection of its own, and the model of its spec has none; run it anew"
        )
    if tied:
        state[_TIED] = state.get("model.decoder.embed_tokens.weight", model.proj_out.weight)
    try:
        if is_quantised(model):
            load_plain_state(model, state)
        else:
            model.load_state_dict(state, strict=True)
    except (RuntimeError, KeyError, ValueError) as error:
        detail = " ".join(str(error).split())[:200]
        raise StoreError(f"{where}: does not fit the plan and the model of its spec ({detail}); run it anew") from error
    return model


def _content(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def said(error: Exception) -> str:
    """Return the first line of an error that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)

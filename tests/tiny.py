"""Random plans and material for the Whisper models of ``benchmark.whisper.tiny``, which is offered here too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmark.harness.batches import Tokenised
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.tiny import features as features
from benchmark.whisper.tiny import random_statistics as random_statistics
from benchmark.whisper.tiny import tiny_whisper as tiny_whisper
from benchmark.whisper.tiny import token_ids as token_ids


def random_plan(structure: Structure, seed: int, group_share: float = 0.6, weight_share: float = 0.6) -> Plan:
    """Return a valid plan: some groups cut (never emptied), some matrices masked."""
    draw = np.random.default_rng(seed)
    kept, masks = {}, {}
    for group in structure.groups:
        if draw.random() < group_share:
            size = int(draw.integers(1, group.count + 1))
            kept[group.key] = torch.from_numpy(draw.permutation(group.count)[:size].copy())
    for matrix in structure.matrices:
        if draw.random() < weight_share:
            masks[matrix.name] = torch.from_numpy(draw.random(matrix.shape) < 0.7)
    return Plan(kept, masks)


def coarse_plan(structure: Structure, seed: int, special: int = 4) -> Plan:
    """Return a random plan of all kinds: ``random_plan``, layers, tokens (the first ``special`` stay) and columns."""
    draw = np.random.default_rng([seed, 1])
    kept, columns = {}, {}
    for stack in structure.stacks:
        size = int(draw.integers(1, stack.count + 1))
        kept[stack.key] = torch.from_numpy(draw.permutation(stack.count)[:size].copy())
    assert structure.tokens is not None
    drawn = special + draw.permutation(structure.tokens.count - special)[: structure.tokens.count // 2]
    kept[structure.tokens.key] = torch.from_numpy(np.concatenate([np.arange(special), drawn]))
    fine = random_plan(structure, seed)
    for matrix in structure.matrices:
        if draw.random() < 0.4:
            alive = (
                fine.mask(matrix).any(dim=0).nonzero().flatten().numpy() if matrix.axis else np.arange(matrix.shape[1])
            )
            if len(alive):
                size = int(draw.integers(1, len(alive) + 1))
                columns[matrix.name] = torch.from_numpy(draw.permutation(alive)[:size].copy())
    return fine.then(Plan(kept, columns=columns))


def drop_out(model: Any, share: float) -> None:
    """Set the share that is dropped in every part of a model."""
    for part in model.modules():
        if hasattr(part, "dropout") and isinstance(part.dropout, float):
            part.dropout = share


def material(lengths: Sequence[int]) -> Tokenised:
    """Return noise to train on: windows of 8 mels and 16 frames, transcripts of these lengths from 30 tokens."""
    draw = np.random.default_rng(0)
    labels = [draw.integers(4, 30, size=length).tolist() for length in lengths]
    return Tokenised(draw.normal(size=(len(lengths), 8, 16)).astype(np.float16), labels)


def held_by_autograd(passes: Callable[[], object]) -> int:
    """Return the bytes that autograd holds after the forward passes of a call, weights aside."""
    held: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            held.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        passes()
    return sum(held)

"""What a Fit is fed: utterances in an order that is a function of (seed, path step) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from benchmark.harness.seeds import derive

IGNORED_LABEL = -100


@dataclass
class Tokenised:
    """Training material: features of shape (N, mels, frames) in fp16, and label ids per utterance."""

    features: np.ndarray
    labels: Sequence[Sequence[int]]


class BatchStream(Dataset[dict[str, Any]]):
    """The utterances of a Fit in the order of training: item i belongs to step ``i // batch`` of the Fit."""

    def __init__(self, material: Tokenised, order: np.ndarray) -> None:
        self.material, self.order = material, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, Any]:
        utterance = int(self.order[index])
        return {"input_features": self.material.features[utterance], "labels": self.material.labels[utterance]}


def stream_order(utterances: int, batch: int, seed: int, start: int, steps: int) -> np.ndarray:
    """Return utterance indices, shape ``(steps * batch,)``, of path steps ``start .. start + steps``.

    Epochs are independent permutations derived from (seed, epoch), so the batch at a path step depends on nothing
    else: every cell sees the same data in the same order, whatever was trained, pruned or rewound before.
    """
    first, last = start * batch, (start + steps) * batch
    epochs = range(first // utterances, (last - 1) // utterances + 1)
    stream = np.concatenate(
        [np.random.default_rng(derive(seed, "data", epoch)).permutation(utterances) for epoch in epochs]
    )
    return stream[first - epochs[0] * utterances : last - epochs[0] * utterances]


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack features as fp32 (batch, mels, frames) and pad labels with -100 to (batch, longest)."""
    features = torch.from_numpy(np.stack([row["input_features"] for row in rows]).astype(np.float32))
    labels = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row["labels"]) for row in rows], batch_first=True, padding_value=IGNORED_LABEL
    )
    return {"input_features": features, "labels": labels}

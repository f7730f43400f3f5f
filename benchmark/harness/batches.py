"""What a Fit is fed: utterances in an order that is a function of (seed, path step) alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from benchmark.errors import SpecError
from benchmark.harness.seeds import derive

IGNORED_LABEL = -100


@dataclass
class Tokenised:
    """Training material: features of shape (N, mels, frames) in fp16, and label ids per utterance."""

    features: np.ndarray
    labels: Sequence[Sequence[int]]


Hide = Callable[[np.ndarray, int], np.ndarray]
"""Given features of shape ``(mels, frames)`` and the index of their item in the Fit, returns what is trained on."""


class BatchStream(Dataset[dict[str, Any]]):
    """The utterances of a Fit in the order of training: item i belongs to step ``i // batch`` of the Fit.

    ``hide`` alters what is heard (``harness.augment``).
    """

    def __init__(self, material: Tokenised, order: np.ndarray, hide: Hide | None = None) -> None:
        self.material, self.order, self.hide = material, order, hide

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, Any]:
        utterance = int(self.order[index])
        features = self.material.features[utterance]
        return {
            "input_features": features if self.hide is None else self.hide(features, index),
            "labels": self.material.labels[utterance],
        }


MEGABATCH = 50
"""Batches that are sorted together where batches are grouped by length, as in transformers' LengthGroupedSampler."""


def stream_order(
    utterances: int, batch: int, seed: int, start: int, steps: int, lengths: Sequence[int] | None = None
) -> np.ndarray:
    """Return utterance indices, shape ``(steps * batch,)``, of path steps ``start .. start + steps``.

    Epochs are independent permutations derived from (seed, epoch), so the batch at a path step depends on nothing
    else: every cell sees the same data in the same order, whatever was trained, pruned or rewound before.

    With ``lengths`` (one an utterance) the same stream is cut into megabatches of ``MEGABATCH`` batches, counted from
    the path's beginning; each is sorted by length, cut into batches, and these are shuffled, so that a Fit does not
    go from long to short. This too depends on (seed, path step) alone.
    """
    first, last = start * batch, (start + steps) * batch
    if lengths is None:
        return _stream(utterances, seed, first, last)
    size = MEGABATCH * batch
    pieces = range(first // size, (last - 1) // size + 1)
    stream = np.concatenate([_grouped(utterances, batch, seed, piece, np.asarray(lengths)) for piece in pieces])
    return stream[first - pieces[0] * size : last - pieces[0] * size]


def _stream(utterances: int, seed: int, first: int, last: int) -> np.ndarray:
    epochs = range(first // utterances, (last - 1) // utterances + 1)
    stream = np.concatenate(
        [np.random.default_rng(derive(seed, "data", epoch)).permutation(utterances) for epoch in epochs]
    )
    return stream[first - epochs[0] * utterances : last - epochs[0] * utterances]


def _grouped(utterances: int, batch: int, seed: int, piece: int, lengths: np.ndarray) -> np.ndarray:
    """Return one megabatch, shape ``(MEGABATCH * batch,)``."""
    size = MEGABATCH * batch
    drawn = _stream(utterances, seed, piece * size, (piece + 1) * size)
    batches = drawn[np.argsort(lengths[drawn], kind="stable")].reshape(MEGABATCH, batch)
    shuffled: np.ndarray = np.random.default_rng(derive(seed, "lengths", piece)).permutation(batches)
    return shuffled.reshape(-1)


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack features as fp32 (batch, mels, frames) and pad labels with -100 to (batch, longest)."""
    features = torch.from_numpy(np.stack([row["input_features"] for row in rows]).astype(np.float32))
    labels = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row["labels"]) for row in rows], batch_first=True, padding_value=IGNORED_LABEL
    )
    return {"input_features": features, "labels": labels}


DROPS = ("dropout", "activation_dropout", "layerdrop")
"""Attributes of Whisper's modules that hold the share of what training leaves out at random."""


def check_precision(precision: str) -> None:
    """Refuse fp16 where it would be fp32: accelerate says nothing then.

    Raises:
        SpecError: there is no GPU.
    """
    if precision == "fp16" and not torch.cuda.is_available():
        raise SpecError("training.precision = 'fp16' needs a GPU, and there is none here; take fp32 or bf16")


def check_parts(model: Any, parts: int) -> None:
    """Refuse to pass batches in parts through a model that draws as often as it is called.

    Raises:
        SpecError: the model drops something at random in training: what that is would depend on the parts, which are
            in no id.
    """
    if parts == 1:
        return
    for place, module in model.named_modules():
        for name in DROPS:
            share = getattr(module, name, 0.0)
            if share:
                raise SpecError(
                    f"a batch in {parts} parts (training.accumulate times processes) and a model with {place}.{name} = "
                    f"{share}: what is dropped would depend on the parts; take accumulate 1 (checkpointing: true saves "
                    "memory too, and changes nothing), or set the dropouts of the model's config to 0"
                )

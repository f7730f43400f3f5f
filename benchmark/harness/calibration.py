"""Calibrate steps: statistics of activations, gradients and transcripts, from the training pool only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmark.api import Calibrate, Statistic
from benchmark.harness.batches import IGNORED_LABEL, collate
from benchmark.harness.seeds import derive
from benchmark.measure.decoding import evaluation
from benchmark.whisper.masking import Masker
from benchmark.whisper.structure import TOKENS, Matrix
from benchmark.whisper.vocabulary import token_table

if TYPE_CHECKING:
    from benchmark.harness.bench import Bench
    from benchmark.harness.state import State

BATCH = 16
"""Utterances of a batch: gradients are the mean of the batches' means, in however many parts these are passed."""
_NEEDS_A_PASS = frozenset({"input_square", "input_covariance", "gradient"})
Found = dict[Statistic, dict[str, Tensor]]


def calibrate(step: Calibrate, state: State, bench: Bench, seed: int) -> tuple[Found, int]:
    """Gather what a Calibrate step asks for, under the plan so far.

    Returns:
        The statistics, on the CPU, and the number of utterances that were passed through the model: once for
        statistics of inputs, and once more, forward and backward, for gradients.
    """
    found: Found = {}
    if "tokens" in step.statistics:
        found["tokens"] = token_table(bench.material.labels, bench.processor, bench.structure.group(TOKENS).count)
    asked = _NEEDS_A_PASS & set(step.statistics)
    if not asked:
        return found, 0
    pool = len(bench.material.labels)
    drawn = np.random.default_rng(derive(seed, "calibrate")).permutation(pool)[: step.utterances]
    model = bench.model(state)
    Masker(model, bench.structure, state.plan).apply_()
    passes = 0
    with evaluation(model):
        if asked - {"gradient"}:
            gathered = _inputs(model, bench, drawn, covariance="input_covariance" in asked)
            found |= {kind: values for kind, values in gathered.items() if kind in asked}
            passes += len(drawn)
        if "gradient" in asked:
            found["gradient"] = _gradients(model, bench, drawn)
            passes += len(drawn)
    return found, passes


def _parts(bench: Bench, drawn: np.ndarray, device: torch.device) -> Iterator[tuple[dict[str, Tensor], float]]:
    """Yield what is passed at once, no more than in training, and its share in the mean over all batches.

    A batch counts by its utterances, and a part of it by its tokens, over which a model's loss is the mean.
    """
    material, recipe = bench.material, bench.spec.training
    size = min(BATCH, recipe.batch // recipe.accumulate)
    for start in range(0, len(drawn), BATCH):
        batch = drawn[start : start + BATCH].tolist()
        tokens = sum(len(material.labels[index]) for index in batch)
        for first in range(0, len(batch), size):
            part = batch[first : first + size]
            rows = [{"input_features": material.features[index], "labels": material.labels[index]} for index in part]
            share = sum(len(row["labels"]) for row in rows) / tokens * (len(batch) / len(drawn))
            yield {name: value.to(device) for name, value in collate(rows).items()}, share


@torch.no_grad()
def _inputs(model: Any, bench: Bench, drawn: np.ndarray, *, covariance: bool) -> Found:
    """Sum over all positions of all utterances what runs into each prunable Linear layer; return means.

    Positions behind the end of a transcript are left out in the decoder: their content is padding.
    """
    readers: dict[str, list[Matrix]] = {}
    for matrix in bench.structure.matrices:
        readers.setdefault(_source(matrix), []).append(matrix)
    sums = {source: _Sums(first.shape[1], covariance) for source, (first, *_) in readers.items()}
    real: list[Tensor] = []  # which decoder positions hold a token, of the part at work
    hooks = [
        model.get_submodule(first.module).register_forward_pre_hook(
            _listener(sums[source], real, decoder=first.stack == "decoder" and source != ENCODER)
        )
        for source, (first, *_) in readers.items()
    ]
    try:
        for part, _ in _parts(bench, drawn, model.device):
            real[:] = [part["labels"] != IGNORED_LABEL]
            model(**part)
    finally:
        for hook in hooks:
            hook.remove()
    for one in sums.values():
        one.divide_()
    read = {matrix.name: sums[source] for source, matrices in readers.items() for matrix in matrices}
    found: Found = {"input_square": {name: one.square for name, one in read.items()}}
    if covariance:
        found["input_covariance"] = {name: one.outer for name, one in read.items()}
        found["input_covariance"] |= {f"{name}:mean": one.total for name, one in read.items()}
    return found


ENCODER = "model.encoder"


def _source(matrix: Matrix) -> str:
    """Return the name of what a matrix reads: q, k and v of a block the same, k and v of cross-attention the encoder.

    What decoder matrices read has one position a token, but for the encoder's output.
    """
    if matrix.block == "encoder_attn" and matrix.kind in ("k", "v"):
        return ENCODER
    return f"{matrix.layers}.{matrix.layer}.{matrix.block}" if matrix.kind in ("q", "k", "v") else matrix.name


class _Sums:
    """Running sums over positions of one layer's input, in double precision on the CPU."""

    def __init__(self, width: int, covariance: bool) -> None:
        self.count = 0
        self.square = torch.zeros(width, dtype=torch.float64)
        self.total = torch.zeros(width, dtype=torch.float64)
        self.outer = torch.zeros(width, width, dtype=torch.float64) if covariance else torch.zeros(0)

    def add(self, rows: Tensor) -> None:
        """Add inputs of shape ``(positions, width)``."""
        self.count += len(rows)
        self.square += rows.square().sum(dim=0, dtype=torch.float64).cpu()
        if self.outer.numel():
            self.total += rows.sum(dim=0, dtype=torch.float64).cpu()
            self.outer += (rows.T @ rows).double().cpu()

    def divide_(self) -> None:
        """Make means of the sums, in place: a copy of all outer products would be as large as they are."""
        for one in (self.square, self.total, self.outer):
            one.div_(self.count)


def _listener(sums: _Sums, real: list[Tensor], *, decoder: bool) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        sums.add(x[real[0]] if decoder else x.reshape(-1, x.shape[-1]))

    return hook


def _gradients(model: Any, bench: Bench, drawn: np.ndarray) -> dict[str, Tensor]:
    """Return the mean gradient of the cross-entropy, each batch weighted by its utterances."""
    parameters = {matrix.name: model.get_parameter(matrix.name) for matrix in bench.structure.matrices}
    sums = {name: torch.zeros(parameter.shape) for name, parameter in parameters.items()}
    again = _computing_twice(model) if bench.spec.training.checkpointing else contextlib.nullcontext()
    with _needing_gradients(list(parameters.values())), again:
        for part, share in _parts(bench, drawn, model.device):
            loss = model(**part, use_cache=False).loss * share  # a cache would be filled twice
            for name, gradient in zip(sums, torch.autograd.grad(loss, list(parameters.values())), strict=True):
                sums[name] += gradient.float().cpu()
    return sums


@contextlib.contextmanager
def _computing_twice(model: Any) -> Iterator[None]:
    """Have each layer compute its activations again on the way back; transformers' own way needs training's dropout."""
    layers = [*model.get_encoder().layers, *model.get_decoder().layers]
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@contextlib.contextmanager
def _needing_gradients(parameters: list[nn.Parameter]) -> Iterator[None]:
    before = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, needed in zip(parameters, before, strict=True):
            parameter.requires_grad_(needed)

"""Calibrate steps: statistics of activations, gradients and transcripts, from the training pool only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.api import Calibrate, Statistic
from benchmark.harness.batches import collate
from benchmark.harness.seeds import derive
from benchmark.measure.decoding import evaluation
from benchmark.whisper.masking import Masker
from benchmark.whisper.structure import TOKENS
from benchmark.whisper.vocabulary import token_table

if TYPE_CHECKING:
    from benchmark.harness.bench import Bench
    from benchmark.harness.state import State

BATCH = 16
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


def _batches(bench: Bench, drawn: np.ndarray, device: torch.device) -> Iterator[dict[str, Tensor]]:
    material = bench.material
    for start in range(0, len(drawn), BATCH):
        rows = [
            {"input_features": material.features[index], "labels": material.labels[index]}
            for index in drawn[start : start + BATCH].tolist()
        ]
        yield {name: value.to(device) for name, value in collate(rows).items()}


@torch.no_grad()
def _inputs(model: Any, bench: Bench, drawn: np.ndarray, *, covariance: bool) -> Found:
    """Sum over all positions of all utterances what runs into each prunable Linear layer; return means.

    Positions behind the end of a transcript are left out in the decoder: their content is padding.
    """
    sums: dict[str, _Sums] = {m.name: _Sums(m.shape[1], covariance) for m in bench.structure.matrices}
    real: list[Tensor] = []  # which decoder positions hold a token, of the batch at work
    hooks = [
        model.get_submodule(matrix.module).register_forward_pre_hook(
            _listener(sums[matrix.name], real, decoder=_reads_tokens(matrix.name))
        )
        for matrix in bench.structure.matrices
    ]
    try:
        for batch in _batches(bench, drawn, model.device):
            real[:] = [batch["labels"] != -100]
            model(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    found: Found = {"input_square": {name: one.square / one.count for name, one in sums.items()}}
    if covariance:
        found["input_covariance"] = {name: one.outer / one.count for name, one in sums.items()}
        found["input_covariance"] |= {f"{name}:mean": one.total / one.count for name, one in sums.items()}
    return found


def _reads_tokens(name: str) -> bool:
    """Whether the matrix' input has one position a token: all of the decoder but cross-attention's keys and values."""
    return ".decoder." in name and not name.endswith(("encoder_attn.k_proj.weight", "encoder_attn.v_proj.weight"))


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


def _listener(sums: _Sums, real: list[Tensor], *, decoder: bool) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        sums.add(x[real[0]] if decoder else x.reshape(-1, x.shape[-1]))

    return hook


def _gradients(model: Any, bench: Bench, drawn: np.ndarray) -> dict[str, Tensor]:
    """Return the mean gradient of the cross-entropy, each batch weighted by its utterances."""
    parameters = {matrix.name: model.get_parameter(matrix.name) for matrix in bench.structure.matrices}
    sums = {name: torch.zeros(parameter.shape) for name, parameter in parameters.items()}
    with _needing_gradients(list(parameters.values())):
        for batch in _batches(bench, drawn, model.device):
            loss = model(**batch).loss * (len(batch["labels"]) / len(drawn))
            for name, gradient in zip(sums, torch.autograd.grad(loss, list(parameters.values())), strict=True):
                sums[name] += gradient.float().cpu()
    return sums


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

"""A training step of whisper-small with and without the penalty of Sparse Group LASSO, side by side in one process."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

import numpy as np
import torch

from benchmark.api import OptimizerStep
from benchmark.harness.optimizer import adam_metric, make_optimizer
from benchmark.measure.memory import reset_peak, resident
from benchmark.measure.profile import interleaved, paired_ratio
from benchmark.pruning.penalties import GroupKind, Solver, SparseGroupLasso
from benchmark.specs import Training
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.benchmarks.allocations import peak_allocated
from tests.benchmarks.real_size import whisper_small

TOKENS = 32
"""Tokens of each text: about ten seconds of speech in Hindi."""
RECIPE = Training(learning_rate=1e-5)


def penalty(solver: Solver, groups: GroupKind) -> SparseGroupLasso:
    """Return a penalty that pulls at everything, but so little that the weights stay what they are."""
    return SparseGroupLasso(l1_enc=1e-6, l1_dec=1e-6, group_enc=1e-6, group_dec=1e-6, groups=groups, solver=solver)


@dataclass
class Bench:
    """A whisper-small of random weights in training, and what a step needs."""

    batch: int
    model: Any = field(default_factory=whisper_small)

    def __post_init__(self) -> None:
        self.model.train()
        self.view = View(self.model, Structure.of(self.model), Plan(), 0)
        self.adam = make_optimizer(self.model, RECIPE, None, {m.name for m in self.view.structure.matrices})
        draw = torch.Generator().manual_seed(0)
        self.features = torch.randn(self.batch, 80, 3000, generator=draw)
        self.labels = torch.randint(100, 50_000, (self.batch, TOKENS), generator=draw)
        self.peaks: dict[str, list[int]] = {}

    def step(self, name: str, pull: SparseGroupLasso | None, batch: int | None = None) -> None:
        """Take one training step as the harness does: penalty first, clipping over all, proximal step last."""
        reset_peak()
        self.adam.zero_grad()
        loss = self.differentiable(pull) if pull is not None and not pull.proximal else torch.zeros(())
        loss = loss + self.model(input_features=self.features[:batch], labels=self.labels[:batch]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), RECIPE.clip)
        self.adam.step()
        if pull is not None and pull.proximal:
            self.proximal(pull)
        self.peaks.setdefault(name, []).append(resident("VmHWM"))

    def differentiable(self, pull: SparseGroupLasso) -> torch.Tensor:
        """Return the penalty that is added to the loss."""
        return pull.loss(self.view)

    def proximal(self, pull: SparseGroupLasso) -> None:
        """Take the proximal step."""
        metric: Callable[[Any], torch.Tensor] = lambda matrix: adam_metric(self.adam, self.view.parameter(matrix))  # noqa: E731
        pull.prox_(self.view, OptimizerStep(1e-5, metric))

    def alone(self, pull: SparseGroupLasso) -> None:
        """Do all that the penalty adds to a step: gradients are there, as they are behind a backward pass."""
        if pull.proximal:
            self.proximal(pull)
        else:
            self.differentiable(pull).backward()


def steps(bench: Bench, solver: Solver, repeats: int) -> dict[str, Any]:
    """Return a row: the step with the penalty against the same step without, by columns, interleaved."""
    bench.step("warm-up", None, batch=1)  # AdamW's moments are made in the first step
    pull = penalty(solver, "column")
    calls = {"none": partial(bench.step, "none", None), solver: partial(bench.step, solver, pull)}
    times = interleaved(calls, repeats, warm_up=False)
    return {
        "solver": solver,
        "batch": bench.batch,
        "repeats": repeats,
        "step without, s": float(np.median(times["none"])),
        "step with, s": float(np.median(times[solver])),
        "added": f"{paired_ratio(times[solver], times['none']) - 1:+.1%}",
        "peak without, GB": max(bench.peaks["none"]) / 1e9,
        "peak with, GB": max(bench.peaks[solver]) / 1e9,
    }


def parts(bench: Bench, step_seconds: float, repeats: int) -> list[dict[str, Any]]:
    """Return a row for each solver and kind of groups: what the penalty takes by itself, and its share of a step."""
    weights = 4 * bench.view.structure.prunable
    rows = []
    for solver in get_args(Solver):
        pulls = {kind: penalty(solver, kind) for kind in get_args(GroupKind)}
        times = interleaved({kind: partial(bench.alone, pull) for kind, pull in pulls.items()}, repeats)
        for kind, pull in pulls.items():
            median = float(np.median(times[kind]))
            rows.append(
                {
                    "solver": solver,
                    "groups": kind,
                    "repeats": repeats,
                    "penalty, s": median,
                    "share of a step": f"{median / step_seconds:.2%}",
                    "temporaries, MB": peak_allocated(partial(bench.alone, pull)) / 1e6,
                    "weights, MB": math.floor(weights / 1e6),
                }
            )
    return rows

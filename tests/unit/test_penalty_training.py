"""The Sparse Group LASSO in a real Fit: mixed precision, micro-batches, sharded weights, skipped steps."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from transformers import Seq2SeqTrainer

from benchmark.api import OptimizerStep
from benchmark.errors import SpecError
from benchmark.harness import training
from benchmark.harness.batches import Tokenised, stream_order
from benchmark.harness.bench import device
from benchmark.harness.state import Moments
from benchmark.harness.training import Given, fit
from benchmark.pruning.penalties import Solver, SparseGroupLasso
from benchmark.specs import Training
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import tiny_whisper

STEPS, BATCH = 6, 4
STRENGTHS: dict[str, Any] = {"l1_enc": 0.1, "l1_dec": 0.2, "group_enc": 0.3, "group_dec": 0.4}
SOLVERS: tuple[Solver, ...] = ("subgradient", "proximal")


pytestmark = pytest.mark.usefixtures("one_thread")


def material() -> Tokenised:
    """Noise, with labels of one length: so the mean over a batch is the mean of its halves' means."""
    draw = np.random.default_rng(0)
    labels = draw.integers(4, 30, size=(8, 5)).tolist()
    return Tokenised(draw.normal(size=(8, 8, 16)).astype(np.float16), labels)


def trained(penalty: SparseGroupLasso | None, batch: int = BATCH, **recipe: Any) -> tuple[View, Moments]:
    """Train a tiny model for some steps of ``BATCH`` utterances, by micro-batches of ``batch``.

    Return its view and Adam's moments. Nothing is clipped: a gradient that is too large must show.
    """
    model: Any = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12).to(device())
    view = View(model, Structure.of(model), Plan(), 0)
    made = Training(batch=batch, learning_rate=5e-3, weight_decay=0.1, clip=1e6, **recipe)
    order = stream_order(8, BATCH, 0, 0, STEPS)
    done = fit(model, material(), order, made, Given(steps=STEPS, seed=0, penalty=penalty, view=view))
    return view, done.optimizer


def weights(view: View) -> torch.Tensor:
    return torch.cat([view.parameter(matrix).detach().cpu().flatten() for matrix in view.structure.matrices])


def micro_batches(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let a Fit accumulate the gradients of so many micro-batches a step."""
    made = training._arguments

    def arguments(*given: Any) -> Any:
        result = made(*given)
        result.gradient_accumulation_steps = count
        return result

    monkeypatch.setattr(training, "_arguments", arguments)


class Watched(SparseGroupLasso):
    """Notes the precision that it is computed in, and whether autocast could change it."""

    seen: ClassVar[list[tuple[torch.dtype, bool]]] = []

    def loss(self, view: View) -> torch.Tensor:
        """The penalty, noted."""
        value = super().loss(view)
        self.seen.append((value.dtype, torch.is_autocast_enabled(value.device.type)))
        return value

    def prox_(self, view: View, step: OptimizerStep) -> None:
        """The proximal step, noted."""
        matrix = view.structure.matrices[0]
        self.seen.append((step.metric(matrix).dtype, torch.is_autocast_enabled(view.parameter(matrix).device.type)))
        super().prox_(view, step)


# --- mixed precision ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_under_bf16_the_penalty_sees_fp32_weights_and_is_computed_in_fp32(solver: Solver) -> None:
    Watched.seen.clear()
    view, _ = trained(Watched(solver=solver, **STRENGTHS), precision="bf16")
    assert Watched.seen == [(torch.float32, False)] * STEPS
    assert {view.parameter(matrix).dtype for matrix in view.structure.matrices} == {torch.float32}


@cache
def ended(solver: Solver | None, precision: Literal["fp32", "bf16"] = "fp32") -> torch.Tensor:
    """Return the weights that a Fit with that solver's penalty (None: without any) ends with."""
    penalty = SparseGroupLasso(solver=solver, **STRENGTHS) if solver else None
    return weights(trained(penalty, precision=precision)[0])


@pytest.mark.parametrize("solver", SOLVERS)
def test_bf16_ends_where_fp32_ends_within_a_twentieth_of_what_the_penalty_does(solver: Solver) -> None:
    pulled = (ended(solver) - ended(None)).abs().mean()
    apart = (ended(solver, "bf16") - ended(solver)).abs().mean()
    assert 0 < apart < 0.05 * pulled


def test_the_proximal_solver_makes_exact_zeros_under_bf16_and_nearly_the_same_ones() -> None:
    exact, rounded = ended("proximal") == 0, ended("proximal", "bf16") == 0
    assert 0.1 < exact.float().mean() < 0.9
    assert (exact ^ rounded).float().mean() < 0.02
    assert not (ended("subgradient", "bf16") == 0).any()


# --- micro-batches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_penalty_counts_once_however_many_micro_batches_a_step_has(
    solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam does not mind a gradient of twice the size, and its moments tell."""
    penalty = SparseGroupLasso(solver=solver, **STRENGTHS)
    (view, moments), free = trained(penalty), ended(None)
    micro_batches(monkeypatch, 2)
    halves, halved = trained(penalty, batch=BATCH // 2)
    torch.testing.assert_close(weights(halves), weights(view), rtol=0, atol=1e-6)
    for name, parts in moments.items():
        for part, value in parts.items():
            torch.testing.assert_close(halved[name][part], value, rtol=1e-3, atol=1e-6, msg=f"{name} {part}")
    assert (free - weights(view)).abs().max() > 0.01  # the penalty is not nothing


# --- not a number -------------------------------------------------------------------------------------------------


class Diverges(SparseGroupLasso):
    """Turns a matrix into what is not a number, at its first step or at its last."""

    late: bool = False
    steps: ClassVar[list[int]] = []

    def prox_(self, view: View, step: OptimizerStep) -> None:
        """Write it."""
        self.steps.append(0)
        if not self.late or len(self.steps) == STEPS:
            view.parameter(view.structure.matrices[3]).data.fill_(torch.nan)


@pytest.mark.parametrize(
    ("late", "said"),
    [(False, "training loss became nan"), (True, r"layers\.0\.self_attn\.out_proj\.weight is not finite")],
)
def test_a_proximal_step_that_diverges_is_an_error_by_name_even_at_the_last_step(late: bool, said: str) -> None:
    Diverges.steps.clear()
    with pytest.raises(FloatingPointError, match=said):
        trained(Diverges(solver="proximal", late=late, **STRENGTHS))


# --- sharded weights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sharding", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_sharded_weights_are_refused_with_the_reason(sharding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither runs on a CPU, so what their launchers leave on the trainer is put there by hand."""
    made = Seq2SeqTrainer.create_accelerator_and_postprocess

    def sharded(trainer: Seq2SeqTrainer) -> None:
        made(trainer)
        setattr(trainer, sharding, True)

    monkeypatch.setattr(Seq2SeqTrainer, "create_accelerator_and_postprocess", sharded)
    with pytest.raises(SpecError, match="FSDP and ZeRO-3 shard them, and a shard has no group norms"):
        trained(SparseGroupLasso(**STRENGTHS))

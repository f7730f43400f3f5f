"""What the penalty costs in memory: temporaries of one family at a time, and no gradients beside the activations."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from benchmark.api import OptimizerStep, Penalty
from benchmark.harness.batches import Tokenised, stream_order
from benchmark.harness.training import Given, fit
from benchmark.pruning.penalties import GroupKind, SparseGroupLasso, families
from benchmark.specs import Training
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.benchmarks.allocations import peak_allocated
from tests.tiny import tiny_whisper

STRENGTHS = {"l1_enc": 0.1, "l1_dec": 0.2, "group_enc": 0.3, "group_dec": 0.4}


def wide(layers: int = 3) -> View:
    size: dict[str, Any] = {"d": 64, "heads": 2, "ffn": 128, "vocab": 50, "frames": 16, "targets": 12}
    model = tiny_whisper(**size, layers=(layers, layers))
    return View(model, Structure.of(model), Plan(), seed=0)


def largest_family(view: View, kind: GroupKind) -> int:
    return 4 * max(sum(part.matrix.size for part in family.parts) for family in families(view.structure, kind))


@pytest.mark.parametrize("kind", ["column", "row", "structural"])
def test_a_penalty_never_holds_a_second_set_of_weights(kind: GroupKind) -> None:
    view = wide()
    for matrix in view.structure.matrices:
        view.parameter(matrix).grad = torch.zeros(matrix.shape)
    whole, family = 4 * view.structure.prunable, largest_family(view, kind)
    assert whole > 8 * family
    subgradient = SparseGroupLasso(groups=kind, **STRENGTHS)  # type: ignore[arg-type]
    assert family <= peak_allocated(lambda: subgradient.loss(view).backward()) < 2.5 * family
    proximal = SparseGroupLasso(groups=kind, solver="proximal", **STRENGTHS)  # type: ignore[arg-type]
    step = OptimizerStep(1e-3, lambda matrix: torch.ones(matrix.shape))
    assert 0 < peak_allocated(lambda: proximal.prox_(view, step)) < 2.5 * family


class Late(Penalty):
    """Notes whether the cross-entropy's gradients were there when the penalty's gradient was made."""

    def loss(self, view: View) -> torch.Tensor:
        """Return zero; its backward pass looks at a bias of the first layer, the last that the model's own reaches."""
        value: torch.Tensor = _Look.apply(view.parameter(view.structure.matrices[0]), view)
        return value


class _Look(torch.autograd.Function):
    seen: ClassVar[list[bool]] = []

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, view: View) -> torch.Tensor:
        ctx.shape, ctx.bias = weight.shape, view._model.get_parameter("model.encoder.layers.0.self_attn.q_proj.bias")
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor) -> Any:
        _Look.seen.append(ctx.bias.grad is not None)
        return torch.zeros(ctx.shape), None


def test_the_penaltys_gradient_is_made_when_the_activations_are_gone() -> None:
    view = wide(layers=1)
    data = Tokenised(np.random.default_rng(0).normal(size=(4, 8, 16)).astype(np.float16), [[4, 5, 6]] * 4)
    _Look.seen.clear()
    fit(
        view._model,
        data,
        stream_order(4, 2, 0, 0, 3),
        Training(batch=2),
        Given(
            steps=3,
            seed=0,
            penalty=Late(),
            view=view,
        ),
    )
    assert _Look.seen == [True] * 3

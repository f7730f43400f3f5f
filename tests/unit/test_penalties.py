"""Sparse Group LASSO against naive loops, and its proximal step against a generic solver in the same metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from benchmark.api import OptimizerStep
from benchmark.harness.batches import Tokenised, stream_order
from benchmark.harness.optimizer import adam_metric, make_optimizer
from benchmark.harness.training import Given, fit
from benchmark.pruning.penalties import GroupKind, SparseGroupLasso, families
from benchmark.specs import Training
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Matrix, Structure
from benchmark.whisper.view import View
from tests.tiny import tiny_whisper

KINDS: tuple[GroupKind, ...] = ("column", "row", "head", "ffn_neuron", "structural")
STRENGTHS = {"l1_enc": 0.1, "l1_dec": 0.2, "group_enc": 0.3, "group_dec": 0.4}


def tiny(**changes: Any) -> View:
    size: dict[str, Any] = {"d": 16, "layers": (1, 1), "heads": 2, "ffn": 8, "vocab": 50, "frames": 16, "targets": 12}
    model = tiny_whisper(**{**size, **changes}).double()
    return View(model, Structure.of(model), Plan(), seed=0)


def entries(view: View, kind: GroupKind) -> list[tuple[str, bool, list[tuple[Matrix, torch.Tensor]]]]:
    """Return every group written out: its stack, whether its norm counts, and its entries of which matrices."""
    found: dict[tuple[Any, ...], tuple[str, bool, list[tuple[Matrix, torch.Tensor]]]] = {}
    for matrix in view.structure.matrices:
        whole = view.structure.group(matrix.group).kind in (kind, "head" if kind == "structural" else kind) or (
            kind == "structural"
        )
        axis = matrix.axis if whole else 0 if kind == "row" else 1
        width = matrix.width if whole else 1
        for member in range(matrix.shape[axis] // width):
            mine = torch.zeros(matrix.shape, dtype=torch.bool)
            part = slice(member * width, (member + 1) * width)
            mine[(part, slice(None)) if axis == 0 else (slice(None), part)] = True
            key = (matrix.group, member) if whole else (matrix.name, member)
            counts = whole or kind in ("column", "row")
            found.setdefault(key, (matrix.stack[:3], counts, []))[2].append((matrix, mine))
    return list(found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_is_in_exactly_one_group(kind: GroupKind) -> None:
    view = tiny()
    seen = {matrix.name: 0 for matrix in view.structure.matrices}
    for family in families(view.structure, kind):
        members = {part.totals(torch.ones(part.matrix.shape)).numel() for part in family.parts}
        assert len(members) == 1
        total = sum(part.totals(torch.ones(part.matrix.shape)) for part in family.parts)
        assert torch.equal(total, torch.full_like(total, family.size))
        for part in family.parts:
            seen[part.matrix.name] += 1
    assert set(seen.values()) == {1}


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_and_its_gradient_equal_a_naive_loop(kind: GroupKind, weighted: bool) -> None:
    view = tiny()
    names = [matrix.name for matrix in view.structure.matrices]
    value = SparseGroupLasso(groups=kind, size_weighted=weighted, **STRENGTHS).loss(view)  # type: ignore[arg-type]
    ours = torch.autograd.grad(value, [view.parameter(matrix) for matrix in view.structure.matrices])
    naive = torch.zeros((), dtype=torch.float64)
    for stack, counts, parts in entries(view, kind):
        values = torch.cat([view.parameter(matrix)[mine] for matrix, mine in parts])
        naive = naive + STRENGTHS[f"l1_{stack}"] * values.abs().sum()
        if counts:
            naive = naive + STRENGTHS[f"group_{stack}"] * (values.numel() ** 0.5 if weighted else 1) * values.norm()
    expected = torch.autograd.grad(naive, [view.parameter(matrix) for matrix in view.structure.matrices])
    assert value.item() == pytest.approx(naive.item(), rel=1e-5)
    for name, a, b in zip(names, ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_the_squared_norm_is_ridge_and_knows_no_groups() -> None:
    view = tiny()
    value = SparseGroupLasso(norm="frobenius_squared", group_enc=0.3, group_dec=0.4).loss(view)
    ridge: Any = sum(
        STRENGTHS[f"group_{matrix.stack[:3]}"] * view.parameter(matrix).square().sum()
        for matrix in view.structure.matrices
    )
    assert value.item() == pytest.approx(ridge.item(), rel=1e-5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ridge and knows no groups"):
        SparseGroupLasso(norm="frobenius_squared", groups="head")
    with pytest.raises(ValueError, match="no exact zeros"):
        SparseGroupLasso(norm="frobenius_squared", solver="proximal")


# --- the proximal step --------------------------------------------------------------------------------------------


def solved(weights: np.ndarray, eta: float, l1: float, strength: float) -> np.ndarray:
    """Minimise ``|x - w|^2 / (2 eta) + l1 |x|_1 + strength |x|_2`` by a generic solver: x = p - n, both at least 0."""
    size = len(weights)

    def objective(both: np.ndarray) -> float:
        x = both[:size] - both[size:]
        return float(
            ((x - weights) ** 2).sum() / (2 * eta) + l1 * both.sum() + strength * np.sqrt((x**2).sum() + 1e-18)
        )

    start = np.concatenate([np.clip(weights, 0, None), np.clip(-weights, 0, None)])
    options = {"maxiter": 20_000, "maxfun": 200_000, "ftol": 1e-15, "gtol": 1e-12}
    best = minimize(objective, start, method="L-BFGS-B", bounds=[(0, None)] * (2 * size), options=options)
    return np.asarray(best.x[:size] - best.x[size:])


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("kind", ["column", "row", "head", "ffn_neuron"])
def test_the_proximal_step_is_what_a_generic_solver_finds(kind: GroupKind, weighted: bool) -> None:
    view = tiny(d=4, ffn=3, heads=2)
    draw = torch.Generator().manual_seed(1)
    metric = {m.name: 0.5 + torch.rand(m.shape, generator=draw, dtype=torch.float64) for m in view.structure.matrices}
    before = {m.name: view.parameter(m).detach().clone() for m in view.structure.matrices}
    lr = 0.8
    penalty = SparseGroupLasso(groups=kind, solver="proximal", size_weighted=weighted, **STRENGTHS)  # type: ignore[arg-type]
    penalty.prox_(view, OptimizerStep(lr, lambda matrix: metric[matrix.name]))
    for stack, counts, parts in entries(view, kind)[::3]:
        weights = torch.cat([before[matrix.name][mine] for matrix, mine in parts]).numpy()
        eta = lr / float(torch.cat([metric[matrix.name][mine] for matrix, mine in parts]).mean())
        strength = STRENGTHS[f"group_{stack}"] * (len(weights) ** 0.5 if weighted else 1) * counts
        expected = solved(weights, eta, STRENGTHS[f"l1_{stack}"], strength)
        found = torch.cat([view.parameter(matrix).detach()[mine] for matrix, mine in parts]).numpy()
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_dead_groups_stay_dead_and_nothing_is_nan() -> None:
    view = tiny()
    for matrix in view.structure.matrices:
        view.parameter(matrix).data[:, 0] = 0
    penalty = SparseGroupLasso(solver="proximal", **STRENGTHS)  # type: ignore[arg-type]
    penalty.prox_(view, OptimizerStep(1e-3, lambda matrix: torch.full(matrix.shape, 1e-6)))
    for matrix in view.structure.matrices:
        assert torch.isfinite(view.parameter(matrix)).all() and not view.parameter(matrix)[:, 0].any()


# --- in training --------------------------------------------------------------------------------------------------


def trained(penalty: SparseGroupLasso | None, monkeypatch: pytest.MonkeyPatch | None = None, **recipe: Any) -> View:
    model = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12)
    draw = np.random.default_rng(0)
    data = Tokenised(draw.normal(size=(6, 8, 16)).astype(np.float16), [[4, 5, 6]] * 6)
    view = View(model, Structure.of(model), Plan(), 0)
    settings = Training(batch=2, learning_rate=1e-2, **recipe)
    fit(model, data, stream_order(6, 2, 0, 0, 12), settings, Given(steps=12, seed=0, penalty=penalty, view=view))
    return view


def zeros(view: View) -> int:
    return sum(int((view.parameter(matrix) == 0).sum()) for matrix in view.structure.matrices)


def dead_columns(view: View) -> int:
    return sum(int((view.parameter(matrix) == 0).all(dim=0).sum()) for matrix in view.structure.matrices)


def test_the_proximal_solver_makes_exact_zeros_and_the_subgradient_none() -> None:
    strengths = dict.fromkeys(STRENGTHS, 0.05)
    assert zeros(trained(SparseGroupLasso(solver="subgradient", **strengths))) == 0  # type: ignore[arg-type]
    by_prox = trained(SparseGroupLasso(solver="proximal", **strengths))  # type: ignore[arg-type]
    assert zeros(by_prox) > 0 and dead_columns(by_prox) > 0


def test_a_skipped_step_skips_the_proximal_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import Accelerator

    penalty = SparseGroupLasso(solver="proximal", group_enc=1.0, group_dec=1.0)
    monkeypatch.setattr(Accelerator, "optimizer_step_was_skipped", property(lambda _: True))
    assert zeros(trained(penalty)) == 0
    monkeypatch.undo()
    assert zeros(trained(penalty)) > 0


def test_the_metric_is_what_adam_divided_by() -> None:
    parameter = torch.nn.Parameter(torch.tensor([[1.0, -2.0], [3.0, 0.5]]))
    model = torch.nn.ParameterDict({"w": parameter})
    adam = make_optimizer(model, Training(learning_rate=0.1, weight_decay=0.0), None)
    gradients = [torch.tensor([[0.3, 1.0], [-2.0, 0.1]]), torch.tensor([[0.1, -1.0], [0.5, 0.2]])]
    first = torch.zeros_like(parameter)
    for step, gradient in enumerate(gradients, start=1):
        before = parameter.detach().clone()
        parameter.grad = gradient
        adam.step()
        first = 0.9 * first + 0.1 * gradient
        moved = 0.1 * (first / (1 - 0.9**step)) / adam_metric(adam, parameter)
        torch.testing.assert_close(before - parameter.detach(), moved, rtol=1e-4, atol=1e-7)


def test_penalised_weights_have_no_weight_decay_besides() -> None:
    model = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12)
    names = {matrix.name for matrix in Structure.of(model).matrices}
    adam = make_optimizer(model, Training(weight_decay=0.1), None, names)
    decay = {id(p): group["weight_decay"] for group in adam.param_groups for p in group["params"]}
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name: decay[id(p)] for name, p in trainable.items()} == {n: 0.0 if n in names else 0.1 for n in trainable}

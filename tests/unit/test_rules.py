"""Rules and budgets against naive loops and Torch-Pruning."""

from __future__ import annotations

import pytest
import torch

from benchmark.api import Budget
from benchmark.errors import BudgetMissedError, SpecError
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.budgets import check_budget
from benchmark.pruning.groups import L1Groups, RandomGroups, per_member
from benchmark.pruning.penalties import SparseGroupLasso
from benchmark.pruning.propagation import propagated
from benchmark.pruning.weights import MagnitudeWeights, RandomWeights
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import tiny_whisper


@pytest.fixture(scope="module")
def view() -> View:
    model = tiny_whisper(d=32, layers=(2, 2), heads=4, ffn=64, vocab=100)
    return View(model, Structure.of(model), Plan(), seed=3)


def nominal(keep: float) -> Budget:
    return Budget(kind="prunable_nominal", keep=keep)


def stored(keep: float) -> Budget:
    return Budget(kind="prunable_stored", keep=keep)


def test_magnitude_keeps_what_a_sorted_list_keeps(view: View) -> None:
    plan = MagnitudeWeights(budget=nominal(0.37)).decide(view)
    everything = [
        (abs(float(value)), matrix.name, place)
        for matrix in view.structure.matrices
        for place, value in enumerate(view.weight(matrix).flatten().tolist())
    ]
    everything.sort(reverse=True)
    wanted = {(name, place) for _, name, place in everything[: round(0.37 * view.structure.prunable)]}
    got = {
        (matrix.name, place)
        for matrix in view.structure.matrices
        for place in plan.mask(matrix).flatten().nonzero().flatten().tolist()
    }
    assert got == wanted


def test_magnitude_within_layers_gives_every_matrix_the_same_share(view: View) -> None:
    plan = MagnitudeWeights(budget=nominal(0.25), scope="layer").decide(view)
    for matrix in view.structure.matrices:
        assert int(plan.mask(matrix).sum()) == round(0.25 * matrix.size)


@pytest.mark.parametrize("keep", [0.8, 0.5, 0.2])
@pytest.mark.parametrize(
    "rule",
    [
        MagnitudeWeights(),
        RandomWeights(),
        WeightAdaptive(),
        WeightAdaptive(rho=0.99, beta=0.99),
        WeightAdaptive(scale="mad"),
        WeightAdaptive(weight_pass=False),
        WeightAdaptive(group_pass=False),
        WeightAdaptive(groups="structural"),
    ],
)
def test_nominal_budgets_are_met_to_the_weight(view: View, rule: MagnitudeWeights, keep: float) -> None:
    plan = rule.model_copy(update={"budget": nominal(keep)}).decide(view)
    target = round(keep * view.structure.prunable)
    left = propagated(view, plan).nonzero(view.structure)
    if left == plan.nonzero(view.structure):
        assert left == target
    else:  # the last weights that were trimmed may take dead parts with them
        assert abs(left - target) <= max(0.01 * target, rule.smallest(view.structure))


@pytest.mark.parametrize("keep", [0.9, 0.6, 0.35])
@pytest.mark.parametrize("rule", [L1Groups(), RandomGroups(), WeightAdaptive(groups="structural")])
def test_stored_budgets_are_met_within_half_a_neuron(view: View, rule: L1Groups, keep: float) -> None:
    plan = rule.model_copy(update={"budget": stored(keep)}).decide(view)
    plan.validate(view.structure)
    check_budget(plan, view.structure, stored(keep), rule.smallest(view.structure))
    for group in view.structure.groups:
        assert len(plan.kept.get(group.key, torch.arange(group.count))) >= 1


def test_a_second_pruning_never_brings_a_weight_back(view: View) -> None:
    first = MagnitudeWeights(budget=nominal(0.6)).decide(view)
    again = View(view._model, view.structure, first, seed=3)
    later = RandomWeights(budget=nominal(0.3)).decide(again)
    both = again.plan.then(later)
    for matrix in view.structure.matrices:
        assert not (both.mask(matrix) & ~first.mask(matrix)).any()
    assert both.nonzero(view.structure) == round(0.3 * view.structure.prunable)


def test_member_norms_equal_a_naive_loop(view: View) -> None:
    group = view.structure.groups[0]
    got = per_member(view, group, "abs")
    for member in range(group.count):
        total = 0.0
        for matrix in view.structure.matrices_of(group.key):
            rows = slice(member * matrix.width, (member + 1) * matrix.width)
            weight = view.weight(matrix)
            total += float((weight[rows] if matrix.axis == 0 else weight[:, rows]).abs().double().sum())
        assert float(got[member]) == pytest.approx(total, rel=1e-6)


def test_l1_ranks_ffn_neurons_as_torch_pruning_does() -> None:
    import torch_pruning as tp

    model = tiny_whisper(d=32, layers=(1, 1), heads=4, ffn=64, vocab=100)
    view = View(model, Structure.of(model), Plan(), seed=0)
    layer = model.model.encoder.layers[0]
    block = torch.nn.Sequential(layer.fc1, torch.nn.GELU(), layer.fc2)
    graph = tp.DependencyGraph().build_dependency(block, torch.randn(1, 32))
    group = graph.get_pruning_group(layer.fc1, tp.prune_linear_out_channels, idxs=list(range(64)))
    importance = tp.importance.GroupMagnitudeImportance(p=1, group_reduction="sum", normalizer=None, bias=False)
    ours = per_member(view, view.structure.group("model.encoder.layers.0.ffn"), "abs")
    torch.testing.assert_close(importance(group).double(), ours, rtol=1e-5, atol=0)


def test_adaptive_thresholds_are_those_of_a_naive_loop(view: View) -> None:
    rule = WeightAdaptive(alpha=0.5, rho=0.95, beta=0.95)
    plan = rule.decide(view)
    for matrix in view.structure.matrices[:6]:
        weight = view.weight(matrix)
        alive = weight.abs() >= 0.5 * weight.std(correction=0)
        share = [float(alive[:, column].float().mean()) for column in range(weight.shape[1])]
        norm = [float((weight * alive)[:, column].norm()) for column in range(weight.shape[1])]
        limits = 0.95 * sum(share) / len(share), 0.95 * sum(norm) / len(norm)
        for column in range(weight.shape[1]):
            dead = share[column] < limits[0] or norm[column] < limits[1]
            expected = torch.zeros_like(alive[:, column]) if dead else alive[:, column]
            assert torch.equal(plan.mask(matrix)[:, column], expected)


def test_a_budget_that_is_missed_says_by_how_much(view: View) -> None:
    plan = MagnitudeWeights(budget=nominal(0.5)).decide(view)
    with pytest.raises(BudgetMissedError, match=r"reached 0\.5000 .* off by \+0\.1000"):
        check_budget(plan, view.structure, nominal(0.4))


def test_a_rule_without_an_operating_point_wants_a_budget(view: View) -> None:
    with pytest.raises(SpecError, match="no operating point"):
        MagnitudeWeights().decide(view)


@pytest.mark.parametrize("groups", ["column", "structural"])
def test_penalty_and_its_gradient_equal_a_naive_loop(groups: str) -> None:
    model = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=8, vocab=50).double()
    view = View(model, Structure.of(model), Plan(), seed=0)
    strengths = {"l1_enc": 0.1, "l1_dec": 0.2, "group_enc": 0.3, "group_dec": 0.4}
    penalty = SparseGroupLasso(groups=groups, **strengths)  # type: ignore[arg-type]
    value = penalty.loss(view)
    names = [matrix.name for matrix in view.structure.matrices]
    ours = torch.autograd.grad(value, [model.get_parameter(name) for name in names])

    naive = torch.zeros((), dtype=torch.float64)
    squares: dict[tuple[str, int], list[torch.Tensor]] = {}
    for matrix in view.structure.matrices:
        weight, short = model.get_parameter(matrix.name), matrix.stack[:3]
        naive = naive + strengths[f"l1_{short}"] * weight.abs().sum()
        if groups == "column":
            for column in range(matrix.shape[1]):
                naive = naive + strengths[f"group_{short}"] * matrix.shape[0] ** 0.5 * weight[:, column].norm()
        else:
            for member in range(view.structure.group(matrix.group).count):
                part = slice(member * matrix.width, (member + 1) * matrix.width)
                entries = weight[part] if matrix.axis == 0 else weight[:, part]
                squares.setdefault((matrix.group, member), []).append(entries.square().sum())
    for (key, _), parts in squares.items():
        group = view.structure.group(key)
        naive = naive + strengths[f"group_{group.stack[:3]}"] * group.weights**0.5 * sum(parts).sqrt()  # type: ignore
    expected = torch.autograd.grad(naive, [model.get_parameter(name) for name in names])
    assert value.item() == pytest.approx(naive.item(), rel=1e-5)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_dead_group_has_no_nan_in_its_gradient() -> None:
    model = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=8, vocab=50)
    with torch.no_grad():
        model.model.encoder.layers[0].fc2.weight[:, 3] = 0
    view = View(model, Structure.of(model), Plan(), seed=0)
    SparseGroupLasso(group_enc=1.0).loss(view).backward()
    assert torch.isfinite(model.model.encoder.layers[0].fc2.weight.grad).all()

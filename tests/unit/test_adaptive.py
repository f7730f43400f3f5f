"""The two-pass rule against plain loops: thresholds as given, thresholds scaled to a budget, and what is trimmed."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from benchmark.api import Budget
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.adaptive_scores import Scores
from benchmark.pruning.weights import MagnitudeWeights
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Group, Structure
from benchmark.whisper.view import View
from tests.tiny import tiny_whisper

without_propagation = functools.partial(WeightAdaptive, propagate=False)
"""The loops below know nothing of what dies with dead parts (tests/unit/test_propagation.py)."""
Masks = dict[str, np.ndarray]
Piece = tuple[str, tuple[slice, slice]]
"""A part of a matrix: its name, and the rows and columns."""
Family = list[list[Piece]]
"""Members that are compared with each other; a member is all its pieces."""


def model_of_many_scales(zeros: bool) -> WhisperForConditionalGeneration:
    """Return a model whose columns, heads and neurons differ in size, and in how many of their weights are small."""
    model = tiny_whisper(d=8, layers=(1, 1), heads=4, ffn=12, vocab=40)
    draw = torch.Generator().manual_seed(2)
    structure = Structure.of(model)
    with torch.no_grad():
        for matrix in structure.matrices:
            weight = model.get_parameter(matrix.name)
            size = torch.randn(matrix.shape[1], generator=draw).mul(0.4).exp()[None, :]
            count = structure.group(matrix.group).count
            member = torch.randn(count, generator=draw).mul(0.4).exp().repeat_interleave(matrix.width)
            weight.mul_(size).mul_(member[:, None] if matrix.axis == 0 else member[None, :])
            weight.mul_(torch.where(torch.rand(matrix.shape, generator=draw) < 0.3, 0.05, 1.0))
            if zeros:
                weight.view(-1)[[1, 3, 4]] = 0.0  # an odd number is left, whose median is not a matter of taste
    return model


def pruned_before(structure: Structure) -> Plan:
    """Return a plan that has taken heads, neurons, and an even number of other weights of every matrix."""
    draw, masks = np.random.default_rng(5), {}
    kept = {g.key: torch.arange(g.count)[:-1] for g in structure.groups if g.stack == "decoder"}
    for matrix in structure.matrices:
        alive = Plan(kept).mask(matrix).flatten().numpy()
        mask = np.ones(matrix.size, dtype=bool)
        mask[draw.choice(alive.nonzero()[0][5:], size=matrix.size // 10 * 2, replace=False)] = False
        masks[matrix.name] = torch.from_numpy(mask.reshape(matrix.shape))
    return Plan(kept, masks)


@functools.cache
def a_view(pruned: bool = False, zeros: bool = False) -> View:
    model = model_of_many_scales(zeros)
    structure = Structure.of(model)
    return View(model, structure, pruned_before(structure) if pruned else Plan(), seed=0)


# --- the rule in plain loops ------------------------------------------------------------------------------------------


def naive_scores(view: View, rule: WeightAdaptive) -> Masks:
    """Return every weight's size in spreads of its matrix, the spread over what is alive; -1 where pruned before."""
    result = {}
    everything = [
        float(value)
        for matrix in view.structure.matrices
        for value in view.weight(matrix).double()[view.plan.mask(matrix)]
    ]
    for matrix in view.structure.matrices:
        weight, alive = view.weight(matrix).double().numpy(), view.plan.mask(matrix).numpy()
        living = [float(value) for value in weight[alive]]
        if rule.scale == "std":
            spread = statistics.pstdev(living)
        elif rule.scale == "fixed":
            spread = statistics.pstdev(everything)
        else:  # over what is not zero, and comparable to the deviation of a Gaussian
            living = [value for value in living if value != 0]
            middle = statistics.median(living)
            spread = statistics.median([abs(value - middle) for value in living]) / statistics.NormalDist().inv_cdf(
                0.75
            )
        result[matrix.name] = np.where(alive, abs(weight) / spread, -1.0)
    return result


def pieces(structure: Structure, group: Group, member: int) -> list[Piece]:
    entries = slice(member * group.width, (member + 1) * group.width)
    everything = slice(None)
    return [
        (matrix.name, (entries, everything) if matrix.axis == 0 else (everything, entries))
        for matrix in structure.matrices_of(group.key)
    ]


def families(view: View, rule: WeightAdaptive) -> list[Family]:
    """Return the columns of each matrix, or the members of each group that are still alive."""
    structure = view.structure
    if rule.groups == "column":
        everything = slice(None)
        return [[[(m.name, (everything, slice(j, j + 1)))] for j in range(m.shape[1])] for m in structure.matrices]
    return [
        [pieces(structure, g, i) for i in view.plan.kept.get(g.key, torch.arange(g.count)).tolist()]
        for g in structure.groups
    ]


def naive_ratios(view: View, rule: WeightAdaptive, masks: Masks, family: Family) -> list[float]:
    """Return how far each member is above its thresholds: 1 is just enough."""
    weights = {matrix.name: view.weight(matrix).double().numpy() for matrix in view.structure.matrices}
    shares, norms = [], []
    for member in family:
        shares.append(sum(int(masks[name][at].sum()) for name, at in member))
        norms.append(sum(float((weights[name][at] ** 2)[masks[name][at]].sum()) for name, at in member) ** 0.5)
    ratios = []
    for share, norm in zip(shares, norms, strict=True):
        terms = [np.inf]
        if rule.rho:
            terms.append(share / (rule.rho * statistics.fmean(shares)))
        if rule.beta:
            terms.append(norm / (rule.beta * statistics.fmean(norms)))
        ratios.append(float(min(terms)))
    return ratios


def naive_passes(view: View, rule: WeightAdaptive, threshold: float, factor: float = 1.0) -> Masks:
    """Return both passes: weights below the threshold go, then members below ``factor``; the best of a family stays."""
    masks = {name: score >= threshold for name, score in naive_scores(view, rule).items()}
    result = {name: mask.copy() for name, mask in masks.items()}
    for family in families(view, rule):
        ratios = naive_ratios(view, rule, masks, family)
        for place, (member, ratio) in enumerate(zip(family, ratios, strict=True)):
            if ratio < factor and place != ratios.index(max(ratios)):
                for name, at in member:
                    result[name][at] = False
    return result


def trimmed(masks: Masks, scores: Masks, target: int) -> Masks:
    """Return the masks with only the ``target`` highest-scored of their weights."""
    held = sorted((float(s) for name, mask in masks.items() for s in scores[name][mask]), reverse=True)
    return {name: mask & (scores[name] >= held[target - 1]) for name, mask in masks.items()}


def count(masks: Masks) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def sparsest(masks_at: Callable[[float], Masks], critical: list[float], target: int) -> Masks:
    """Return the masks at the highest of the critical values that still leaves ``target`` weights."""
    low, high = 0, len(critical)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(masks_at(critical[middle])) >= target else (low, middle)
    return masks_at(critical[low])


def assert_keeps(view: View, plan: Plan, expected: Masks) -> None:
    whole = view.plan.then(plan)
    for matrix in view.structure.matrices:
        np.testing.assert_array_equal(whole.mask(matrix).numpy(), expected[matrix.name], err_msg=matrix.name)


# --- thresholds as given ----------------------------------------------------------------------------------------------

THRESHOLDS = [(0.9, 0.9), (0.95, 0.0), (0.0, 0.9), (0.5, 1.05), (1.05, 0.5), (50.0, 50.0)]


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("scale", ["std", "mad", "fixed"])
@pytest.mark.parametrize(("rho", "beta"), THRESHOLDS)
@pytest.mark.parametrize("groups", ["column", "structural"])
def test_without_a_budget_both_passes_are_those_of_a_plain_loop(
    groups: str, rho: float, beta: float, scale: str, pruned: bool
) -> None:
    view = a_view(pruned, zeros=True)
    rule = WeightAdaptive.model_validate({"alpha": 0.6, "rho": rho, "beta": beta, "groups": groups, "scale": scale})
    assert_keeps(view, rule.decide(view), naive_passes(view, rule, rule.alpha))


@pytest.mark.parametrize("pruned", [False, True])
def test_removed_heads_and_neurons_leave_the_plan_as_wholes(pruned: bool) -> None:
    view = a_view(pruned)
    rule = without_propagation(alpha=0.6, rho=0.9, beta=0.9, groups="structural")
    plan = view.plan.then(rule.decide(view))
    expected = naive_passes(view, rule, rule.alpha)
    for group in view.structure.groups:
        lives = [
            any(expected[name][at].any() for name, at in pieces(view.structure, group, member))
            for member in range(group.count)
        ]
        assert plan.kept[group.key].tolist() == [member for member, alive in enumerate(lives) if alive]


@pytest.mark.parametrize(("alpha", "tau"), [(0.6, 0.5), (0.3, 0.7), (0.0, 0.4)])
def test_one_threshold_for_all_matrices_still_has_the_floor_of_each_kind(alpha: float, tau: float) -> None:
    view = a_view(pruned=True, zeros=True)
    plan = view.plan.then(without_propagation(alpha=alpha, tau=tau, scale="fixed", group_pass=False).decide(view))
    matrices = view.structure.matrices
    living = {m.name: view.weight(m).double()[view.plan.mask(m)].tolist() for m in matrices}
    everything = statistics.pstdev([value for values in living.values() for value in values])
    for matrix in matrices:
        alike = [value for other in matrices if other.kind == matrix.kind for value in living[other.name]]
        threshold = max(alpha * everything, tau * statistics.pstdev(alike))
        expected = view.plan.mask(matrix) & (view.weight(matrix).abs().double() >= threshold)
        assert torch.equal(plan.mask(matrix), expected), matrix.name


@pytest.mark.parametrize("keep", [0.9, 0.7])
def test_one_threshold_for_all_matrices_ranks_as_magnitude_does(keep: float) -> None:
    model = tiny_whisper()
    structure, draw = Structure.of(model), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for place, matrix in enumerate(structure.matrices):
            model.get_parameter(matrix.name).copy_(torch.randn(matrix.shape, generator=draw) * (1 + place % 7))
    view, budget = View(model, structure, Plan(), seed=0), Budget(kind="prunable_nominal", keep=keep)
    found = WeightAdaptive(scale="fixed", group_pass=False, budget=budget).decide(view)
    assert found.nonzero(structure) == round(keep * structure.prunable)
    assert found == MagnitudeWeights(budget=budget).decide(view)
    own = WeightAdaptive(scale="std", group_pass=False, budget=budget).decide(view)
    assert own != found, "a model in which following each matrix makes a difference"


def test_one_threshold_for_all_matrices_tells_the_closest_weights_apart() -> None:
    """Weights one unit in the last place apart, whose quotients with the spread would often be equal in fp32."""
    model = tiny_whisper(d=8, layers=(1, 1), heads=2, ffn=12, vocab=40)
    structure, draw = Structure.of(model), torch.Generator().manual_seed(4)
    steps = torch.randperm(structure.prunable, generator=draw).split([m.size for m in structure.matrices])
    with torch.no_grad():
        for matrix, part in zip(structure.matrices, steps, strict=True):
            model.get_parameter(matrix.name).copy_(1.99 + part.reshape(matrix.shape) * 2.0**-23)
    scores = Scores(View(model, structure, Plan(), seed=0), WeightAdaptive(scale="fixed"))
    found = torch.cat([score.flatten() for score in scores.weights])
    assert torch.equal(found.argsort(), torch.cat(list(steps)).argsort())
    assert found.unique().numel() == structure.prunable


# --- thresholds scaled to a budget ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "keep", "pruned"),
    [
        ("column", 0.7, False),
        ("column", 0.65, False),
        ("column", 0.4, False),
        ("structural", 0.75, False),
        ("structural", 0.55, False),
        ("column", 0.5, True),
        ("column", 0.35, True),
        ("structural", 0.55, True),
    ],
)
def test_a_nominal_budget_scales_the_weight_pass_and_trims_by_score(groups: str, keep: float, pruned: bool) -> None:
    """In these cases the budget is crossed at one threshold only, so there is one answer."""
    view, budget = a_view(pruned), Budget(kind="prunable_nominal", keep=keep)
    rule = WeightAdaptive.model_validate(
        {"rho": 0.7, "beta": 0.5, "groups": groups, "budget": budget, "propagate": False}
    )
    scores, target = naive_scores(view, rule), round(keep * view.structure.prunable)
    critical = sorted({float(s) for score in scores.values() for s in score.flatten() if s >= 0})
    passes = sparsest(lambda threshold: naive_passes(view, rule, threshold), critical, target)
    assert count(passes) >= target
    assert_keeps(view, rule.decide(view), trimmed(passes, scores, target))


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("groups", ["column", "structural"])
def test_a_group_pass_that_takes_too_much_is_scaled_down(groups: str, pruned: bool) -> None:
    view, budget = a_view(pruned), Budget(kind="prunable_nominal", keep=0.6)
    rule = WeightAdaptive.model_validate(
        {"rho": 0.99, "beta": 1.2, "groups": groups, "budget": budget, "propagate": False}
    )
    scores, target = naive_scores(view, rule), round(0.6 * view.structure.prunable)
    alive = {name: score >= 0 for name, score in scores.items()}
    assert count(naive_passes(view, rule, 0.0)) < target
    critical = sorted({0.0}.union(*(naive_ratios(view, rule, alive, family) for family in families(view, rule))))
    passes = sparsest(lambda factor: naive_passes(view, rule, 0.0, factor), critical, target)
    assert_keeps(view, rule.decide(view), trimmed(passes, scores, target))


def test_trimming_takes_the_lowest_scores_even_where_most_are_equal() -> None:
    """With few distinct weights, a threshold frees hundreds at once, so that much is left to trim."""
    model = tiny_whisper(d=8, layers=(1, 1), heads=2, ffn=12, vocab=40)
    structure = Structure.of(model)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for matrix in structure.matrices:
            model.get_parameter(matrix.name).copy_(torch.randint(1, 4, matrix.shape, generator=draw))
    view = View(model, structure, Plan(), seed=0)
    for keep in (0.9, 0.55, 0.2):
        rule = without_propagation(group_pass=False, budget=Budget(kind="prunable_nominal", keep=keep))
        plan, scores = rule.decide(view), naive_scores(view, rule)
        held = sorted(float(s) for m in structure.matrices for s in scores[m.name][plan.mask(m).numpy()])
        everything = sorted(float(s) for score in scores.values() for s in score.flatten())
        np.testing.assert_allclose(held, everything[-round(keep * structure.prunable) :])


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("weight_pass", [True, False])
@pytest.mark.parametrize("keep", [0.65, 0.5])
def test_a_stored_budget_removes_the_lowest_heads_and_neurons(keep: float, weight_pass: bool, pruned: bool) -> None:
    view = a_view(pruned)
    structure, budget = view.structure, Budget(kind="prunable_stored", keep=keep)
    rule = without_propagation(groups="structural", alpha=0.6, budget=budget, weight_pass=weight_pass)
    plan = view.plan.then(rule.decide(view))
    survivors = {n: s >= (rule.alpha if weight_pass else 0.0) for n, s in naive_scores(view, rule).items()}
    left: dict[str, list[float]] = {"head": [], "ffn_neuron": []}
    gone: dict[str, list[float]] = {"head": [], "ffn_neuron": []}
    for group, family in zip(structure.groups, families(view, rule), strict=True):
        members = view.plan.kept.get(group.key, torch.arange(group.count)).tolist()
        kept = set(plan.kept[group.key].tolist())
        ratios = naive_ratios(view, rule, survivors, family)
        assert members[ratios.index(max(ratios))] in kept  # the best of a layer always stays
        for member, ratio in zip(members, ratios, strict=True):
            if ratio != max(ratios):
                (left if member in kept else gone)[group.kind].append(ratio)
    for kind in left:
        assert left[kind] and gone[kind], "a case in which some of this kind go and some stay"
        assert min(left[kind]) >= max(gone[kind])
    for matrix in structure.matrices:
        expected = survivors[matrix.name] & Plan(plan.kept).mask(matrix).numpy()
        np.testing.assert_array_equal(plan.mask(matrix).numpy(), expected)

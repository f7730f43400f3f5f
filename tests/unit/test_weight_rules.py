"""Rules over single weights against plain loops: what they rank by, within what, and how chance draws."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

from benchmark.api import Budget
from benchmark.pruning import weights
from benchmark.pruning.applying import prune_
from benchmark.pruning.propagation import propagated
from benchmark.pruning.weights import MagnitudeWeights, RandomColumns, RandomWeights, Scope, erdos_renyi
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import random_plan, tiny_whisper

Place = tuple[str, int]
SCOPES: list[Scope] = ["global", "layer"]
DRAWS = 300


def nominal(keep: float) -> Budget:
    return Budget(kind="prunable_nominal", keep=keep)


@pytest.fixture(scope="module", params=[None, 4], ids=["dense", "pruned before"])
def view(request: pytest.FixtureRequest) -> View:
    """Matrices of very different sizes of weights, so that it matters what is ranked together."""
    model = tiny_whisper(d=16, layers=(1, 1), heads=4, ffn=24, vocab=40)
    structure = Structure.of(model)
    with torch.no_grad():
        for place, matrix in enumerate(structure.matrices):
            model.get_parameter(matrix.name).mul_(1 + place % 5)
    return View(model, structure, Plan() if request.param is None else random_plan(structure, request.param), seed=0)


def places(plan: Plan, structure: Structure) -> set[Place]:
    return {
        (matrix.name, place)
        for matrix in structure.matrices
        for place, kept in enumerate(plan.mask(matrix).flatten().tolist())
        if kept
    }


def ranked_only(keep: float) -> Budget:
    """Return a budget so wide that what dies does not matter: what is kept is what is asked for, to the weight."""
    return Budget(kind="prunable_nominal", keep=keep, tolerance=0.9)


def naive_kept(view: View, keep: float, scope: Scope) -> set[Place]:
    """Rank all weights in one list, or those of each matrix; what was pruned before counts and cannot be kept."""
    lists: list[list[tuple[float, Place]]] = []
    for matrix in view.structure.matrices:
        alive = view.plan.mask(matrix).flatten().tolist()
        values = view.weight(matrix).flatten().tolist()
        lists.append([(abs(w) if alive[place] else -1.0, (matrix.name, place)) for place, w in enumerate(values)])
    kept: set[Place] = set()
    for ranked in [list(itertools.chain(*lists))] if scope == "global" else lists:
        best = sorted(ranked, key=lambda item: -item[0])[: round(keep * len(ranked))]
        kept |= {place for size, place in best if size >= 0}
    return kept


@pytest.mark.parametrize("keep", [0.9, 0.55, 0.1])
@pytest.mark.parametrize("scope", SCOPES)
def test_magnitude_keeps_the_largest_weights_of_its_scope(view: View, scope: Scope, keep: float) -> None:
    plan = view.plan.then(MagnitudeWeights(budget=ranked_only(keep), scope=scope).decide(view))
    assert places(plan, view.structure) == naive_kept(view, keep, scope)


def test_the_scopes_of_magnitude_differ(view: View) -> None:
    assert naive_kept(view, 0.5, "global") != naive_kept(view, 0.5, "layer")


# --- chance -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SCOPES)
def draws(request: pytest.FixtureRequest) -> torch.Tensor:
    """A quarter of all weights, drawn with many seeds: shape (draws, weights), 1 where kept."""
    model = tiny_whisper(d=8, layers=(1, 1), heads=2, ffn=8, vocab=40)
    structure = Structure.of(model)
    rule = RandomWeights(budget=ranked_only(0.25), scope=request.param)
    plans = [rule.decide(View(model, structure, Plan(), seed)) for seed in range(DRAWS)]
    return torch.stack([torch.cat([plan.mask(m).flatten() for m in structure.matrices]) for plan in plans]).double()


def test_random_weights_keeps_a_quarter_in_every_draw(draws: torch.Tensor) -> None:
    assert draws.shape == (DRAWS, 1024)
    assert (draws.sum(dim=1) == 256).all()


def test_random_weights_gives_every_weight_the_same_chance(draws: torch.Tensor) -> None:
    deviation = (0.25 * 0.75 / DRAWS) ** 0.5
    assert (draws.mean(dim=0) - 0.25).abs().max() < 5 * deviation


def test_random_weights_draws_weights_seeds_and_matrices_independently(draws: torch.Tensor) -> None:
    """Two weights are kept together, and one weight with two seeds, as often as chance has it."""
    centred = (draws - draws.mean()) / draws.std()
    weights = (centred.T @ centred / DRAWS).fill_diagonal_(0)
    assert weights.abs().max() < 6 / DRAWS**0.5  # matrices drawn alike would stand here with 1
    seeds = (centred @ centred.T / 1024).fill_diagonal_(0)
    assert seeds.abs().max() < 6 / 1024**0.5


def test_random_weights_within_layers_keeps_the_same_share_of_every_matrix(view: View) -> None:
    plan = RandomWeights(budget=ranked_only(0.25), scope="layer").decide(
        View(_model(0), view.structure, Plan(), seed=5)
    )
    for matrix in view.structure.matrices:
        assert int(plan.mask(matrix).sum()) == round(0.25 * matrix.size)


def test_random_weights_does_not_look_at_weights(view: View) -> None:
    rule = RandomWeights(budget=nominal(0.5))
    plans = [rule.decide(View(_model(seed), view.structure, Plan(), seed=5)) for seed in (0, 1)]
    assert plans[0] == plans[1]


def _model(seed: int) -> torch.nn.Module:
    return tiny_whisper(d=16, layers=(1, 1), heads=4, ffn=24, vocab=40, seed=seed)


# --- Erdos-Renyi shares, random columns -------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.05])
def test_erdos_renyi_shares_follow_rows_and_columns_until_a_matrix_is_full(keep: float) -> None:
    shapes = [(64, 64), (256, 64), (64, 256), (8, 8)]
    shares = erdos_renyi(shapes, keep)
    sizes = [rows * columns for rows, columns in shapes]
    assert sum(share * size for share, size in zip(shares, sizes, strict=True)) == pytest.approx(keep * sum(sizes))
    factors = [share / ((r + c) / (r * c)) for share, (r, c) in zip(shares, shapes, strict=True)]
    open_ = [factor for factor, share in zip(factors, shares, strict=True) if share < 1]
    assert max(open_) == pytest.approx(min(open_))
    assert all(factor <= min(open_) + 1e-9 for factor, share in zip(factors, shares, strict=True) if share == 1)


def test_magnitude_with_erdos_renyi_shares_keeps_the_largest_of_every_matrix() -> None:
    model = tiny_whisper(d=16, layers=(1, 1), heads=4, ffn=24, vocab=40)
    structure = Structure.of(model)
    plan = MagnitudeWeights(budget=ranked_only(0.4), scope="erdos_renyi").decide(View(model, structure, Plan(), seed=0))
    shares = erdos_renyi([matrix.shape for matrix in structure.matrices], 0.4)
    assert len(set(shares)) > 1
    for matrix, share in zip(structure.matrices, shares, strict=True):
        size, mask = model.get_parameter(matrix.name).detach().abs(), plan.mask(matrix)
        assert int(mask.sum()) == round(share * matrix.size)
        assert size[mask].min() >= size[~mask].max()


def test_random_columns_keeps_whole_columns_and_draws_anew_with_every_seed() -> None:
    model = tiny_whisper(d=16, layers=(1, 1), heads=4, ffn=24, vocab=40)
    structure = Structure.of(model)
    rule = RandomColumns(budget=nominal(0.5))
    plans = [rule.decide(View(model, structure, Plan(), seed)) for seed in (0, 0, 1)]
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]
    for matrix in structure.matrices:
        mask = plans[0].mask(matrix)
        assert torch.equal(mask.any(dim=0), mask.all(dim=0))


# --- what dies counts as gone -----------------------------------------------------------------------------------------


LOSING: list[MagnitudeWeights | RandomWeights] = [
    MagnitudeWeights(),
    MagnitudeWeights(scope="layer"),
    MagnitudeWeights(scope="erdos_renyi"),
    RandomWeights(),
    RandomWeights(scope="layer"),
]


@pytest.fixture(scope="module")
def wide() -> View:
    model = tiny_whisper(d=64, layers=(2, 2), heads=4, ffn=128, vocab=40)
    return View(model, Structure.of(model), Plan(), seed=2)


@pytest.mark.parametrize("keep", [0.8, 0.6, 0.3, 0.1])
def test_random_columns_meets_its_budget_after_dead_parts_are_gone(wide: View, keep: float) -> None:
    rule = RandomColumns(budget=nominal(keep))
    plan = prune_(rule, wide, copy.deepcopy(wide._model)).plan
    assert plan.density(wide.structure) == pytest.approx(keep, abs=0.002)


@pytest.mark.parametrize("rule", LOSING, ids=lambda rule: f"{type(rule).__name__} {rule.scope}")
@pytest.mark.parametrize("keep", [0.05, 0.02])
def test_where_rows_die_as_many_weights_more_are_kept(
    wide: View, rule: MagnitudeWeights | RandomWeights, keep: float
) -> None:
    budget = Budget(kind="prunable_nominal", keep=keep, tolerance=0.001)
    rule = rule.model_copy(update={"budget": budget})
    plan = rule.decide(wide)
    assert plan.density(wide.structure) > keep + 0.0005
    whole = prune_(rule, wide, copy.deepcopy(wide._model)).plan
    assert abs(whole.density(wide.structure) - keep) <= 0.0005
    if rule == MagnitudeWeights(budget=budget):
        assert places(plan, wide.structure) == naive_kept(wide, plan.density(wide.structure), "global")


def test_where_nothing_dies_exactly_the_share_asked_for_is_kept(wide: View) -> None:
    for keep in (0.8, 0.5, 0.31):
        plan = MagnitudeWeights(budget=Budget(kind="prunable_nominal", keep=keep, tolerance=1e-6)).decide(wide)
        assert plan.nonzero(wide.structure) == round(keep * wide.structure.prunable)


def test_few_rounds_are_enough(wide: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one ranks and propagates all weights of the model."""
    seen: list[Plan] = []

    def watched(view: View, plan: Plan) -> Plan:
        seen.append(plan)
        return propagated(view, plan)

    monkeypatch.setattr(weights, "propagated", watched)
    for keep in (0.5, 0.1, 0.05, 0.02):
        MagnitudeWeights(budget=nominal(keep)).decide(wide)
    assert len(seen) <= 8

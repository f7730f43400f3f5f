"""What each method's program says, step by step, against programs written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.api import Budget, Fit, Prune, Rewind, Rule, Step
from benchmark.errors import SpecError
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.groups import L1Groups, RandomGroups
from benchmark.pruning.penalties import SparseGroupLasso
from benchmark.pruning.redraw import Redraw
from benchmark.pruning.weights import MagnitudeWeights, RandomWeights
from benchmark.registry import REGISTRY
from methods.sgl_adaptive import BY_BUDGET


def nominal(keep: float) -> Budget:
    return Budget(kind="prunable_nominal", keep=keep, tolerance=0.01)


STORED = Budget(kind="prunable_stored", keep=0.6, tolerance=0.01)


def program(name: str, budget: Budget, steps: int, **options: Any) -> list[Step]:
    return list(REGISTRY.get("method", name, **options).program(budget, steps))


@pytest.mark.parametrize(
    ("name", "options", "rule"),
    [
        ("magnitude", {}, MagnitudeWeights(budget=nominal(0.6))),
        ("magnitude", {"scope": "layer"}, MagnitudeWeights(budget=nominal(0.6), scope="layer")),
        ("random", {}, RandomWeights(budget=nominal(0.6))),
        ("l1_group", {}, L1Groups(budget=STORED)),
        ("l1_group", {"groups": ["ffn_neuron"]}, L1Groups(budget=STORED, groups=("ffn_neuron",))),
        ("random_structured", {}, RandomGroups(budget=STORED)),
    ],
    ids=str,
)
def test_a_one_shot_method_prunes_once_by_its_own_rule(name: str, options: dict[str, Any], rule: Rule) -> None:
    expected = [Fit(steps=30), Prune(rule=rule), Fit(steps=70)]
    assert program(name, rule.budget, 100, split=0.3, **options) == expected


def test_dense_trains_with_the_common_split_and_shipped_not_at_all() -> None:
    assert program("dense", Budget(), 100, split=0.3) == [Fit(steps=30), Fit(steps=70)]
    assert program("shipped", Budget(), 100) == []


# --- imp --------------------------------------------------------------------------------------------------------------


def test_imp_prunes_and_trains_round_by_round() -> None:
    assert program("imp", nominal(0.6), 100) == [
        Fit(steps=50),
        Prune(rule=MagnitudeWeights(budget=nominal(0.85))),
        Fit(steps=6),
        Prune(rule=MagnitudeWeights(budget=nominal(0.85**2))),
        Fit(steps=6),
        Prune(rule=MagnitudeWeights(budget=nominal(0.6))),
        Fit(steps=38),
    ]


def test_imp_rewinds_after_every_pruning_to_the_end_of_the_first_fit() -> None:
    options = {"after_prune": "rewind", "rate": 0.5, "round_share": 0.1, "split": 0.3, "scope": "layer"}
    assert program("imp", nominal(0.2), 40, **options) == [
        Fit(steps=12),
        Prune(rule=MagnitudeWeights(budget=nominal(0.5), scope="layer")),
        Rewind(to_step=12),
        Fit(steps=4),
        Prune(rule=MagnitudeWeights(budget=nominal(0.25), scope="layer")),
        Rewind(to_step=12),
        Fit(steps=4),
        Prune(rule=MagnitudeWeights(budget=nominal(0.2), scope="layer")),
        Rewind(to_step=12),
        Fit(steps=20),
    ]


def test_imp_with_a_budget_of_one_round_is_one_shot_magnitude() -> None:
    assert program("imp", nominal(0.9), 100) == program("magnitude", nominal(0.9), 100)


@pytest.mark.parametrize("after_prune", ["continue", "rewind"])
@pytest.mark.parametrize("total", [20, 63, 120, 1000])
@pytest.mark.parametrize("keep", [0.95, 0.8, 0.6, 0.5, 0.4, 0.3])
def test_imp_trains_after_every_pruning_and_all_its_fits_add_up(keep: float, total: int, after_prune: str) -> None:
    steps = program("imp", nominal(keep), total, after_prune=after_prune)
    fits = [step.steps for step in steps if isinstance(step, Fit)]
    prunings = [step.rule.budget.keep for step in steps if isinstance(step, Prune)]
    assert sum(fits) == total
    assert len(fits) == len(prunings) + 1
    assert prunings[-1] == keep
    a_round = [Prune, Fit] if after_prune == "continue" else [Prune, Rewind, Fit]
    assert [type(step) for step in steps] == [Fit] + a_round * len(prunings)
    assert len(set(fits[1:-1])) <= 1  # only the last round differs in length


# --- sgl_adaptive -----------------------------------------------------------------------------------------------------

STRENGTHS = {"l1_enc": 1e-4, "l1_dec": 2e-4, "group_enc": 3e-4, "group_dec": 4e-4, "size_weighted": False}
THRESHOLDS = {"alpha": 0.1, "scale": "mad", "rho": 0.2, "beta": 0.3, "peers": "kind", "tau": 0.05}


@pytest.mark.parametrize(
    ("budget", "groups", "solver"),
    [
        (Budget(), "column", "proximal"),
        (nominal(0.6), "column", "subgradient"),
        (STORED, "column", "proximal"),
        (nominal(0.6), "structural", "proximal"),
        (Budget(), "structural", "subgradient"),
    ],
    ids=str,
)
def test_sgl_adaptive_hands_every_option_to_where_it_belongs(budget: Budget, groups: Any, solver: str) -> None:
    options = {**STRENGTHS, **THRESHOLDS, "solver": solver}
    assert program("sgl_adaptive", budget, 100, split=0.4, groups=groups, **options) == [
        Fit(steps=40, penalty=SparseGroupLasso.model_validate({**STRENGTHS, "groups": groups, "solver": solver})),
        Prune(rule=WeightAdaptive.model_validate({**THRESHOLDS, "budget": budget, "groups": groups})),
        Fit(steps=60),
    ]


@pytest.mark.parametrize("switch", ["weight_pass", "group_pass"])
def test_sgl_adaptive_hands_its_switches_to_the_rule(switch: str) -> None:
    (rule,) = [
        step.rule for step in program("sgl_adaptive", Budget(), 100, **{switch: False}) if isinstance(step, Prune)
    ]
    assert isinstance(rule, WeightAdaptive)
    assert (rule.weight_pass, rule.group_pass) == (switch != "weight_pass", switch != "group_pass")


@pytest.mark.parametrize("budget", [Budget(), nominal(0.6), STORED], ids=str)
def test_sgl_adaptive_falls_back_on_the_choices_for_the_budget_only_where_none_is_given(budget: Budget) -> None:
    chosen = BY_BUDGET[budget.kind]
    (first, prune, _) = program("sgl_adaptive", budget, 100, group_dec=0.5, rho=0.125)
    assert isinstance(first, Fit) and isinstance(first.penalty, SparseGroupLasso)
    assert (first.penalty.solver, first.penalty.groups) == (chosen.solver, chosen.groups)
    assert (first.penalty.l1_enc, first.penalty.group_enc) == (chosen.strength, 3 * chosen.strength)
    assert first.penalty.group_dec == 0.5
    assert isinstance(prune, Prune) and isinstance(prune.rule, WeightAdaptive)
    rule = prune.rule
    for name in ("groups", "peers", "alpha", "tau", "beta"):
        assert getattr(rule, name) == getattr(chosen, name)
    assert rule.rho == 0.125
    assert chosen._asdict().keys() <= type(REGISTRY.get("method", "sgl_adaptive").config).model_fields.keys()
    for name, value in chosen._asdict().items():  # what the card says of them
        said = f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        assert said in REGISTRY.lookup("method", "sgl_adaptive").card()


def test_one_strength_stands_for_all_four_unless_one_is_given() -> None:
    (first, *_) = program("sgl_adaptive", STORED, 100, strength=1e-3, l1_dec=5e-4)
    assert isinstance(first, Fit) and isinstance(first.penalty, SparseGroupLasso)
    found = [getattr(first.penalty, name) for name in ("l1_enc", "l1_dec", "group_enc", "group_dec")]
    assert found == [1e-3, 5e-4, 3e-3, 3e-3]


# --- controls ---------------------------------------------------------------------------------------------------------


def test_random_like_redraws_every_pruning_of_the_other_and_changes_nothing_else() -> None:
    other = program("imp", nominal(0.5), 100)
    steps = program("random_like", nominal(0.5), 100, method="imp")
    assert [step for step in steps if not isinstance(step, Prune)] == [s for s in other if not isinstance(s, Prune)]
    pairs = [(a.rule, b.rule) for a, b in zip(steps, other, strict=True) if isinstance(a, Prune)]
    assert all(isinstance(ours, Redraw) and ours.rule == theirs for ours, theirs in pairs)


def test_random_like_refuses_a_budget_that_the_other_does_not_know() -> None:
    with pytest.raises(SpecError, match="'magnitude' knows no budget 'prunable_stored', but prunable_nominal"):
        program("random_like", STORED, 100, method="magnitude")


def test_imp_rewinds_to_a_step_within_the_first_training() -> None:
    steps = program("imp", nominal(0.5), 100, after_prune="rewind", rewind_at=0.2, split=0.5)
    assert steps[:2] == [Fit(steps=10), Fit(steps=40)]
    assert {step.to_step for step in steps if isinstance(step, Rewind)} == {10}
    assert sum(step.steps for step in steps if isinstance(step, Fit)) == 100

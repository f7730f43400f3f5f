"""What each method's program says, step by step, against programs written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.api import Budget, Fit, Prune, Rewind, Rule, Step
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.groups import L1Groups, RandomGroups
from benchmark.pruning.penalties import SparseGroupLasso
from benchmark.pruning.weights import MagnitudeWeights, RandomWeights
from benchmark.registry import REGISTRY


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
THRESHOLDS = {"alpha": 0.1, "scale": "mad", "rho": 0.2, "beta": 0.3}


@pytest.mark.parametrize(
    ("budget", "asked", "groups"),
    [
        (Budget(), "auto", "column"),
        (nominal(0.6), "auto", "column"),
        (STORED, "auto", "structural"),
        (nominal(0.6), "structural", "structural"),
        (Budget(), "structural", "structural"),
    ],
    ids=str,
)
def test_sgl_adaptive_hands_every_option_to_where_it_belongs(budget: Budget, asked: str, groups: Any) -> None:
    options = {**STRENGTHS, **THRESHOLDS}
    assert program("sgl_adaptive", budget, 100, split=0.4, groups=asked, **options) == [
        Fit(steps=40, penalty=SparseGroupLasso.model_validate({**STRENGTHS, "groups": groups})),
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

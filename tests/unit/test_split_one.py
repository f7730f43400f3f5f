"""``split`` 1: all training comes before the Prune and nothing after it, for every method that has the option."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark import contracts
from benchmark.api import Budget, Fit, Method, MethodConfig, Prune, Quantise, Rewind, Step
from benchmark.errors import SpecError
from benchmark.harness.tree import checked_program, grow
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard

NONE, STORED = Budget(), Budget(kind="prunable_stored", keep=0.6)
NOMINAL = Budget(kind="prunable_nominal", keep=0.6)
SPLIT = [name for name in REGISTRY.names("method") if issubclass(REGISTRY.lookup("method", name).Config, MethodConfig)]
CASES = [(name, budget) for name in SPLIT if name != "imp" for budget in contracts.budgets(name, keeps=(0.5,))]


def steps(name: str, budget: Budget, total: int = 100, **options: Any) -> list[Step]:
    return list(checked_program(name, REGISTRY.get("method", name, **options), budget, total))


def without_lengths(program: list[Step]) -> list[Step]:
    return [step.model_copy(update={"steps": 1}) if isinstance(step, Fit) else step for step in program]


@pytest.mark.parametrize(("name", "budget"), CASES, ids=str)
def test_the_fits_after_pruning_are_left_out_and_nothing_else_changes(name: str, budget: Budget) -> None:
    usual, one = steps(name, budget), steps(name, budget, split=1)
    assert [step for step in one if isinstance(step, Fit)] == [usual[0].model_copy(update={"steps": 100})]
    (last,) = {place for place, step in enumerate(usual) if isinstance(step, Fit)} - {0}
    del usual[last]
    assert without_lengths(one) == without_lengths(usual)


@pytest.mark.parametrize("name", ["magnitude", "l1_group", "sgl_adaptive", "wanda", "layer_drop"])
def test_what_was_pruned_last_meets_its_budget_and_survives_surgery(name: str) -> None:
    for budget in contracts.budgets(name, keeps=(0.5,)):
        contracts.check_pruning(name, budget, split=1.0)


def test_just_below_one_a_step_is_left_and_one_step_in_all_is_enough_for_one() -> None:
    assert Method.before(0.999, 100) == 99
    assert Method.before(1.0, 100) == 100
    assert [type(step) for step in steps("magnitude", NOMINAL, total=1, split=1)] == [Fit, Prune]
    with pytest.raises(SpecError, match=r"training.steps = 1: a method that prunes needs at least 2"):
        steps("magnitude", NOMINAL, total=1)


@pytest.mark.parametrize("split", [0.0, -0.5, 1.01, float("nan")])
def test_a_split_that_is_no_share_is_refused(split: float) -> None:
    with pytest.raises(SpecError, match="options of 'magnitude': split = "):
        REGISTRY.get("method", "magnitude", split=split)


def test_imp_can_only_where_one_round_does_it() -> None:
    few = Budget(kind="prunable_nominal", keep=0.85)
    program = steps("imp", few, split=1)
    assert [type(step) for step in program] == [Fit, Prune]
    assert program[0] == Fit(steps=100)
    with pytest.raises(SpecError, match=r"imp: split = 1 leaves no steps between the 3 rounds for keep 0\.6; lower"):
        steps("imp", NOMINAL, split=1)
    with pytest.raises(SpecError, match="imp: split = 1 leaves no steps to train after a rewind"):
        steps("imp", few, split=1, after_prune="rewind")
    assert any(isinstance(step, Rewind) for step in steps("imp", few, after_prune="rewind"))


def test_a_refill_has_nothing_to_train() -> None:
    with pytest.raises(SpecError, match="sgl_adaptive: refill has no effect where no training follows a pruning"):
        steps("sgl_adaptive", STORED, split=1, refill=True)


def test_compositions_and_controls_follow_the_part_that_trains() -> None:
    parts = [{"name": "sgl_adaptive", "options": {"split": 1}}, {"name": "int8"}]
    assert [type(step) for step in steps("compose", STORED, parts=parts)] == [Fit, Prune, Quantise]
    drawn = steps("random_like", STORED, method="sgl_adaptive", options={"split": 1})
    assert [type(step) for step in drawn] == [Fit, Prune]
    assert drawn[0] == steps("sgl_adaptive", STORED, split=1)[0]


def test_thresholds_and_budgets_share_all_of_their_training() -> None:
    options = [{"split": 1, "alpha": alpha} for alpha in (0.1, 0.2, 0.3)]
    methods = [{"name": "sgl_adaptive", "options": chosen} for chosen in options]
    row = {"methods": methods, "budget": "prunable_stored", "keep": [0.5, 0.7]}
    tree = grow(Leaderboard.model_validate({"grid": [row], "training": {"steps": 10}}))
    assert len(tree.cells) == 6
    assert tree.steps_shared == 10
    assert {path.steps for path in tree.cells} == {10}

"""What every method promises: a finite, pure program that trains T steps and meets its budget."""

from __future__ import annotations

import copy

import pytest

from benchmark.api import Budget, Calibrate, Fit, Method, Prune
from benchmark.harness.tree import _checked
from benchmark.pruning.applying import prune_
from benchmark.pruning.budgets import check_budget
from benchmark.registry import REGISTRY
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import random_statistics, tiny_whisper

CASES = [
    (name, Budget() if kind == "none" else Budget(kind=kind, keep=keep))
    for name in REGISTRY.names("method")
    for kind in sorted(REGISTRY.lookup("method", name).budgets)
    for keep in ((1.0,) if kind == "none" else (0.8, 0.5))
]


@pytest.mark.parametrize(("name", "budget"), CASES, ids=str)
def test_program_is_finite_pure_and_as_long_as_all_others(name: str, budget: Budget) -> None:
    method: Method = REGISTRY.get("method", name)
    program = _checked(name, method, budget, 100)
    assert program == _checked(name, REGISTRY.get("method", name), budget, 100)
    assert sum(step.steps for step in program if isinstance(step, Fit)) in (0, 100)


@pytest.mark.parametrize(("name", "budget"), CASES, ids=str)
def test_rules_compose_meet_the_budget_and_repeat_at_equal_seeds(name: str, budget: Budget) -> None:
    model = tiny_whisper(d=32, layers=(2, 2), heads=4, ffn=64, vocab=100)
    structure = Structure.of(model)
    plans = []
    for _ in range(2):
        plan, smallest, died, statistics = Plan(), 1, 0, {}
        for step in REGISTRY.get("method", name).program(budget, 100):
            if isinstance(step, Calibrate):
                statistics = random_statistics(structure, step.statistics)
            if isinstance(step, Prune):
                copied = copy.deepcopy(model)
                pruned = prune_(step.rule, View(copied, structure, plan, 7, statistics), copied, died)
                plan, died = pruned.plan, died + pruned.died
                smallest = max(smallest, step.rule.smallest(structure))
        check_budget(plan, structure, budget, smallest, free=died)
        plans.append(plan)
    assert plans[0] == plans[1]


@pytest.mark.parametrize("name", REGISTRY.names("method"))
def test_config_round_trips_and_the_card_says_something(name: str) -> None:
    method: Method = REGISTRY.get("method", name)
    assert type(method.config).model_validate(method.config.model_dump()) == method.config
    assert len(method.card()) > 40

"""Every method keeps the contract: ours, and what is installed besides (``tests/integration/test_fake_plugin.py``)."""

from __future__ import annotations

import pytest

from benchmark import contracts
from benchmark.api import Budget
from benchmark.registry import REGISTRY

CASES = [(name, budget) for name in REGISTRY.names("method") for budget in contracts.budgets(name)]


@pytest.mark.parametrize(("name", "budget"), CASES, ids=str)
def test_program_is_finite_pure_and_as_long_as_all_others(name: str, budget: Budget) -> None:
    contracts.check_program(name, budget)


@pytest.mark.parametrize(("name", "budget"), CASES, ids=str)
def test_pruning_meets_the_budget_composes_repeats_and_survives_surgery(name: str, budget: Budget) -> None:
    contracts.check_pruning(name, budget)


@pytest.mark.parametrize("name", REGISTRY.names("method"))
def test_config_round_trips(name: str) -> None:
    contracts.check_config(name)


@pytest.mark.parametrize("name", REGISTRY.names("method"))
def test_the_card_says_something(name: str) -> None:
    contracts.check_card(name)

"""Methods that are made of others: their identity, their order, and what compress does with them."""

from __future__ import annotations

from typing import Any

import pytest

import benchmark
from benchmark.api import Budget, Calibrate, Quantise
from benchmark.errors import SpecError
from benchmark.harness.optimizer import make_optimizer
from benchmark.harness.tree import grow
from benchmark.pruning.penalties import SparseGroupLasso
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard, Training
from benchmark.whisper.structure import Structure
from tests.tiny import tiny_whisper

STORED = Budget(kind="prunable_stored", keep=0.7)


def cell_id(method: Any) -> str:
    spec = Leaderboard.model_validate({"grid": [{"methods": [method]}], "training": {"steps": 10}})
    return grow(spec).cells[0].cell.id


@pytest.mark.parametrize("method", ["sgl_adaptive+int8", {"name": "random_like"}, "sgl_adaptive"], ids=str)
def test_a_new_version_of_what_a_method_is_made_of_is_a_new_cell(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before, others = cell_id(method), cell_id("low_rank")
    monkeypatch.setattr(REGISTRY.lookup("method", "sgl_adaptive"), "version", "of a test")
    assert cell_id(method) != before
    assert cell_id("low_rank") == others


def test_one_composition_has_one_identity_and_quantises_last() -> None:
    assert cell_id("sgl_adaptive+vocab_trim") == cell_id("vocab_trim+sgl_adaptive")
    for parts in (["int8", "vocab_trim"], ["int8", "low_rank"], ["sgl_adaptive", "int8", "vocab_trim"]):
        method = REGISTRY.get("method", "compose", parts=[{"name": part} for part in parts])
        steps = list(method.steps(Budget(), 10))
        assert isinstance(steps[-1], Quantise) and sum(isinstance(step, Quantise) for step in steps) == 1
        assert any(isinstance(step, Calibrate) for step in steps[:-1])
        assert type(method.config).model_validate(method.config.model_dump()) == method.config


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(SpecError, match=r"budget prunable_stored@0.7 decides how many layers stay; leave out encoder"):
        list(REGISTRY.get("method", "layer_drop", encoder=1).program(STORED, 10))
    with pytest.raises(SpecError, match="frobenius_squared is ridge, which knows no groups; leave groups out"):
        REGISTRY.get("method", "sgl_adaptive", norm="frobenius_squared", groups="head")


def test_compress_takes_the_options_of_a_method_whatever_they_are_called() -> None:
    model = tiny_whisper(d=32, heads=4, ffn=64)
    like = {"method": "l1_group", "options": {"groups": ["ffn_neuron"]}}
    drawn = benchmark.compress(model, "random_like", keep=0.5, **like)
    ranked = benchmark.compress(model, "l1_group", keep=0.5, groups=("ffn_neuron",))
    sizes = [[group.count for group in Structure.of(one).groups] for one in (drawn, ranked)]
    assert sizes[0] == sizes[1]


def test_a_stack_that_a_penalty_does_not_pull_keeps_its_weight_decay() -> None:
    model = tiny_whisper()
    structure = Structure.of(model)
    penalty = SparseGroupLasso(l1_enc=0.1, l1_dec=0.0, group_enc=0.0, group_dec=0.0)
    assert {structure.matrix(name).stack for name in penalty.pulls(structure)} == {"encoder"}
    adam = make_optimizer(model, Training(weight_decay=0.1), None, set(penalty.pulls(structure)))
    spared = {id(p) for group in adam.param_groups if group["weight_decay"] == 0 for p in group["params"]}
    for matrix in structure.matrices:
        assert (id(model.get_parameter(matrix.name)) in spared) == (matrix.stack == "encoder")


@pytest.mark.parametrize("name", ["random_like", "dense", "shipped"])
def test_what_prunes_nothing_of_its_own_has_no_random_control(name: str) -> None:
    with pytest.raises(SpecError, match=f"random_like: '{name}' prunes nothing of its own"):
        list(REGISTRY.get("method", "random_like", method=name).program(Budget(), 10))

"""What of a training recipe is part of an id, and what only says how the work is done."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.errors import SpecError
from benchmark.harness.tree import grow
from benchmark.spec_files import load_spec
from benchmark.specs import CARRIED_OUT, LATER, SpecAugment, Training

FIRST = {
    "steps": 120,
    "batch": 16,
    "learning_rate": 2e-4,
    "warmup": 0.1,
    "decay": "linear",
    "weight_decay": 0.0,
    "clip": 1.0,
    "precision": "fp32",
    "utterances": None,
}
"""The fields that a recipe had when the first ids were given out."""


def ids(**training: Any) -> list[tuple[str, tuple[str, ...]]]:
    spec = load_spec("tiny")
    recipe = Training.parse({**spec.training.model_dump(), **training}, "training")
    return [(path.cell.id, path.nodes) for path in grow(spec.model_copy(update={"training": recipe})).cells]


def test_a_recipe_that_uses_no_later_field_has_the_identity_that_it_always_had() -> None:
    assert Training().identity() == FIRST
    assert LATER | CARRIED_OUT | FIRST.keys() == Training.model_fields.keys()  # a new field must be one or the other


@pytest.mark.parametrize(
    "how", [{"accumulate": 2}, {"checkpointing": True}, {"checkpoint_every": 3}, {"report_to": ["mlflow"]}]
)
def test_how_the_work_is_done_is_in_no_id(how: dict[str, Any]) -> None:
    assert ids(**how) == ids()


@pytest.mark.parametrize(
    "what", [{"spec_augment": {}}, {"spec_augment": {"feature": 0.1}}, {"group_by_length": True}, {"precision": "fp16"}]
)
def test_what_changes_results_is_in_the_id_of_all_that_trains(what: dict[str, Any]) -> None:
    changed = [(new, old) for new, old in zip(ids(**what), ids(), strict=True) if old[1]]
    assert len(changed) > 5
    for (cell, nodes), (old_cell, old_nodes) in changed:
        assert cell != old_cell and not set(nodes) & set(old_nodes)
    assert ids(**what) != ids(spec_augment=SpecAugment(time=0.5).model_dump())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"feature_length": 20}, {}),
        ({"time": 0, "time_length": 3, "feature": 0.1}, {"time": 0, "feature": 0.1}),
        ({"time": 0, "time_length": 3}, None),
    ],
    ids=["feature off", "time off", "both off"],
)
def test_what_is_switched_off_is_in_no_id(written: dict[str, Any], meant: dict[str, Any] | None) -> None:
    assert ids(spec_augment=written) == ids(spec_augment=meant)
    assert Training(spec_augment=SpecAugment(**written)).spec_augment == SpecAugment(**written)  # a spec stays as it is


def test_the_identity_of_spec_augment_is_what_it_always_was() -> None:
    default = {"time": 0.05, "time_length": 10, "feature": 0.0, "feature_length": 10}
    assert Training(spec_augment=SpecAugment()).identity() == {**FIRST, "spec_augment": default}
    both = {"time": 0.1, "time_length": 3, "feature": 0.2, "feature_length": 4}
    assert Training(spec_augment=SpecAugment(**both)).identity() == {**FIRST, "spec_augment": both}


def test_the_recipe_comes_back_from_its_identity() -> None:
    recipe = Training(spec_augment=SpecAugment(time=0.1), group_by_length=True, accumulate=4)
    again = Training.parse(recipe.identity(), "training")
    assert again.identity() == recipe.identity()
    assert again.accumulate == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"batch": 6, "accumulate": 4}, "accumulate = 4 does not divide batch = 6"),
        ({"spec_augment": {"time": 1.0}}, "spec_augment.time = 1.0"),
        ({"spec_augment": {"tme": 0.1}}, "tme"),
        ({"report_to": ["tensorbord"]}, "tensorbord"),
        ({"checkpoint_every": 0}, "checkpoint_every = 0"),
        ({"precision": "fp8"}, "precision = 'fp8'"),
    ],
)
def test_what_cannot_be_is_said_with_its_value(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Training.parse(wrong, "training")

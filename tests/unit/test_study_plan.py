"""What a study shares and costs, before it is begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import SpecError
from benchmark.reading import parse_as
from studies._plan import show_plan, steps
from studies._space import space
from studies._spec import StudySpec

RATE = "training.learning_rate"


def spec(method: Any = "sgl_adaptive", **changes: Any) -> StudySpec:
    data = {"methods": [method], "budget": "prunable_stored", "keep": [0.5], "training": {"steps": 100}, **changes}
    return parse_as(StudySpec, data, "a test")


def shared(asked: StudySpec) -> tuple[int, int]:
    point = asked.points()[0]
    return steps(asked, point, space(asked, point))


@pytest.mark.parametrize(
    ("options", "search", "common"),
    [
        ({}, ["alpha", "rho", "beta", "tau"], 50),  # the regularised trunk; what comes after pruning is each one's own
        ({"split": 0.3}, ["alpha", "rho"], 30),
        ({"split": 1.0}, ["alpha", "rho", "beta"], 100),  # nothing else is trained
        ({}, ["alpha", RATE], 0),
        ({}, ["alpha", "strength"], 0),
        ({}, ["alpha", "split"], 0),
        ({}, ["peers", "alpha"], 50),
        ({}, ["peers", "loss"], 0),
    ],
    ids=str,
)
def test_thresholds_share_the_trunk_and_what_changes_training_does_not(
    options: dict[str, Any], search: list[str], common: int
) -> None:
    assert shared(spec({"name": "sgl_adaptive", "options": options}, search=search)) == (common, 100)


def test_the_usual_space_shares_nothing() -> None:
    assert shared(spec()) == (0, 100)


def test_ends_that_make_no_program_share_with_nobody_and_are_passed_over() -> None:
    """At a rate of 0.95 imp has more rounds than steps; the others share its first Fit."""
    asked = spec("imp", budget="prunable_nominal", keep=[0.3], search=["rate", "round_share"])
    assert shared(asked) == (50, 100)


def test_the_plan_says_ranges_and_cost_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = spec({"name": "sgl_adaptive", "options": {"split": 1.0}}, name="thresholds", search=["alpha", "scale"])
    show_plan(asked, tmp_path / "run")
    said = " ".join(capsys.readouterr().out.split())
    assert "study thresholds: sgl_adaptive, budget prunable_stored@0.5" in said
    assert "alpha 0.05 to 1 0.25 weight threshold" in said and "scale std, mad, fixed std the spread" in said
    assert "20 trials of 100 training steps: at most 2,000 in all" in said
    assert "The first 100 are the same in all trials and trained once: 100 steps" in said
    assert not list(tmp_path.iterdir())


def test_every_study_of_a_spec_is_planned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = parse_as(
        StudySpec,
        {"methods": ["l1_group", "sgl_adaptive"], "budget": "prunable_stored", "keep": [0.5, 0.7]},
        "a test",
    )
    show_plan(asked, tmp_path)
    said = capsys.readouterr().out
    assert said.count("study study.") == 4 and "trained once" not in said


def test_what_cannot_be_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="unknown normalizer"):
        show_plan(spec(normalizer="hidni"), tmp_path)

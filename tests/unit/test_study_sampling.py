"""Samplers and pruners by Optuna's names, and seeds that no two trials share."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution

from benchmark.errors import SpecError
from benchmark.reading import parse_as
from studies._sampling import PerTrialSeed, check_choices, make_pruner, make_sampler
from studies._space import space
from studies._spec import Named, StudySpec


def spec(**changes: Any) -> StudySpec:
    data = {"methods": ["sgl_adaptive"], "budget": "prunable_stored", "keep": [0.5], **changes}
    return parse_as(StudySpec, data, "a test")


SPACE = {"x": FloatDistribution(0, 1)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler": {"name": "TPESampeler"}}, "unknown sampler 'TPESampeler'; did you mean 'TPESampler'?"),
        ({"sampler": {"name": "BaseSampler"}}, "unknown sampler 'BaseSampler'"),
        ({"sampler": {"name": "nsgaii_child_generation"}}, "unknown sampler 'nsgaii_child_generation'"),
        ({"sampler": {"name": "TPESampler", "options": {"n_startup": 3}}}, "sampler TPESampler cannot be made with"),
        ({"sampler": {"name": "NSGAIISampler", "options": {"population_size": 1}}}, "sampler NSGAIISampler cannot be"),
        ({"pruner": {"name": "MedianPruners"}}, "unknown pruner 'MedianPruners'; did you mean 'MedianPruner'?"),
        ({"pruner": {"name": "PercentilePruner"}}, "pruner PercentilePruner cannot be made with {}: "),
        ({"pruner": {"name": "MedianPruner", "options": {"n_startup_trials": -1}}}, "pruner MedianPruner cannot be"),
        ({"sampler": {"name": "TPESampler", "options": {"n_startup_trials": "eight"}}}, "cannot draw from this space"),
        (
            {"sampler": {"name": "GridSampler", "options": {"search_space": {"y": [1, 2]}}}},
            "cannot draw from this space",
        ),
        (
            {"sampler": {"name": "CmaEsSampler"}, "objectives": ["error", "bytes"]},
            "sampler CmaEsSampler knows one objective only; take TPESampler",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as error:
        asked = spec(**changes)
        check_choices(asked, space(asked, asked.points()[0]))
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["TPESampler", "RandomSampler", "NSGAIISampler", "GPSampler", "QMCSampler"])
def test_optunas_samplers_by_their_names(name: str) -> None:
    sampler = make_sampler(Named(name=name), seed=3)
    assert type(sampler) is getattr(optuna.samplers, name)


def test_optunas_pruners_by_their_names_with_options() -> None:
    pruner = make_pruner(Named(name="MedianPruner", options={"n_startup_trials": 7}))
    assert isinstance(pruner, optuna.pruners.MedianPruner) and pruner._n_startup_trials == 7
    assert isinstance(make_pruner(None), optuna.pruners.NopPruner)


# --- seeds ------------------------------------------------------------------------------------------------------------


def drawn(name: str, *, trials: int, seed: int = 0, study: optuna.Study | None = None) -> list[float]:
    """Return what a study that is asked ``trials`` times, by a fresh sampler each time, draws."""
    study = study or optuna.create_study()
    for _ in range(trials):
        study.sampler = PerTrialSeed(Named(name=name), seed)
        trial = study.ask(SPACE)
        study.tell(trial, (trial.params["x"] - 0.3) ** 2)
    return [trial.params["x"] for trial in study.trials]


@pytest.mark.parametrize("name", ["TPESampler", "RandomSampler", "NSGAIISampler", "QMCSampler"])
def test_workers_of_one_seed_never_repeat_each_other_and_a_run_can_be_repeated(name: str) -> None:
    found = drawn(name, trials=14)  # more than TPE draws at random
    assert len(set(found)) == len(found)
    assert drawn(name, trials=14) == found


@pytest.mark.parametrize("name", ["TPESampler", "RandomSampler"])
def test_another_seed_draws_otherwise(name: str) -> None:
    assert not set(drawn(name, trials=4)) & set(drawn(name, trials=4, seed=1))


def test_a_seed_among_the_options_would_give_every_trial_the_same_draw_and_is_refused() -> None:
    with pytest.raises(SpecError, match="seed: of the study"):
        PerTrialSeed(Named(name="RandomSampler", options={"seed": 5}), 0)


def test_a_trial_hangs_on_what_was_finished_before_it_and_not_on_who_draws_it() -> None:
    """One sampler for all trials, or a fresh one each, as after a restart: the same draws."""
    study = optuna.create_study(sampler=PerTrialSeed(Named(name="TPESampler"), 0))
    for _ in range(14):
        trial = study.ask(SPACE)
        study.tell(trial, (trial.params["x"] - 0.3) ** 2)
    assert [trial.params["x"] for trial in study.trials] == drawn("TPESampler", trials=14)


@pytest.mark.parametrize("bound", [None, 0.6])
def test_what_was_told_decides_the_next_draws(bound: float | None) -> None:
    """Values and constraints are passed on: with others, the draws after the random ones are others."""

    def draws(sign: float) -> list[float]:
        study = optuna.create_study()
        for _ in range(16):
            study.sampler = PerTrialSeed(Named(name="TPESampler", options={"n_startup_trials": 8}), 0)
            trial = study.ask(SPACE)
            x = trial.params["x"]
            if bound is not None:
                trial.set_constraint("bound", sign * (bound - x))
            study.tell(trial, x if bound is not None else sign * x)
        return [trial.params["x"] for trial in study.trials]

    one, other = draws(1.0), draws(-1.0)
    assert one[:8] == other[:8]
    assert not set(one[8:]) & set(other[8:])


def test_a_grid_is_walked_point_by_point() -> None:
    named = Named(name="GridSampler", options={"search_space": {"x": [0.0, 0.25, 0.5, 0.75, 1.0]}})
    study = optuna.create_study(sampler=PerTrialSeed(named, 0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=9)  # it stops where all were visited
    assert sorted(trial.params["x"] for trial in study.trials) == [0.0, 0.25, 0.5, 0.75, 1.0]

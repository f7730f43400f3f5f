"""Samplers and pruners by Optuna's names, and seeds that no two trials share."""

from __future__ import annotations

import re
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from benchmark.errors import SpecError
from benchmark.reading import parse_as
from studies._sampling import PerTrialSeed, check_choices, make_pruner, make_sampler
from studies._space import space
from studies._spec import Named, StudySpec


def spec(**changes: Any) -> StudySpec:
    data = {"methods": ["sgl_adaptive"], "budget": "prunable_stored", "keep": [0.5], **changes}
    return parse_as(StudySpec, data, "a test")


def grid(values: Any) -> dict[str, Any]:
    return {"name": "GridSampler", "options": {"search_space": values}}


ALPHA: dict[str, Any] = {"search": {"alpha": {}}}
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
        ({"sampler": {"name": "BaseGASampler"}}, "unknown sampler 'BaseGASampler'"),
        ({"sampler": {"name": "TPESampler", "options": {"n_startup_trials": "eight"}}}, "cannot draw from this space"),
        ({"sampler": {"name": "TPESampler", "options": {"n_ei_candidates": "many"}}}, "cannot draw from this space"),
        (
            {"sampler": {"name": "NSGAIIISampler", "options": {"dividing_parameter": "x"}}},  # after 50 trials
            "cannot draw from this space: TypeError",
        ),
        ({"sampler": {"name": "BruteForceSampler"}}, "FloatDistribution.step must be given"),
        (
            {"sampler": {"name": "PartialFixedSampler", "options": {"fixed_params": {}, "base_sampler": "TPESampler"}}},
            "cannot draw from this space: AttributeError",
        ),
        (
            {"pruner": {"name": "ThresholdPruner", "options": {"upper": 1.0, "n_warmup_steps": 0.5}}, "trials": 3},
            None,
        ),
        ({"pruner": {"name": "WilcoxonPruner", "options": {"p_threshold": 0.1, "n_startup_steps": 0}}}, None),
        ({"sampler": grid(5)}, "sampler GridSampler cannot be made with"),
        (
            {"sampler": grid({"alpha": [0.1, 0.2], "y": [1, 2]}), **ALPHA},
            "has 'y', which is not turned here; the space is alpha",
        ),
        ({"sampler": grid({"y": [1, 2]}), **ALPHA}, "the space is alpha"),
        ({"sampler": grid({"alpha": [0.1]})}, "search_space leaves out '"),
        ({"sampler": grid({"alpha": [0.1, 5.0]}), **ALPHA}, "search_space.alpha: 5.0 is not in FloatDistribution"),
        ({"sampler": grid({"alpha": [0.1, 0.2]}), **ALPHA, "trials": 4}, "2 points here, .* take 3 at most"),
        ({"sampler": grid({"alpha": [0.1, 0.2]}), **ALPHA, "trials": 3}, None),
        (
            {"sampler": {"name": "BruteForceSampler"}, "search": {"alpha": {"low": 0.1, "high": 1.0, "step": 0.3}}},
            "4 points here, .* take 5 at most",
        ),
        (
            {"sampler": {"name": "CmaEsSampler"}, "objectives": ["error", "bytes"]},
            "sampler CmaEsSampler knows one objective only; take TPESampler",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_one_line(changes: dict[str, Any], said: str | None) -> None:
    asked = spec(**changes)
    found = space(asked, asked.points()[0])
    if said is None:
        return check_choices(asked, found)
    with pytest.raises(SpecError) as error:
        check_choices(asked, found)
    assert "\n" not in str(error.value)
    assert said in str(error.value) or re.search(said, str(error.value))


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


def test_a_grid_is_walked_though_the_default_came_first_and_another_worker_ends_it_last() -> None:
    """Optuna's grid asks every trial that ends for its place; one that was put up by hand has none."""
    named = Named(name="GridSampler", options={"search_space": {"x": [0.0, 0.5, 1.0]}})
    study = optuna.create_study(sampler=PerTrialSeed(named, 0))
    study.enqueue_trial({"x": 0.3})
    default = study.ask(SPACE)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert len({trial.params["x"] for trial in study.trials[1:]}) == 2

    study.tell(default, 0.3)  # one point of the grid is left
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)
    assert sorted(trial.params["x"] for trial in study.trials) == [0.0, 0.3, 0.5, 1.0]


MIXED: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0, 1),
    "n": IntDistribution(1, 64),
    "kind": CategoricalDistribution(("one", "two", "three")),
}
STEPPED: dict[str, BaseDistribution] = {**MIXED, "x": FloatDistribution(0, 1, step=0.25)}
POINTS = {"x": [0.0, 0.5, 1.0], "n": [1, 2, 3], "kind": ["one", "two", "three"]}


@pytest.mark.parametrize(
    "named",
    [
        Named(name="TPESampler"),
        Named(name="RandomSampler"),
        Named(name="NSGAIISampler", options={"population_size": 4}),
        Named(name="NSGAIIISampler", options={"population_size": 4}),
        Named(name="GPSampler", options={"n_startup_trials": 8}),
        Named(name="QMCSampler"),
        Named(name="BruteForceSampler"),
        Named(name="GridSampler", options={"search_space": POINTS}),
    ],
    ids=lambda named: named.name,
)
def test_every_sampler_reaches_all_over_a_space_of_all_kinds(named: Named) -> None:
    """Made anew for each trial, and with two trials at once: no point comes twice, and every choice comes."""
    space = STEPPED if named.name == "BruteForceSampler" else MIXED

    def ask(study: optuna.Study) -> optuna.Trial:
        study.sampler = PerTrialSeed(named, 0)
        return study.ask(space)

    def walked() -> list[tuple[Any, ...]]:
        study = optuna.create_study()
        for _ in range(9):
            for trial in (ask(study), ask(study)):
                study.tell(trial, trial.params["x"])
        return [tuple(trial.params[name] for name in space) for trial in study.trials]

    found = walked()
    new = found[:4] if named.name.startswith("NSGA") else found  # children may be like their parents
    assert len(found) == 18 and len(set(new)) == len(new)
    assert {kind for _, _, kind in found} == {"one", "two", "three"}
    assert walked() == found

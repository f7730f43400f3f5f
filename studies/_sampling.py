"""Samplers and pruners by Optuna's names, and seeds that no two trials share."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from benchmark.errors import SpecError, nearest
from benchmark.harness.seeds import derive
from benchmark.search import Parameter
from studies._space import distributions, fit, suggest
from studies._spec import Named, StudySpec

_SEQUENCES = ("QMCSampler", "GridSampler", "BruteForceSampler")
"""Samplers whose draws are one sequence or grid, of which every trial takes the next: their seed must stay the same."""

_BEFORE, _TRIED = 64, 3
"""Finished trials in memory on which a sampler is tried (more than any begins with at random), and its own draws."""
_POPULATION, _LARGE = 50, 200
"""Genetic samplers look at nothing before their first population is full: its usual size, and what is tried at most."""


class PerTrialSeed(BaseSampler):
    """Optuna's sampler, seeded anew for each trial by the study's seed and the trial's number.

    So workers of one seed never repeat each other's draws, nor does a worker that is started again, and a trial's draw
    depends on what was finished before it and on nothing else. Samplers keep what they must remember in the storage,
    because Optuna lets several processes share a study; a new object for each trial loses nothing.
    """

    def __init__(self, named: Named, seed: int) -> None:
        self._named, self._seed = named, seed
        self._inner = make_sampler(named, seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make the sampler of this trial."""
        fixed = self._named.name in _SEQUENCES
        seed = self._seed if fixed else derive(self._seed, "sampler", trial.number) % 2**31
        self._inner = make_sampler(self._named, seed)
        self._inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Pass on, but not a trial that was put up by hand to a grid: it asks for its place, which that has not."""
        if self._named.name == "GridSampler" and "fixed_params" in trial.system_attrs:
            return
        self._inner.after_trial(study, trial, state, values)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Pass on."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Pass on."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Pass on."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)


def make_sampler(named: Named, seed: int) -> BaseSampler:
    """Return the sampler of that name.

    Raises:
        SpecError: no such sampler, options that it does not take, or a seed among them: every trial would draw alike.
    """
    if "seed" in named.options:
        raise SpecError(
            f"sampler {named.name}: leave its seed out; seed: of the study, and each trial's number, seed it"
        )
    found = _class("sampler", named.name, optuna.samplers, BaseSampler)
    seeded = {"seed": seed} if "seed" in inspect.signature(found).parameters else {}
    made: BaseSampler = _made("sampler", found, {**seeded, **named.options})
    return made


def make_pruner(named: Named | None) -> optuna.pruners.BasePruner:
    """Return the pruner of that name; None prunes nothing.

    Raises:
        SpecError: no such pruner, or options that it does not take.
    """
    if named is None:
        return optuna.pruners.NopPruner()
    found = _class("pruner", named.name, optuna.pruners, optuna.pruners.BasePruner)
    made: optuna.pruners.BasePruner = _made("pruner", found, named.options)
    return made


def check_choices(spec: StudySpec, found: Sequence[Parameter]) -> None:
    """Refuse samplers and pruners that cannot be had or cannot do it, before anything is written.

    They are tried on the space, in memory: some look at their options only when they draw.

    Raises:
        SpecError: an unknown name, options that do not fit, or a sampler that cannot do what the spec asks for.
    """
    sampler, pruner = PerTrialSeed(spec.sampler, spec.seed), make_pruner(spec.pruner)
    if len(spec.objectives) > 1 and spec.sampler.name == "CmaEsSampler":
        raise SpecError("sampler CmaEsSampler knows one objective only; take TPESampler, NSGAIISampler or GPSampler")
    if spec.sampler.name == "GridSampler":
        _check_grid(spec.sampler.options["search_space"], found)
    _try(spec, sampler, pruner, found)
    points = _points(spec.sampler, found)
    if points is not None and spec.trials > points + 1:
        raise SpecError(
            f"sampler {spec.sampler.name} has {points} points here, and the default configuration is one more; "
            f"trials: {spec.trials} would repeat them: take {points + 1} at most"
        )


def _check_grid(grid: Mapping[str, Sequence[Any]], found: Sequence[Parameter]) -> None:
    """Refuse a grid that is not one of the space: Optuna would visit points again, or draw values out of range."""
    turned = {one.name: one for one in found}
    for name in turned.keys() ^ grid.keys():
        said = f"leaves out {name!r}" if name in turned else f"has {name!r}, which is not turned here"
        raise SpecError(f"sampler GridSampler: search_space {said}; the space is {', '.join(turned)}")
    for name, values in grid.items():
        for value in values:
            if not fit([turned[name]], {name: value}):
                one = distributions([turned[name]])[name]
                raise SpecError(f"sampler GridSampler: search_space.{name}: {value!r} is not in {one}")


def _points(named: Named, found: Sequence[Parameter]) -> int | None:
    """Return how many points a sampler has that walks through all of them; None for those that draw on and on."""
    if named.name == "GridSampler":
        return math.prod(len(values) for values in named.options["search_space"].values())
    if named.name != "BruteForceSampler":
        return None
    sizes = [
        len(one.choices) if one.kind == "choice" else round(((one.high or 0) - (one.low or 0)) / (one.step or 1)) + 1
        for one in found
    ]
    return math.prod(sizes)


def _try(spec: StudySpec, sampler: BaseSampler, pruner: optuna.pruners.BasePruner, found: Sequence[Parameter]) -> None:
    """Draw some trials in memory, after finished ones: what a sampler does at first hangs on few of its options.

    Raises:
        SpecError: sampler or pruner raised, whatever it was: they were given somebody's options.
    """

    def objective(trial: optuna.Trial) -> float | Sequence[float]:
        suggest(trial, found)
        if spec.pruner is not None:
            trial.report(float(trial.number), spec.looks.every)
            trial.should_prune()
        value = float(trial.number)
        return [value] * len(spec.objectives) if len(spec.objectives) > 1 else value

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(
                sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner, directions=spec.directions
            )
            study.optimize(objective, n_trials=_BEFORE)
            study.sampler = sampler
            study.optimize(objective, n_trials=_draws(spec.sampler))
    except Exception as error:
        named = [spec.sampler, *([] if spec.pruner is None else [spec.pruner])]
        asked = ", ".join(f"{one.name}({one.options})" for one in named)
        said = " ".join(str(error).split())
        raise SpecError(f"{asked} cannot draw from this space: {type(error).__name__}: {said}") from None
    finally:
        optuna.logging.set_verbosity(before)


def _draws(named: Named) -> int:
    """Return how many trials show what a sampler does."""
    if not named.name.startswith("NSGA"):
        return _TRIED
    return min(named.options.get("population_size", _POPULATION), _LARGE) + _TRIED


def _class(what: str, name: str, module: Any, base: type) -> type:
    known = [key for key in module.__all__ if inspect.isclass(getattr(module, key))]
    known = [
        key for key in known if issubclass(getattr(module, key), base) and not inspect.isabstract(getattr(module, key))
    ]
    if name not in known:
        raise SpecError(f"unknown {what} {name!r}{nearest(name, known)} (Optuna's names)")
    found: type = getattr(module, name)
    return found


def _made(what: str, found: type, options: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return found(**options)
        except Exception as error:  # whatever it was: the options are somebody's
            raise SpecError(f"{what} {found.__name__} cannot be made with {options}: {error}") from None

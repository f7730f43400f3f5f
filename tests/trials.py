"""Studies of many shapes, without a run: specs, trials as Optuna stores them, and all of their figures."""

from __future__ import annotations

import math
import warnings
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from studies._canvas import View, style
from studies._figures import pictures
from studies._spec import StudySpec

LR = "training.learning_rate"
SPACE: dict[str, Any] = {
    "alpha": FloatDistribution(0.05, 1.0),
    "rho": FloatDistribution(0.05, 1.2),
    LR: FloatDistribution(2e-5, 2e-3, log=True),
}
DEFAULT = {"alpha": 0.25, "rho": 0.25, LR: 2e-4}


def make_spec(**changes: Any) -> StudySpec:
    data = {
        "name": "a-study",
        "methods": ["sgl_adaptive"],
        "budget": "prunable_stored",
        "keep": [0.5],
        "search": list(SPACE),
        "pruner": {"name": "MedianPruner"},
        "trials": 12,
        "normalizer": "hindi",
    }
    several = len(changes.get("objectives", [])) > 1
    return StudySpec.parse({**data, **({"pruner": None} if several else {}), **changes}, "here")


def make_study(spec: StudySpec) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(study_name=spec.points()[0].name, directions=spec.directions)


def drawn(number: int) -> dict[str, float]:
    """Values spread over the space; 0: the default."""
    if number == 0:
        return dict(DEFAULT)
    part = [(number * step) % 1 for step in (0.618, 0.755, 0.431)]
    return {"alpha": 0.05 + 0.95 * part[0], "rho": 0.05 + 1.15 * part[1], LR: 2e-5 * 100 ** part[2]}


def add(study: optuna.Study, values: float | list[float] | None = None, **more: Any) -> None:
    """Add a trial: with values complete, else in the state given."""
    number = len(study.trials)
    state = more.pop("state", TrialState.COMPLETE)
    params = more.pop("params", drawn(number))
    space = more.pop("distributions", SPACE)
    attrs = {"cell": f"{number:016x}", "steps_trained": 60, "steps_program": 120, "seconds": 10.0 + number}
    attrs |= {"default": True} if number == 0 else {}
    told = {"values": values if isinstance(values, list) else [values]} if values is not None else {}
    waiting = {"params": {}, "distributions": {}} if state == TrialState.WAITING else {}
    attrs |= more.pop("attrs", {})
    study.add_trial(
        create_trial(
            state=state, **{"params": params, "distributions": space, **waiting}, user_attrs=attrs, **told, **more
        )
    )


def usual(spec: StudySpec | None = None, trials: int = 12) -> tuple[optuna.Study, StudySpec]:
    """A study of one objective in which everything happened that can happen to a trial."""
    spec = spec or make_spec()
    study = make_study(spec)
    for number in range(trials):
        at = drawn(number)
        rate = 0.05 + 0.3 * abs(at["alpha"] - 0.4) + 0.05 * abs(math.log10(at[LR]) + 3.3)
        add(study, rate, intermediate_values={60: 2 * rate, 80: 1.3 * rate})
    add(study, state=TrialState.PRUNED, intermediate_values={60: 0.9})
    add(study, state=TrialState.PRUNED, constraints={"budget": 1.0}, attrs={"message": "missed | by far"})
    add(study, state=TrialState.FAIL, attrs={"message": "loss is not finite"})
    add(study, state=TrialState.FAIL)
    add(study, state=TrialState.RUNNING)
    add(study, state=TrialState.WAITING)
    return study, spec


def several(count: int = 2, trials: int = 14) -> tuple[optuna.Study, StudySpec]:
    objectives = ["error", "params_stored", "speedup"][:count]
    spec = make_spec(objectives=objectives, budget="none", keep=[])
    study = make_study(spec)
    for number in range(trials):
        kept = 0.1 + 0.85 * drawn(number)["alpha"]
        add(study, [0.02 + 0.5 * (1 - kept) ** 2 + 0.003 * (number % 3), 1.5e6 * kept, 1.2 / kept][:count])
    return study, spec


def nothing(_: optuna.Study) -> None:
    """No trial at all."""


def one(study: optuna.Study) -> None:
    add(study, 0.2)


def all_failed(study: optuna.Study) -> None:
    for _ in range(5):
        add(study, state=TrialState.FAIL, attrs={"message": "no memory"})


def all_pruned(study: optuna.Study) -> None:
    for _ in range(5):
        add(study, state=TrialState.PRUNED, intermediate_values={60: 0.9})


def all_missed(study: optuna.Study) -> None:
    for _ in range(5):
        add(study, state=TrialState.PRUNED, constraints={"budget": 1.0}, attrs={"message": "budget missed"})


def waiting(study: optuna.Study) -> None:
    add(study, state=TrialState.RUNNING)
    add(study, state=TrialState.WAITING)


BARE = {"none": nothing, "one": one, "failed": all_failed, "pruned": all_pruned, "missed": all_missed, "new": waiting}


def draw_all(study: optuna.Study, spec: StudySpec) -> dict[str, str]:
    """Lay all figures out, with warnings as errors; return the reasons of those that are not drawn."""
    reasons = {}
    with warnings.catch_warnings(), style():
        warnings.simplefilter("error")
        for picture in pictures(View.of(study, spec)):
            reasons[picture.stem] = picture.reason
            if not picture.reason:
                figure = picture.draw()
                figure.draw_without_rendering()
                assert any(ax.has_data() for ax in figure.axes), picture.stem
    return reasons

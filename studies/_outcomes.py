"""What became of the trials of a study, and how its numbers are shown: what status, report and figures share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from benchmark.measure.scores import METRIC, Normalised
from benchmark.registry import REGISTRY
from studies._meaning import ABOUT
from studies._metrics import METRICS
from studies._seats import DEFAULT, MESSAGE, is_lost
from studies._spec import ERRORS, StudySpec

if TYPE_CHECKING:
    import optuna
    import pandas as pd

REBUILT = "rebuilt"
"""The attribute of a trial that was made from a record."""
Kind = Literal["complete", "infeasible", "pruned", "failed", "lost", "running", "waiting"]
KINDS: tuple[Kind, ...] = ("complete", "infeasible", "pruned", "failed", "lost", "running", "waiting")
SETTLED: tuple[Kind, ...] = ("complete", "infeasible", "pruned", "failed")
"""Kinds that count as done. A trial whose worker died is *lost*: it was put up again, and does not count."""


def kind(trial: FrozenTrial) -> Kind:
    """Return what became of a trial. Infeasible: it breaks a constraint, and has a value or (a missed budget) none."""
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
        if any(value > 0 for value in trial.constraints.values()):
            return "infeasible"
        return "complete" if trial.state == TrialState.COMPLETE else "pruned"
    if trial.state == TrialState.FAIL:
        return "lost" if is_lost(trial) else "failed"
    return "running" if trial.state == TrialState.RUNNING else "waiting"


def of_kind(trials: Sequence[FrozenTrial], *kinds: Kind) -> list[FrozenTrial]:
    """Return the trials of these kinds."""
    return [trial for trial in trials if kind(trial) in kinds]


def settled(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count: with a value, stopped, infeasible, or failed by themselves."""
    return of_kind(trials, *SETTLED)


def best(directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the best feasible trial, the earliest of equal ones; with several objectives the front.

    The front is what no other feasible trial beats, by the first objective; equal trials stay together.
    """
    import moocore

    feasible = of_kind(trials, "complete")
    if not feasible:
        return []
    maximise = [direction == StudyDirection.MAXIMIZE for direction in directions]
    values = np.array([trial.values for trial in feasible], float)
    kept = moocore.is_nondominated(values, maximise=maximise, keep_weakly=True)
    found = [trial for trial, keep in zip(feasible, kept, strict=True) if keep]
    if len(directions) == 1:
        return [min(found, key=lambda trial: trial.number)]
    return sorted(found, key=lambda trial: (trial.values[0], trial.number))


def default_trial(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Return the trial that is the default configuration; of one that was put up again, the living one."""
    found = [trial for trial in trials if trial.user_attrs.get(DEFAULT) and kind(trial) not in ("lost", "waiting")]
    return found[-1] if found else None


def parameter_names(study: optuna.Study, trials: Sequence[FrozenTrial]) -> list[str]:
    """Return what the study turns, in the order of its space."""
    stored = (study.user_attrs.get(ABOUT) or {}).get("space") or {}
    return list(dict.fromkeys([*stored, *(name for trial in trials for name in trial.distributions)]))


@dataclass(frozen=True)
class Goal:
    """One objective as it is shown."""

    name: str
    place: int
    """Of its value in a trial's values."""
    title: str
    percent: bool
    maximize: bool

    @property
    def axis(self) -> str:
        """What an axis says."""
        return f"{self.title}, %" if self.percent else self.title

    def of(self, trial: FrozenTrial) -> float:
        """Return a trial's value, in per cent where it is a rate."""
        return self.scaled(trial.values[self.place])

    def scaled(self, value: float) -> float:
        """Return a value in the unit it is shown in."""
        return 100 * value if self.percent else value

    def text(self, value: float) -> str:
        """Return a value as a reader would write it."""
        return f"{100 * value:.2f} %" if self.percent else si(value)

    def better(self, value: float, other: float) -> bool:
        """Whether the first value is better."""
        return value > other if self.maximize else value < other


def goals(spec: StudySpec) -> list[Goal]:
    """Return the objectives of a study; the error rate in the normaliser's unit by the name of that unit."""
    found = []
    for place, (name, direction) in enumerate(zip(spec.objectives, spec.directions, strict=True)):
        metric = METRICS[name]
        title = f"{_unit(spec) if name == 'error' else metric.title}"
        title += f" on {spec.tune.split}" if name in ERRORS else ""
        found.append(Goal(name, place, title, metric.percent, direction == "maximize"))
    return found


def _unit(spec: StudySpec) -> str:
    corpus = REGISTRY.get("corpus", spec.corpus.name, **spec.corpus.options)
    return METRIC[Normalised(spec.normalizer).of(corpus.language).normalizer.unit].upper()


def si(value: float) -> str:
    """Return a number with four digits and a prefix: 1.234 M."""
    for scale, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= scale:
            return f"{value / (1e3 if prefix == ' k' else scale):.4g}{prefix}"
    return f"{value:.4g}"


def plain(value: Any) -> str:
    """Return a parameter's value in few digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def trial_table(study: optuna.Study, spec: StudySpec) -> pd.DataFrame:
    """Return one row a trial: kind, values as they are in the record, parameters, constraints, what it cost."""
    import pandas as pd

    trials = study.get_trials(deepcopy=False)
    names = parameter_names(study, trials)
    limits = list(dict.fromkeys(name for trial in trials for name in trial.constraints))
    rows = []
    for trial in trials:
        attrs = trial.user_attrs
        row: dict[str, Any] = {"trial": trial.number, "kind": kind(trial), "default": bool(attrs.get(DEFAULT))}
        values = trial.values if trial.state == TrialState.COMPLETE else [None] * len(spec.objectives)
        row |= dict(zip(spec.objectives, values, strict=True))
        row |= {f"parameter.{name}": trial.params.get(name) for name in names}
        row |= {f"excess.{name}": trial.constraints.get(name) for name in limits}
        row |= {name: attrs.get(name) for name in ("cell", "reused", "steps_trained", "steps_program", "seconds")}
        row["last_look"] = trial.last_step
        row["last_seen"] = None if trial.last_step is None else trial.intermediate_values[trial.last_step]
        row |= {"began": _time(trial.datetime_start), "ended": _time(trial.datetime_complete)}
        row["message"] = attrs.get(MESSAGE, "")
        rows.append(row)
    fixed = ["trial", "kind", "default", *spec.objectives]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=fixed)
    whole = [name for name in ("steps_trained", "steps_program", "last_look") if name in table]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _time(moment: Any) -> str:
    return "" if moment is None else moment.isoformat(timespec="seconds")

"""How good a Pareto front is: its hypervolume, as the share of a box with a stated corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial

from studies._outcomes import Goal, of_kind
from studies._spec import StudySpec


@dataclass(frozen=True)
class Volume:
    """The hypervolume of the trials so far, after each trial that has a feasible value."""

    reference: list[float]
    """The worst corner of the box, in the objectives' own units."""
    ideal: list[float]
    """The best corner."""
    sources: list[str]
    """Of each objective, where its worst value comes from."""
    numbers: list[int]
    """Trials, in the order they were begun."""
    shares: list[float]
    """Of the box, what is no better than something that was reached; one a trial."""


def volume(spec: StudySpec, found: Sequence[Goal], trials: Sequence[FrozenTrial]) -> Volume | None:
    """Return the hypervolume and its history; None without a feasible trial, or where the box has no extent.

    The worst corner is the spec's ``reference``; where it says nothing, 100 % of a rate, zero of what is better the
    larger it is, and else the worst value of any trial (which another study does not share). The best corner is zero,
    or the best value seen of what is better the larger it is.
    """
    import moocore

    feasible = of_kind(trials, "complete")
    points = np.array([trial.values for trial in feasible], float).reshape(-1, len(found))
    if not len(points):
        return None
    seen = np.array([trial.values for trial in of_kind(trials, "complete", "infeasible") if trial.values], float)
    corners = [_corner(spec, goal, seen[:, goal.place]) for goal in found]
    reference = np.array([corner for corner, _ in corners])
    maximise = [goal.maximize for goal in found]
    ideal = np.where(maximise, points.max(axis=0), 0.0)
    box = float(np.prod(np.abs(ideal - reference)))
    if not np.isfinite(box) or box == 0:
        return None
    shares = [
        float(moocore.hypervolume(points[: n + 1], ref=reference, maximise=maximise)) / box for n in range(len(points))
    ]
    numbers = [trial.number for trial in feasible]
    return Volume(reference.tolist(), ideal.tolist(), [source for _, source in corners], numbers, shares)


def _corner(spec: StudySpec, goal: Goal, seen: np.ndarray) -> tuple[float, str]:
    if goal.name in spec.reference:
        return spec.reference[goal.name], "the spec's reference"
    if goal.maximize:
        return 0.0, "zero"
    if goal.percent:
        return 1.0, "its natural worst"
    return float(seen[np.isfinite(seen)].max(initial=0.0)), "the worst of any trial"

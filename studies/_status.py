"""How a study stands: trials by state, the best so far, and how long to go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import optuna

from studies._outcomes import KINDS, SETTLED, best, goals, kind, of_kind, plain
from studies._spec import StudySpec

if TYPE_CHECKING:
    from rich.console import Console


def status(study: optuna.Study, spec: StudySpec) -> dict[str, Any]:
    """Return how a study stands, as JSON can say it.

    ``done`` are the trials that count: complete, infeasible, pruned, failed. ``workers`` is the number of trials in
    hand. ``time_to_go`` is in seconds: what remains times the mean of what trials took that were carried out, shared by
    the workers (by one where none is at it); None where nothing has finished yet. ``best`` has one trial, or with
    several objectives those of the front; none if no trial is feasible.
    """
    trials = study.get_trials(deepcopy=False)
    counts: dict[str, int] = {name: sum(kind(trial) == name for trial in trials) for name in KINDS}
    done = sum(counts[name] for name in SETTLED)
    found = best(study.directions, trials)
    ended = [one.user_attrs for one in of_kind(trials, *SETTLED)]
    times = [float(about["seconds"]) for about in ended if "seconds" in about and not about.get("reused")]
    each = fmean(times) if times else None
    left = max(0, spec.trials - done)
    to_go = None if each is None and left else left * (each or 0.0) / max(1, counts["running"])
    return {
        "study": study.study_name,
        "asked": spec.trials,
        "done": done,
        **counts,
        "workers": counts["running"],
        "seconds_a_trial": each,
        "time_to_go": to_go,
        "objectives": spec.objectives,
        "best": [
            {
                "trial": trial.number,
                "values": dict(zip(spec.objectives, map(_finite, trial.values), strict=True)),
                "parameters": trial.params,
                "cell": trial.user_attrs.get("cell"),
            }
            for trial in found
        ],
        "shown": _best(spec, found),
    }


def _finite(value: float) -> float | None:
    """Return None for what JSON has no number for."""
    return value if math.isfinite(value) else None


def _best(spec: StudySpec, best: Sequence[optuna.trial.FrozenTrial]) -> str:
    if not best:
        return "none: no trial is feasible yet"
    found = goals(spec)
    values = ", ".join(f"{goal.title} {goal.text(best[0].values[goal.place])}" for goal in found)
    turned = ", ".join(f"{name}={plain(value)}" for name, value in best[0].params.items())
    if len(found) == 1:
        return f"trial {best[0].number}: {values} ({turned})"
    return f"front of {len(best)}, from trial {best[0].number}: {values}"


def show_status(statuses: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print two lines a study; a table of as many columns would be cut in a terminal of usual width."""
    for one in statuses:
        counts = ", ".join(f"{one[name]} {name}" for name in ("pruned", "infeasible", "failed"))
        hands = ", ".join(f"{one[name]} {name}" for name in ("running", "waiting") if one[name])
        each, left = one["seconds_a_trial"], one["time_to_go"]
        times = [] if each is None else [f"{duration(each)} a trial"]
        if left:
            times.append(f"{duration(left)} to go" + ("" if one["running"] else " with one worker"))
        parts = [f"{one['done']} of {one['asked']} trials done ({counts})", hands, ", ".join(times)]
        console.print(f"{one['study']}: {'; '.join(part for part in parts if part)}", markup=False, soft_wrap=True)
        console.print(f"  best: {one['shown']}", markup=False, soft_wrap=True)
    lost = sum(int(one["lost"]) for one in statuses)
    if lost:
        console.print(f"{lost} trial(s) lost their worker and were put up again; they do not count as done.")


def duration(seconds: float) -> str:
    """Return a time span as a reader would say it: 40 s, 12 min, 3 h 20 min."""
    whole = round(seconds)
    if whole < 100:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"

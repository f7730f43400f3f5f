"""Which figures a study has, and why it lacks one: nothing is drawn that would show nothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import optuna

from benchmark.figures import render
from benchmark.store.files import write_atomically
from studies import _drawing as drawing
from studies._canvas import Scale, View, style
from studies._contours import contour
from studies._forest import DPI
from studies._outcomes import Goal, of_kind
from studies._volume import volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 4
"""Finished trials below which importances and contours would be drawn from nothing."""
PAIRED = 4
"""Parameters of which pairs are drawn."""
TOP = 0.1
"""Share of the trials that PED-ANOVA compares with all: its evaluator's default."""


@dataclass(frozen=True)
class Picture:
    """One figure, or why there is none."""

    stem: str
    """Of its files."""
    title: str
    caption: str
    reason: str
    """Why it cannot be drawn; empty if it can."""
    draw: Callable[[], Figure]

    def write(self, folder: Path) -> list[Path]:
        """Write PNG and SVG; where there is none, remove what an earlier report left."""
        paths = {form: folder / f"{self.stem}.{form}" for form in ("png", "svg")}
        if self.reason:
            for path in paths.values():
                path.unlink(missing_ok=True)
            return []
        with style():
            figure = self.draw()
            found = []
            for form, path in paths.items():
                found.append(write_atomically(path, render(figure, form, DPI)))
                figure.set_layout_engine("none")  # what the first one laid out holds for the second
            return found


def pictures(view: View) -> list[Picture]:
    """Return the figures of a study, in the order of a report."""
    several = len(view.goals) > 1
    found = importances(view)
    order = list(next(iter(found.values()))) if found else view.names
    first = [_front(view), _volume(view)] if several else [_history(view), _looks(view)]
    return [*first, _importance(view, found), _slices(view), *(_contour(view, goal, order) for goal in view.goals)]


# --- each -----------------------------------------------------------------------------------------------------------


def _history(view: View) -> Picture:
    caption = (
        "Each trial's value in the order the trials were begun, and the best feasible one so far. Dotted: the "
        "default. At the top edge: what has no value."
    )
    return Picture("history", "Optimisation history", caption, _too_few(view, 2), lambda: drawing.history(view))


def _looks(view: View) -> Picture:
    reason = ""
    if view.spec.pruner is None:
        reason = "the study has no pruner"
    elif not any(trial.intermediate_values for trial in view.trials):
        reason = "no trial was looked at on its way (none got past its last Prune, or none trains after it)"
    caption = (
        "Error on the beginning of the split in the training after the last Prune. A stopped trial ends at a triangle. "
        "These values are of fewer utterances than a trial's own."
    )
    return Picture("looks", "What the pruner saw", caption, reason, lambda: drawing.looks(view))


def _front(view: View) -> Picture:
    caption = "All trials over the objectives; what no other feasible trial beats in all of them is the front."
    return Picture("front", "Pareto front", caption, _too_few(view, 2), lambda: drawing.front(view))


def _volume(view: View) -> Picture:
    found = volume(view.spec, view.goals, view.trials)
    reason = _too_few(view, 2)
    if not reason and found is None:
        reason = "no trial is feasible, or the worst values are no worse than the best ones, so that there is no box"
    if reason or found is None:
        return Picture("hypervolume", "Hypervolume", "", reason, lambda: drawing.sheet("", (1, 1)))
    corners = "; ".join(
        f"{goal.title} {goal.text(worst)} ({source})"
        for goal, worst, source in zip(view.goals, found.reference, found.sources, strict=True)
    )
    caption = (
        f"Share of the box between the reference point and the ideal that the front is at least as good as: now "
        f"{100 * found.shares[-1]:.1f} %. Reference point: {corners}. Ideal: "
        + ", ".join(goal.text(best) for goal, best in zip(view.goals, found.ideal, strict=True))
        + "."
    )
    return Picture("hypervolume", "Hypervolume", caption, "", lambda: drawing.volumes(view, found))


def _importance(view: View, found: Mapping[str, Mapping[str, float]]) -> Picture:
    top = math.ceil(TOP * len(view.feasible))
    reason = "" if found else _no_importance(view)
    caption = (
        "PED-ANOVA (Watanabe et al., IJCAI 2023; Optuna's default): how much the best tenth of the feasible trials "
        f"differs from all of them in one parameter. The best tenth are {top} of {len(view.feasible)} trials"
        + ("; under 5, as here, take it as a hint." if top < 5 else ".")
    )
    titles = [goal.title for goal in view.goals] if len(view.goals) > 1 else []
    for title in titles:
        if found and title not in found:
            caption += f" {title} has no panel: its best values differ from the others in no parameter."
    return Picture("importance", "Parameter importance", caption, reason, lambda: drawing.importance(view, found, top))


def _slices(view: View) -> Picture:
    reason = _too_few(view, 2) or ("" if view.names else "the study turns no parameter")
    caption = "Each parameter by itself; all others differ from trial to trial too."
    return Picture("slice", "Slices", caption, reason, lambda: drawing.slices(view))


def _contour(view: View, goal: Goal, order: list[str]) -> Picture:
    turned = [name for name in order if len(_drawn(view, name)) > 1]
    names = turned[:PAIRED]
    values = {goal.of(trial) for trial in view.valued}
    reason = _too_few(view, FEWEST)
    if not reason and len(names) < 2:
        reason = "it takes two parameters whose values differ"
    if not reason and len(values) < 2:
        reason = f"all trials have the same value of {goal.name}"
    stem = "contour" if len(view.goals) == 1 else f"contour-{goal.name}"
    caption = (
        f"The {len(names)} most important parameters in pairs. Between trials the colour is interpolated over "
        "triangles, as if nothing else were turned; outside of the outermost trials nothing is claimed."
    )
    return Picture(stem, f"Contours of {goal.title}", caption, reason, lambda: contour(view, goal, names))


# --- whether --------------------------------------------------------------------------------------------------------


def _too_few(view: View, fewest: int) -> str:
    if not view.valued:
        return "no trial has a value"
    if len(view.valued) < fewest:
        return f"only {len(view.valued)} trial(s) have a value, and it takes {fewest}"
    return ""


def _drawn(view: View, name: str) -> set[float]:
    there = [trial.params[name] for trial in view.valued if name in trial.params]
    return set(Scale.of(name, view.trials).at(there).tolist()) if there else set()


def _no_importance(view: View) -> str:
    if not view.feasible:
        return "no feasible trial has a value"
    if len(view.feasible) < FEWEST:
        return f"only {len(view.feasible)} feasible trial(s) have a value, and it takes {FEWEST}"
    if len(view.names) < 2:
        return "one parameter has all the importance there is"
    return "all feasible trials have the same value, or the best ones differ from the others in no parameter"


def importances(view: View) -> dict[str, dict[str, float]]:
    """Return each aim's parameters and their shares, the most important first; empty where they would mean nothing.

    Aims: the objective, or the front as a whole and each objective by itself. Infeasible trials are left out: their
    values would make a broken constraint look like a good idea.
    """
    if len(view.feasible) < FEWEST or len(view.names) < 2:
        return {}
    study = _copy(view)
    aims: dict[str, Callable[[optuna.trial.FrozenTrial], float] | None] = {view.goals[0].title: None}
    if len(view.goals) > 1:
        aims = {"being on the front": None}
        aims |= {goal.title: partial(_loss, goal) for goal in view.goals}
    found = {}
    for title, target in aims.items():
        values = _values(view, title)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = optuna.importance.get_param_importances(study, target=target, normalize=False)
        total = sum(raw.values())
        if len(values) > 1 and total > 0:
            found[title] = {name: share / total for name, share in raw.items()}
    return found


def _loss(goal: Goal, trial: optuna.trial.FrozenTrial) -> float:
    return -goal.of(trial) if goal.maximize else goal.of(trial)


def _values(view: View, title: str) -> set[tuple[float, ...]]:
    """Return the different values of feasible trials in the aim of that title."""
    some = [goal for goal in view.goals if goal.title == title] or view.goals
    return {tuple(goal.of(trial) for goal in some) for trial in view.feasible}


def _copy(view: View) -> optuna.Study:
    """Return the feasible trials as a study in memory."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(directions=["maximize" if goal.maximize else "minimize" for goal in view.goals])
        study.add_trials(of_kind(view.feasible, "complete"))
    finally:
        optuna.logging.set_verbosity(before)
    return study

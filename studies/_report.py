"""``study.md`` with figures and ``trials.csv``: what was tuned, how, what came out, and what the test says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial

from benchmark.registry import REGISTRY
from benchmark.search import Parameter
from benchmark.specs import Row, Training
from benchmark.store.files import write_atomically
from studies._canvas import View
from studies._figures import Picture, pictures
from studies._final import TESTED
from studies._outcomes import KINDS, SETTLED, kind, of_kind, plain, trial_table
from studies._seats import MESSAGE
from studies._space import configured, space
from studies._spec import Named, Point, StudySpec
from studies._tables import markdown_table
from studies._verdict import tested, verdicts

SHOWN = 10
"""Trials, and messages of trials without a value, that a report lists."""
MEANING = {
    "complete": "with a value",
    "infeasible": "breaks a constraint or missed its budget",
    "pruned": "stopped on its way",
    "failed": "its cell failed",
    "lost": "its worker died; put up again, does not count",
    "running": "in hand, or its worker died and nobody has looked",
    "waiting": "put up, not begun",
}


def write_study(
    study: optuna.Study, spec: StudySpec, folder: Path, *, final: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write ``study.md``, ``trials.csv`` and the figures of a study as it stands, and return the paths.

    ``final`` is what the test at the end said, if there was one. A figure that would show nothing is not written, and
    ``study.md`` says why.
    """
    view = View.of(study, spec)
    point = point_of(study, spec)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = pictures(view)
    figures = [path for picture in drawn for path in picture.write(folder)]
    rows = write_atomically(folder / "trials.csv", trial_table(study, spec).to_csv(index=False))
    said = list(tested(view, final, study.user_attrs.get(TESTED, [])))
    blocks = markdown(view, point, space(spec, point), drawn, said)
    return [write_atomically(folder / "study.md", "\n\n".join(blocks) + "\n"), rows, *figures]


def summary(study: optuna.Study, spec: StudySpec, final: Mapping[str, Any] | None = None) -> str:
    """Return the outcome of a study in a few lines of plain text."""
    view = View.of(study, spec)
    counts = counted(view.trials)
    done = ", ".join(f"{counts[name]} {name}" for name in KINDS if counts[name])
    lines = [f"study {study.study_name}: {sum(counts[name] for name in SETTLED)} of {spec.trials} trials ({done})"]
    lines.append(_plain_best(view))
    if final is not None:
        lines += [f"{line}." for line in verdicts(final)]
    return "\n".join(lines)


def point_of(study: optuna.Study, spec: StudySpec) -> Point:
    """Return the method and budget that a study tunes."""
    return next(point for point in spec.points() if point.name == study.study_name)


def counted(trials: Sequence[FrozenTrial]) -> Counter[str]:
    """Return how many trials there are of each kind."""
    return Counter(str(kind(trial)) for trial in trials)


# --- study.md -----------------------------------------------------------------------------------------------------


def markdown(
    view: View, point: Point, found: Sequence[Parameter], drawn: Sequence[Picture], test: Sequence[str]
) -> Iterator[str]:
    """Yield the blocks of ``study.md``; ``test`` are those of the test at the end."""
    yield f"# Study {point.name}"
    yield markdown_table(("", ""), _facts(view.spec, point))
    yield "## Trials"
    counts = counted(view.trials)
    rows = [(name, str(counts[name]), MEANING[name]) for name in KINDS if counts[name]]
    yield markdown_table(("state", "trials", ""), rows)
    yield cost(view.trials)
    yield "## Best and default"
    yield from _best(view, point, found)
    yield "## On test"
    yield from test
    if view.feasible:
        yield f"## The {'best trials' if len(view.goals) == 1 else 'front'}"
        yield from _leaders(view)
    yield from _without(view)
    yield "## Figures"
    for picture in drawn:
        yield f"### {picture.title}"
        if picture.reason:
            yield f"Not drawn: {picture.reason}."
        else:
            yield f"![{picture.title}]({picture.stem}.png)"
            yield picture.caption


def _facts(spec: StudySpec, point: Point) -> list[tuple[str, str]]:
    corpus = REGISTRY.get("corpus", spec.corpus.name, **spec.corpus.options)
    beginning = "all utterances" if spec.tune.utterances is None else f"its first {spec.tune.utterances} utterances"
    kept = ", ".join(f"{key}: {plain(value)}" for key, value in point.method.options.items())
    ways = {"minimize": "the smaller the better", "maximize": "the larger the better"}
    goals = [f"{name} ({ways[way]})" for name, way in zip(spec.objectives, spec.directions, strict=True)]
    recipe = spec.training
    pruner = _named(spec.pruner) if spec.pruner else "none"
    if spec.pruner:
        pruner += f"; looks every {spec.looks.every} steps after the last Prune, at {spec.looks.utterances} utterances"
    elif len(spec.objectives) > 1:
        pruner += " (Optuna prunes trials of one objective only)"
    return [
        ("method", point.method.title + (f" ({kept})" if kept and "+" not in point.method.title else "")),
        ("budget", str(point.budget)),
        ("model", spec.model.name),
        ("corpus", spec.corpus.name + (" (synthetic speech)" if corpus.synthetic else "")),
        ("tuned on", f"{spec.tune.split}, {beginning}; normaliser {spec.normalizer}"),
        ("objectives" if len(goals) > 1 else "objective", ", ".join(goals)),
        ("constraints", ", ".join(f"{name} at most {limit:g}" for name, limit in spec.constraints.items()) or "none"),
        ("training a trial", f"{recipe.steps} steps of {recipe.batch} utterances"),
        ("trials asked for", str(spec.trials)),
        ("sampler", _named(spec.sampler)),
        ("pruner", pruner),
        ("seed", str(spec.seed)),
    ]


def _named(named: Named) -> str:
    return named.name + "".join(f", {key}={value}" for key, value in named.options.items())


def cost(trials: Sequence[FrozenTrial]) -> str:
    """Return what the trials cost, against what they would have cost if none had shared anything."""
    told = [trial.user_attrs for trial in trials if "steps_program" in trial.user_attrs]
    if not told:
        return "No trial has an account of its training steps."
    trained, alone = (sum(int(one[name]) for one in told) for name in ("steps_trained", "steps_program"))
    saved = f"{100 * (1 - trained / alone):.0f} % saved" if alone else "nothing to train"
    text = (
        f"Training steps made: {trained:,} of the {alone:,} that these trials cost alone ({saved}: shared beginnings, "
    )
    text += f"stopped trials, results that were there: {sum(bool(one.get('reused')) for one in told)})."
    untold = len(of_kind(trials, *SETTLED)) - len(told)
    return text + (f" {untold} trial(s) are not in this account: rebuilt, or no program." if untold > 0 else "")


def _plain_best(view: View) -> str:
    if not view.best:
        reasons = Counter(str(one.user_attrs.get(MESSAGE, "")) for one in of_kind(view.trials, "infeasible", "failed"))
        reasons.pop("", None)
        often = f"; most often: {reasons.most_common(1)[0][0]}" if reasons else ""
        return f"no trial is feasible{often}" if view.trials else "no trial was begun"
    if len(view.goals) > 1:
        return f"the front has {len(view.best)} of {len(view.feasible)} feasible trials"
    (best,), (goal,) = view.best, view.goals
    line = f"best trial {best.number}: {goal.title} {goal.text(best.values[0])}"
    if view.default is None:
        return f"{line}; the default configuration is none of the trials"
    if view.default is best:
        return f"{line}; it is the default configuration: no trial was better"
    if view.default in view.valued:
        return f"{line}; default (trial {view.default.number}) {goal.text(view.default.values[0])}"
    return f"{line}; default (trial {view.default.number}) {kind(view.default)}"


def _best(view: View, point: Point, found: Sequence[Parameter]) -> Iterator[str]:
    line = _plain_best(view)
    yield f"{line[0].upper()}{line[1:]}." + (
        " Chosen among many on that split, it looks better there than it is; the test says what is left."
        if view.best and view.default is not view.best[0]
        else ""
    )
    chosen = view.best[0] if view.best else None
    heading = f"trial {chosen.number}" if chosen else ""
    rows = [
        (one.name, one.range, plain(one.default), *([plain(chosen.params.get(one.name, ""))] if chosen else []),
         one.description)
        for one in found
    ]  # fmt: skip
    headings = ("parameter", "range", "default", *([heading] if chosen else []), "what it is")
    yield markdown_table(headings, rows)
    if chosen is not None:
        several = "" if len(view.goals) == 1 else f" (trial {chosen.number}, the front's best {view.goals[0].title})"
        yield f"For a leaderboard{several}:"
        yield f"```yaml\n{snippet(view.spec, point, found, chosen.params)}```"


def snippet(spec: StudySpec, point: Point, found: Sequence[Parameter], values: Mapping[str, Any]) -> str:
    """Return a configuration as the YAML of a leaderboard: its grid and training."""
    method, training = configured(point, found, values)
    keep = [] if point.budget.keep is None else [point.budget.keep]
    row = Row(methods=[method], budget=point.budget.kind, keep=keep, tolerance=spec.tolerance)
    recipe = Training.parse({**spec.training.model_dump(), **training}, "training")
    data = {
        "grid": [row.model_dump(mode="json", exclude_defaults=True)],
        "training": recipe.model_dump(mode="json", exclude_none=True),
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _leaders(view: View) -> Iterator[str]:
    first = view.goals[0]
    ranked = view.best
    if len(view.goals) == 1:
        sign = -1 if first.maximize else 1
        ranked = sorted(view.feasible, key=lambda trial: (sign * first.of(trial), trial.number))
    if len(ranked) > SHOWN:
        yield f"{SHOWN} of {len(ranked)}, by {first.title}; all are in [trials.csv](trials.csv)."
    headings = ("trial", *(goal.title for goal in view.goals), *view.names, "steps trained", "seconds")
    yield markdown_table(
        headings,
        [
            (
                f"{trial.number}{' (default)' if trial is view.default else ''}",
                *(goal.text(trial.values[goal.place]) for goal in view.goals),
                *(plain(trial.params.get(name, "")) for name in view.names),
                str(trial.user_attrs.get("steps_trained", "")),
                plain(trial.user_attrs.get("seconds", "")),
            )
            for trial in ranked[:SHOWN]
        ],
    )


def _without(view: View) -> Iterator[str]:
    told = [(str(kind(one)), str(one.user_attrs.get(MESSAGE, ""))) for one in view.valueless]
    often = Counter(pair for pair in told if pair[1])
    if not often:
        return
    yield "## Why trials have no value"
    rows = [(state, n, said) for (state, said), n in often.most_common(SHOWN)]
    yield markdown_table(("state", "trials", "message"), rows)

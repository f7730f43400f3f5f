"""A method's parameters as Optuna draws them, and drawn values as a cell. No torch, no Optuna."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from benchmark.api import Budget, Fit, Method
from benchmark.errors import SpecError, nearest
from benchmark.harness.tree import check_held
from benchmark.registry import REGISTRY
from benchmark.search import Parameter, parameters
from benchmark.specs import CorpusSpec, Leaderboard, MethodSpec, Row, Training
from studies._metrics import METRICS
from studies._spec import Point, Range, StudySpec

if TYPE_CHECKING:
    import optuna


def space(spec: StudySpec, point: Point) -> list[Parameter]:
    """Return what a study turns: the method's usual parameters and the learning rate, or those that the spec names.

    What the spec fixes as an option is not turned unless it is named.

    Raises:
        SpecError: an unknown parameter (the nearest is suggested), a range that is empty, leaves the parameter's own
            limits or does not fit its kind, or nothing to turn.
    """
    method = _held(point)
    known = {one.name: one for one in _all(spec, point, method)}
    if spec.search is None:
        found = [one for one in known.values() if one.usual and not _is_fixed(one, point, method)]
    else:
        elsewhere = {one.name for other in spec.points() for one in _all(spec, other, _held(other))}
        for name in spec.search:
            if name not in elsewhere:
                raise SpecError(
                    f"search: method {point.method.title!r} has no parameter {name!r}{nearest(name, known)}"
                )
        found = [_narrowed(known[name], asked) for name, asked in spec.search.items() if name in known]
    if not found:
        raise SpecError(
            f"method {point.method.title!r} has nothing to turn; name parameters under search, or tune another"
        )
    _check_ends(point, found)
    return found


def _is_fixed(one: Parameter, point: Point, method: Method) -> bool:
    """Whether the spec itself sets a parameter, be it an option of a part."""
    if one.path[0] != "method":
        return False
    place: Any = point.method.options if len(one.path) == 2 else method.config.model_dump()
    for key in one.path[1:-1]:
        place = place[key]
    return one.path[-1] in place


def _held(point: Point) -> Method:
    """Return the method of a point.

    Raises:
        SpecError: it cannot be held to the point's budget.
    """
    method: Method = REGISTRY.get("method", point.method.name, **point.method.options)
    check_held(point.method.name, method, point.budget)
    return method


def _all(spec: StudySpec, point: Point, method: Method) -> list[Parameter]:
    if not _trains(method, point.budget, spec.training.steps):
        return method.searchable(point.budget)  # it has no learning rate: all trials would be one cell
    of_training = parameters(Training, root=("training",), prefix="training.")
    recipe = [replace(one, default=getattr(spec.training, str(one.path[-1]))) for one in of_training]
    return [*method.searchable(point.budget), *recipe]


def _trains(method: Method, budget: Budget, steps: int) -> bool:
    try:
        return any(isinstance(step, Fit) for step in method.steps(budget, steps))
    except SpecError:
        return True  # as it stands it makes no program; with other values it may


def _narrowed(own: Parameter, asked: Range) -> Parameter:
    """Return a parameter with the range that the spec asks for.

    Raises:
        SpecError: an empty range, or one that does not fit the parameter's kind.
    """
    where = f"search.{own.name}"
    if own.kind == "choice":
        if asked.model_dump(exclude_none=True).keys() - {"choices"}:
            raise SpecError(f"{where}: its values are {', '.join(map(str, own.choices))}; give some of them as a list")
        chosen = tuple(asked.choices or own.choices)
        for value in chosen:
            if value not in own.choices:
                raise SpecError(f"{where}: {value!r} is none of {', '.join(map(str, own.choices))}")
        if len(set(chosen)) < 2:
            raise SpecError(f"{where}: one choice is nothing to turn; set it under options instead")
        return replace(own, choices=chosen)
    if asked.choices is not None:
        raise SpecError(f"{where}: it is a number; give low and high, not a list")
    given = asked.model_dump(exclude_none=True, exclude={"choices"})
    whole = own.kind == "int" and any(float(given.get(key, 0)) % 1 for key in ("low", "high", "step"))
    if whole:
        raise SpecError(f"{where}: it takes whole numbers")
    found = replace(own, **given)
    if found.low is None or found.high is None or not found.low < found.high:
        raise SpecError(f"{where}: the range from {found.low} to {found.high} is empty")
    if found.log and found.low <= 0:
        raise SpecError(f"{where}: low = {found.low:g}; a log scale begins above zero, which belongs to an ablation")
    if found.log and found.step is not None:
        raise SpecError(f"{where}: a log scale has no step; leave one of them out")
    if found.step is None:
        return found
    low, high, step = (Decimal(str(value)) for value in (found.low, found.high, found.step))  # as Optuna counts
    reached = float(low + (high - low) // step * step)
    if reached == found.low:
        raise SpecError(f"{where}: step {found.step:g} leaves nothing but {found.low:g} of the range")
    return replace(found, high=reached)


def _check_ends(point: Point, found: Sequence[Parameter]) -> None:
    """Try both ends of every range, and every choice, one at a time.

    Raises:
        SpecError: the method refuses one of them.
    """
    for one in found:
        for value in one.choices if one.kind == "choice" else (one.low, one.high):
            try:
                method, training = configured(point, [one], {one.name: _whole(one, value)})
                REGISTRY.get("method", method.name, **method.options)
                Training.parse(training, "training")
            except SpecError as error:
                raise SpecError(f"search.{one.name}: {value} cannot be: {error}") from None


def _whole(one: Parameter, value: Any) -> Any:
    return int(value) if one.kind == "int" else value


# --- values -------------------------------------------------------------------------------------------------------


def distributions(found: Sequence[Parameter]) -> dict[str, optuna.distributions.BaseDistribution]:
    """Return Optuna's distribution of each parameter."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made: dict[str, optuna.distributions.BaseDistribution] = {}
    for one in found:
        if one.kind == "choice":
            made[one.name] = CategoricalDistribution(one.choices)
            continue
        assert one.low is not None and one.high is not None
        if one.kind == "int":
            made[one.name] = IntDistribution(int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
        else:
            made[one.name] = FloatDistribution(float(one.low), float(one.high), log=one.log, step=one.step)
    return made


def suggest(trial: optuna.Trial, found: Sequence[Parameter]) -> dict[str, Any]:
    """Draw a value of each parameter."""
    values: dict[str, Any] = {}
    for one in found:
        if one.kind == "choice":
            values[one.name] = trial.suggest_categorical(one.name, one.choices)
            continue
        assert one.low is not None and one.high is not None
        if one.kind == "int":
            low, high, step = int(one.low), int(one.high), int(one.step or 1)
            values[one.name] = trial.suggest_int(one.name, low, high, step=step, log=one.log)
        else:
            values[one.name] = trial.suggest_float(
                one.name, float(one.low), float(one.high), step=one.step, log=one.log
            )
    return values


def default_values(found: Sequence[Parameter]) -> dict[str, Any] | None:
    """Return the values of the default configuration; None where the spec's ranges leave it out."""
    values = {one.name: one.default for one in found}
    return values if fit(found, values) else None


def fit(found: Sequence[Parameter], values: Mapping[str, Any]) -> bool:
    """Whether values lie in the ranges; a value that is missing does not."""
    from optuna.trial import TrialState, create_trial

    if None in values.values():
        return False
    try:
        create_trial(state=TrialState.WAITING, params=dict(values), distributions=distributions(found))
    except (ValueError, TypeError):  # how Optuna says that a trial cannot be
        return False
    return True


def configured(
    point: Point, found: Sequence[Parameter], values: Mapping[str, Any]
) -> tuple[MethodSpec, dict[str, Any]]:
    """Return the method with its options, and the fields of training, that drawn values stand for.

    What equals the default is left out, so that such a trial is the same cell as the plain method; but not where the
    default hangs on another option that was drawn (that of ``l1_enc`` is ``strength``), and would be another one.
    """
    training = {str(one.path[1]): values[one.name] for one in found if one.path[0] == "training"}
    own = [one for one in found if one.path[0] == "method"]
    drawn = [one for one in own if values[one.name] != one.default]
    options = _set(point, drawn, values)
    if drawn and len(drawn) < len(own):
        try:
            now = REGISTRY.get("method", point.method.name, **options).searchable(point.budget)
        except SpecError:  # they do not go together, which whoever wants their program will be told
            now = []
        moved = {one.name for one in now if one.name in values and one.default != values[one.name]}
        options = _set(point, [one for one in own if one in drawn or one.name in moved], values)
    return MethodSpec(name=point.method.name, options=options), training


def _set(point: Point, chosen: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a point with some of them set.

    Those of a part are set in the parts as the method has them, which may be in another order than they were given.
    """
    options = copy.deepcopy(point.method.options)
    if any(len(one.path) > 2 for one in chosen):
        whole = REGISTRY.get("method", point.method.name, **options).config.model_dump(mode="json")
        options |= {str(one.path[1]): whole[str(one.path[1])] for one in chosen if len(one.path) > 2}
    for one in chosen:
        place: Any = options
        for key in one.path[1:-1]:
            place = place[key]
        place[one.path[-1]] = values[one.name]
    return options


def board(
    spec: StudySpec,
    point: Point,
    method: MethodSpec,
    training: Mapping[str, Any],
    *,
    evaluate: Mapping[str, int | None],
    seeds: Sequence[int],
    keep_artefacts: bool = False,
) -> Leaderboard:
    """Return one configuration as a leaderboard of its own, which the harness carries out.

    Raises:
        SpecError: a field of training out of its range.
    """
    keep = [] if point.budget.keep is None else [point.budget.keep]
    corpus = CorpusSpec(**{**spec.corpus.model_dump(exclude={"evaluate"}), "evaluate": dict(evaluate)})
    return Leaderboard(
        name=spec.name,
        model=spec.model,
        corpus=corpus,
        grid=[Row(methods=[method], budget=point.budget.kind, keep=keep, tolerance=spec.tolerance)],
        seeds=list(seeds),
        training=Training.parse({**spec.training.model_dump(), **training}, "training"),
        decoding=spec.decoding,
        normalizer=spec.normalizer,
        profile=None,
        keep_artefacts="all" if keep_artefacts else "none",
    )


def trial_board(spec: StudySpec, point: Point, found: Sequence[Parameter], values: Mapping[str, Any]) -> Leaderboard:
    """Return the cell of one trial: the configuration, on the development split alone."""
    method, training = configured(point, found, values)
    timed = is_timed(spec)
    return board(spec, point, method, training, evaluate=spec.tune.evaluate, seeds=[spec.seed], keep_artefacts=timed)


def is_timed(spec: StudySpec) -> bool:
    """Whether trials must leave an artefact, because they are timed."""
    return any(METRICS[name].source == "timing" for name in (*spec.objectives, *spec.constraints))

"""The arms of an ablation, and the leaderboards that carry them out. No torch.

The *full* method is what ``method`` says at each point; every other arm is that under one patch or several. An arm is
one ordinary cell a seed, so that it lies in the store like any other, and shares what it can with its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmark.api import Corpus, Method
from benchmark.errors import SpecError, nearest
from benchmark.registry import REGISTRY
from benchmark.spec_files import validate
from benchmark.specs import Leaderboard, MethodSpec, Row, Training, digest
from benchmark.text.chosen import resolve
from studies._ablation import AblationPoint, AblationSpec

TRAINING, NORMALIZER, METHOD = "training.", "normalizer", "method"
"""What a patch may hold besides options of the method: fields of training, the normaliser, another method."""


@dataclass(frozen=True)
class Arm:
    """The full method at a point with some parts changed; of one design, each is one configuration of all seeds."""

    point: AblationPoint
    changed: tuple[tuple[str, str], ...]
    """Factor and level of what differs from the full method, which has none."""
    method: MethodSpec
    training: Training
    normalizer: str

    @property
    def full(self) -> bool:
        """Whether this is the full method."""
        return not self.changed

    def __str__(self) -> str:
        return " + ".join(f"{factor}: {level}" for factor, level in self.changed) or "full method"


# --- arms ---------------------------------------------------------------------------------------------------------


def arms(spec: AblationSpec) -> list[Arm]:
    """Return the arms, point by point, the full method first.

    ``one_at_a_time`` changes one factor in each; ``factorial`` has every combination of all levels.

    Raises:
        SpecError: an unknown name or option, a value that cannot be, two factors that patch the same thing, or an arm
            that is the full method or another arm under another name.
    """
    corpus: Corpus = REGISTRY.get("corpus", spec.corpus.name, **spec.corpus.options)
    found: list[Arm] = []
    for point in spec.points:
        ours = [_arm(spec, point, patches) for patches in _designed(spec, point)]
        _check_distinct(ours, corpus.language)
        found += ours
    return found


Patch = tuple[str, str, Mapping[str, Any]]
"""Factor, level, and what it changes."""


def _designed(spec: AblationSpec, point: AblationPoint) -> Iterator[tuple[Patch, ...]]:
    factors = spec.factors_at(point)
    levels = [[(factor.name, name, patch) for name, patch in factor.levels.items()] for factor in factors]
    if spec.design == "one_at_a_time":
        yield ()
        for of_factor in levels:
            yield from ((level,) for level in of_factor)
        return
    choices: list[list[Patch | None]] = [[None, *of_factor] for of_factor in levels]
    for combination in product(*choices):
        yield tuple(level for level in combination if level is not None)


def _arm(spec: AblationSpec, point: AblationPoint, patches: Sequence[Patch]) -> Arm:
    """Lay patches over the full method, and check what comes out against the registry."""
    changed = tuple((factor, level) for factor, level, _ in patches)
    where = "; ".join(f"factor {factor!r}, level {level!r}" for factor, level in changed) or f"point {point}"
    merged = _merged(patches, where)
    training = {key.removeprefix(TRAINING): merged.pop(key) for key in list(merged) if key.startswith(TRAINING)}
    normalizer = merged.pop(NORMALIZER, spec.normalizer)
    method = _patched(spec, point, merged, where)
    recipe: Training = Training.parse({**spec.training.model_dump(), **training}, f"{where}: training")
    arm = Arm(point, changed, method, recipe, str(normalizer))
    try:
        validate(leaderboard(spec, [arm], spec.name))
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    return arm


def _merged(patches: Sequence[Patch], where: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for factor, _, patch in patches:
        for key, value in patch.items():
            if key in merged:
                raise SpecError(f"{where}: {key!r} is changed by factor {factor!r} and by another; part them")
            merged[key] = value
    return merged


def _patched(spec: AblationSpec, point: AblationPoint, patch: dict[str, Any], where: str) -> MethodSpec:
    """Return the full method of a point under a patch of options; null gives an option back to the method."""
    other = patch.pop(METHOD, None)
    if other is None:
        name, options = spec.method.name, {**spec.method.options, **point.options, **patch}
        known = REGISTRY.lookup("method", name).Config.model_fields
    else:
        named = MethodSpec.named(str(other))
        name, options = named.name, {**named.options, **patch}
        known = REGISTRY.lookup("method", name).Config.model_fields
    for key in options:
        if key not in known:  # also one that is null, and would vanish without a word
            raise SpecError(f"{where}: method {name!r} has no option {key!r}{nearest(key, known)}")
    return MethodSpec(name=name, options={key: value for key, value in options.items() if value is not None})


def _check_distinct(found: Sequence[Arm], language: str) -> None:
    """Refuse arms of one point that change one factor and mean the same.

    Combinations may coincide (what the group pass does not reach does not depend on its groups).
    """
    seen: dict[str, Arm] = {}
    for arm in found:
        if len(arm.changed) > 1:
            continue
        try:
            means = meaning(arm, language)
        except SpecError as error:
            raise SpecError(f"{arm} at {arm.point}: {error}") from None
        first = seen.setdefault(means, arm)
        if first is not arm:
            said = "the full method itself" if first.full else f"the same as {first}"
            raise SpecError(f"{arm} at {arm.point} is {said}; change a value, or leave the level out")


def meaning(arm: Arm, language: str) -> str:
    """Return a hash of what an arm's numbers depend on: its program, recipe and normaliser."""
    from benchmark.harness.tree import checked_program

    method: Method = REGISTRY.get("method", arm.method.name, **arm.method.options)
    program = checked_program(arm.method.name, method, arm.point.asked(), arm.training.steps)
    return digest([program, arm.training.identity(), resolve(arm.normalizer, language).signature()], defaults=True)


# --- leaderboards -------------------------------------------------------------------------------------------------


def leaderboard(spec: AblationSpec, some: Sequence[Arm], name: str) -> Leaderboard:
    """Return what the harness carries out for arms of one training recipe: a row a point, each method once."""
    rows = []
    for point in dict.fromkeys(str(arm.point) for arm in some):
        ours = [arm for arm in some if str(arm.point) == point]
        methods: list[MethodSpec] = []
        for arm in ours:  # normalisers share their cells
            if arm.method not in methods:
                methods.append(arm.method)
        asked = ours[0].point
        keep = [] if asked.keep is None else [asked.keep]
        rows.append(Row(methods=methods, budget=asked.budget, keep=keep, tolerance=asked.tolerance))
    return Leaderboard(
        name=name,
        model=spec.model,
        corpus=spec.corpus,
        grid=rows,
        seeds=spec.seeds,
        training=some[0].training,
        decoding=spec.decoding,
        normalizer=some[0].normalizer if len(some) == 1 else spec.normalizer,
        profile=None,
        keep_artefacts="none",
    )


def leaderboards(spec: AblationSpec, found: Sequence[Arm]) -> list[Leaderboard]:
    """Return one leaderboard a training recipe: ``<name>`` with the spec's own, else ``<name>-<field>-<value>``."""
    boards = []
    recipes: list[Training] = []
    for arm in found:
        if arm.training not in recipes:
            recipes.append(arm.training)
    for recipe in recipes:
        other = recipe.model_dump()
        fields = [f"{key}-{other[key]}" for key, value in spec.training.model_dump().items() if other[key] != value]
        ours = [arm for arm in found if arm.training == recipe]
        boards.append(leaderboard(spec, ours, "-".join([spec.name, *fields])))
    return boards

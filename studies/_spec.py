"""The spec of a study: what is tuned, on what speech, how often, and how the best is tested in the end. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, field_validator, model_validator

from benchmark.api import Budget, BudgetKind, Frozen
from benchmark.errors import SpecError
from benchmark.measure.decoding import Decoding
from benchmark.reading import parse_as, presets_of, read_mapping
from benchmark.specs import (
    CorpusSpec,
    MethodSpec,
    ModelSpec,
    ProfileSpec,
    Row,
    Seed,
    Training,
    as_methods,
    digest,
    kept_fractions,
)
from studies._metrics import check_metrics, direction_of

PRESETS = "studies.presets"
ERRORS = ("error", "wer", "cer")
Limit = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Tuning(Frozen):
    """The development split that trials are scored on."""

    split: str = "dev"
    utterances: int | None = Field(default=200, ge=1, description="of its beginning; all when null")

    @property
    def evaluate(self) -> dict[str, int | None]:
        """The split as a leaderboard's corpus names it."""
        return {self.split: self.utterances}

    @field_validator("split")
    @classmethod
    def _never_test(cls, value: str) -> str:
        if re.search(r"(?<![a-z])test(?![a-z])", value.lower()):
            raise ValueError("a study never sees a test split; tune on dev, and name it under test for the end")
        return value


class Testing(Frozen):
    """The one evaluation at the end: the best and the default configuration, on speech that no trial has seen."""

    splits: dict[str, int | None] = Field(default={"test": 300}, min_length=1)
    seeds: list[Seed] = Field(
        default=[1, 2, 3], min_length=1, description="of the training; not the one that is tuned with"
    )

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError(f"seed {max(value, key=value.count)} is named twice, and would count twice")
        return value


class Looks(Frozen):
    """How often a pruner looks into the Fit after the last Prune."""

    every: int = Field(default=20, ge=1, description="path steps between two looks")
    after: int = Field(default=20, ge=0, description="steps after the last Prune before the first look")
    utterances: int = Field(default=100, ge=1, description="of the development split, from its beginning")


class Named(Frozen):
    """A sampler or pruner by Optuna's name, and its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class StorageSpec(Frozen):
    """Where trials are coordinated; nothing given: a journal file beside the runs."""

    url: str | None = None
    heartbeat: int = Field(default=60, ge=1, description="seconds between signs of life (databases only)")
    grace: int | None = Field(default=None, ge=1, description="seconds of silence until a trial counts as dead")

    @model_validator(mode="after")
    def _silence_is_longer_than_a_beat(self) -> StorageSpec:
        if self.grace is not None and self.grace <= self.heartbeat:
            raise ValueError(f"grace = {self.grace}: living workers would be taken for dead; it must exceed heartbeat")
        return self


class Range(Frozen):
    """What a study makes of a parameter's own range; what is left out stays."""

    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    log: bool | None = None
    step: FiniteFloat | None = Field(default=None, gt=0)
    choices: list[Any] | None = Field(default=None, min_length=1)


class StudySpec(Frozen):
    """A whole study: everything that ``prunebench study run`` and ``tune-all`` need."""

    name: str = Field(default="study", pattern=r"^\w[\w.-]*$", description="also the default run folder's name")
    model: ModelSpec = ModelSpec()
    corpus: CorpusSpec = CorpusSpec()
    methods: list[MethodSpec] = Field(min_length=1, description="each is tuned at each point")
    budget: BudgetKind = "none"
    keep: list[float] = Field(default=[], description="kept fractions: one study each")
    tolerance: float = Field(default=0.005, gt=0, lt=1)
    search: dict[str, Range] | None = Field(
        default=None, description="parameters to turn, with narrower ranges if wanted; null: the method's usual ones"
    )
    objectives: list[str] = Field(default=["error"], min_length=1)
    constraints: dict[str, Limit] = Field(default={}, description="metric to the largest value that is feasible")
    reference: dict[str, FiniteFloat] = Field(
        default={}, description="objective to its worst value, for the hypervolume"
    )
    trials: int = Field(default=20, ge=1, description="finished trials, over all restarts and workers")
    sampler: Named = Named(name="TPESampler")
    pruner: Named | None = None
    looks: Looks = Looks()
    tune: Tuning = Tuning()
    test: Testing | None = Testing()
    training: Training = Training()
    decoding: Decoding = Decoding()
    normalizer: str = "auto"
    profile: ProfileSpec = ProfileSpec()
    storage: StorageSpec = StorageSpec()
    seed: Seed = 0
    keep_nodes: int = Field(default=8, ge=1, description="trained states that stay for other trials")

    _names_are_methods = field_validator("methods", mode="before")(as_methods)
    _keep_in_range = field_validator("keep")(kept_fractions)

    @field_validator("search", mode="before")
    @classmethod
    def _names_are_ranges(cls, value: Any) -> Any:
        """Take ``[alpha, rho]``, ``{alpha: null}``, ``{groups: [column, head]}`` for what they mean."""
        if isinstance(value, list):
            return {str(name): {} for name in value}
        if isinstance(value, Mapping):
            short = {None: lambda _: {}, list: lambda item: {"choices": item}}
            return {name: short.get(None if item is None else type(item), lambda i: i)(item)
                    for name, item in value.items()}  # fmt: skip
        return value

    @model_validator(mode="after")
    def _parts_fit(self) -> StudySpec:
        if self.budget == "none" and self.keep:
            raise ValueError("kept fractions need a kind of budget, e.g. budget: prunable_stored")
        if self.budget != "none" and not self.keep:
            raise ValueError(f"budget {self.budget} needs kept fractions, e.g. keep: [0.5]")
        check_metrics(self.objectives, self.constraints, self.reference)
        if len(self.objectives) > 1 and self.pruner is not None:
            raise ValueError("Optuna prunes trials of one objective only; leave pruner out, or take one objective")
        if self.pruner is not None and self.objectives[0] not in ERRORS:
            raise ValueError(f"a pruner looks at error rates; objective {self.objectives[0]!r} goes without one")
        if self.pruner is not None and self.constraints:
            raise ValueError(
                "a pruner compares with trials that break a constraint too; leave pruner or constraints out"
            )
        if self.corpus.evaluate != CorpusSpec().evaluate:
            raise ValueError("corpus.evaluate: a study says under tune and test what is evaluated; leave it out")
        names = [point.name for point in self.points()]
        if len(set(names)) < len(names):
            raise ValueError(f"study {max(names, key=names.count)!r} is asked for twice (methods x kept fractions)")
        if self.test is not None and self.seed in self.test.seeds:
            raise ValueError(
                f"test.seeds names {self.seed}, the seed that is tuned with: what was chosen fits it; test with others"
            )
        if self.test is not None and self.tune.split in self.test.splits:
            raise ValueError(f"split {self.tune.split!r} is tuned on, so that no test can be made on it")
        return self

    def points(self) -> list[Point]:
        """Return one study a method and kept fraction."""
        row = Row(methods=self.methods, budget=self.budget, keep=self.keep, tolerance=self.tolerance)
        found = [(method, budget) for method in self.methods for budget in row.budgets()]
        if len(found) == 1:
            return [Point(self.name, *found[0])]
        return [Point(f"{self.name}.{_slug(method)}.{_keep(budget)}", method, budget) for method, budget in found]

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """Which way each objective is better."""
        return [direction_of(name) for name in self.objectives]

    def identity(self, point: Point) -> str:
        """Return a hash of what a trial's values mean: the same for any space, sampler, storage or number of trials."""
        parts = {"model", "corpus", "objectives", "constraints", "tune", "training", "decoding", "normalizer", "seed"}
        meant = self.model_dump(mode="json", include=parts)
        meant["corpus"].pop("evaluate")
        meant["training"] = self.training.identity()
        # the batch of decoding changes nothing, but was always in it: studies that were begun must be found again
        meant["decoding"] = {**self.decoding.identity(), "batch": self.decoding.batch}
        return digest({**meant, "method": point.method, "budget": point.budget}, defaults=True)[:16]


@dataclass(frozen=True)
class Point:
    """One study: a method that is tuned at one budget. ``name`` is that of the study in its storage."""

    name: str
    method: MethodSpec
    budget: Budget

    def folder(self, run: Path) -> Path:
        """Return where the study's own files lie in a run folder."""
        return run / "studies" / self.name


def _slug(method: MethodSpec) -> str:
    plain = re.sub(r"[^\w-]+", "-", method.title)
    bare = MethodSpec.named(method.title) == method
    return plain if bare else f"{plain}-{digest(method.options)[:6]}"


def _keep(budget: Budget) -> str:
    return "own" if budget.keep is None else f"{budget.kind.removeprefix('prunable_')}-{budget.keep:g}"


def presets() -> list[str]:
    """Return the names of the specs that come with the package: of studies and of ablations."""
    return presets_of(PRESETS)


def load_study(source: str | Path) -> StudySpec:
    """Read the spec of a study from a YAML file, or by the name of a preset.

    Raises:
        SpecError: no such file or preset, broken YAML, an unknown key, or a value that cannot be.
    """
    data, where = read_mapping(source, PRESETS, needs="methods")
    if "factors" in data:
        raise SpecError(f"{where}: this is the spec of an ablation (it has factors): prunebench study ablate {source}")
    return parse_as(StudySpec, data, where)

"""Typed specs: what a leaderboard asks for, the cells it unfolds into, and their ids. No torch import.

A cell's id is a SHA-256 over its meaning: model and revision, method and its non-default options, budget, training
recipe, decoding, corpus and its version, seed. Paths, devices, worker counts and normalisers are not in it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from benchmark.api import Budget, BudgetKind, Frozen
from benchmark.measure.decoding import Decoding
from benchmark.search import Search

IDENTITY_VERSION = 3
"""Part of every hash: raised when the meaning of a spec changes, so that old records are never taken for new ones."""


Seed = Annotated[int, Field(ge=0, lt=2**31)]


LANGUAGE = "{language}"
"""What stands for the language in the corpus of a leaderboard of several."""


Tracker = Literal["tensorboard", "mlflow", "wandb"]


class SpecAugment(Frozen):
    """SpecAugment (Park et al. 2019, arXiv 1904.08779): stretches of time and bands of frequency are set to zero.

    The defaults are those that transformers has for Whisper; where stretches overlap, less is hidden than the shares
    say. Of which utterance what is hidden is a function of the seed and the place in the stream of training, so it is
    the same for every cell (``harness.augment``).
    """

    time: float = Field(default=0.05, ge=0, lt=1, description="mean share of the frames; 2 stretches at least, or 0")
    time_length: int = Field(default=10, ge=1, description="frames of a stretch")
    feature: float = Field(default=0.0, ge=0, lt=1, description="mean share of the mel bands")
    feature_length: int = Field(default=10, ge=1, description="mel bands of a band that is hidden")

    def meant(self) -> SpecAugment | None:
        """Return what results depend on: None where nothing is hidden, and no length of what is switched off."""
        if self.time == self.feature == 0:
            return None
        fields = type(self).model_fields
        off = [name for name in ("time", "feature") if getattr(self, name) == 0]
        return self.model_copy(update={f"{name}_length": fields[f"{name}_length"].default for name in off})


class Training(Frozen):
    """The recipe every cell of a leaderboard shares: T optimiser steps and how each is made."""

    steps: int = Field(default=120, ge=1, description="optimiser steps on the path of every cell (T)")
    batch: int = Field(default=16, ge=1, description="utterances a step")
    learning_rate: Annotated[float, Search(2e-5, 2e-3, log=True)] = Field(
        default=2e-4, gt=0, lt=1, description="peak rate of each Fit"
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of each Fit that warms up")
    decay: Literal["linear", "cosine"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="of the passes; weights and optimiser are fp32. fp16 needs a GPU"
    )
    utterances: int | None = Field(default=None, ge=1, description="size of the training pool; all when absent")
    spec_augment: SpecAugment | None = Field(default=None, description="hide parts of what is heard; off when absent")
    group_by_length: bool = Field(default=False, description="batches of transcripts that are about equally long")
    accumulate: int = Field(
        default=1, ge=1, description="parts that a batch is passed in, for want of memory; a model with dropout takes 1"
    )
    checkpointing: bool = Field(default=False, description="compute activations twice instead of keeping them")
    checkpoint_every: int | None = Field(
        default=None, ge=1, description="optimiser steps between two checkpoints inside a Fit; none when absent"
    )
    report_to: tuple[Tracker, ...] | None = Field(
        default=None, description="who is told of the loss; absent: tensorboard where it is installed; []: nobody"
    )

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Training:
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate = {self.accumulate} does not divide batch = {self.batch} into equal parts")
        return self

    def identity(self) -> dict[str, Any]:
        """Return what results depend on: what a cell's id, a node's and a study's are made of.

        A field that came later is left out where it has its default, so that older ids stay what they were. How the
        work is carried out (``CARRIED_OUT``) is never in it.
        """
        fields = type(self).model_fields
        meant = self.model_copy(update={"spec_augment": self.spec_augment and self.spec_augment.meant()})
        plain = {name for name in LATER if getattr(meant, name) == fields[name].get_default(call_default_factory=True)}
        return meant.model_dump(mode="json", exclude=plain | CARRIED_OUT)


LATER = frozenset({"spec_augment", "group_by_length"})
"""Fields of ``Training`` that change results and came after ids were given out."""
CARRIED_OUT = frozenset({"accumulate", "checkpointing", "checkpoint_every", "report_to"})
"""Fields of ``Training`` that say how the same result is come by."""


class ModelSpec(Frozen):
    """A model plug-in and its options."""

    name: str = "nano-hi"
    options: dict[str, Any] = Field(default_factory=dict)


class CorpusSpec(Frozen):
    """A corpus plug-in, its options, and how many utterances of each evaluation split are used (null: all)."""

    name: str = "synthetic-hi"
    options: dict[str, Any] = Field(default_factory=dict)
    train: str = "train"
    evaluate: dict[str, int | None] = Field(default={"test": 300})

    @property
    def for_any_language(self) -> bool:
        """Whether name or options hold a place for the language."""
        return any(LANGUAGE in text for text in (self.name, *self.options.values()) if isinstance(text, str))

    def spoken(self, language: str) -> CorpusSpec:
        """Return the corpus of one language: its code in the place of ``{language}`` in the name and in options."""

        def put(value: Any) -> Any:
            return value.replace(LANGUAGE, language) if isinstance(value, str) else value

        options = {key: put(value) for key, value in self.options.items()}
        return self.model_copy(update={"name": put(self.name), "options": options})


COMPOSE = "compose"
"""The method that ``a+b`` is short for, with the options ``parts: [{name: a}, {name: b}]``."""


class MethodSpec(Frozen):
    """A method plug-in and its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def named(cls, name: str) -> MethodSpec:
        """Return the method of that name, or the composition of names joined by ``+``."""
        parts = [part.strip() for part in name.split("+")]
        if len(parts) == 1:
            return cls(name=name)
        return cls(name=COMPOSE, options={"parts": [{"name": part} for part in parts]})

    @property
    def title(self) -> str:
        """The name, or the names of a composition's parts joined by ``+``."""
        parts = self.options.get("parts") if self.name == COMPOSE else None
        named = isinstance(parts, list) and all(isinstance(part, dict) and "name" in part for part in parts)
        return "+".join(str(part["name"]) for part in parts) if parts and named else self.name


def as_methods(value: Any) -> Any:
    """Return what a spec lists as methods with names, and names joined by ``+``, in full."""
    if isinstance(value, list):
        return [MethodSpec.named(item) if isinstance(item, str) else item for item in value]
    return value


def kept_fractions(value: list[float]) -> list[float]:
    """Return kept fractions.

    Raises:
        ValueError: one is not above 0 and at most 1.
    """
    for keep in value:
        if not 0 < keep <= 1:
            raise ValueError(f"a kept fraction lies above 0 and at most 1, not {keep:g}")
    return value


class VersionedMethod(MethodSpec):
    """What a cell says of its method."""

    version: str


class Row(Frozen):
    """One line of the grid: methods that are held to the same kind of budget at the same kept fractions."""

    methods: list[MethodSpec] = Field(min_length=1)
    budget: BudgetKind = "none"
    keep: list[float] = Field(default_factory=list)
    tolerance: float = Field(default=0.005, gt=0, lt=1)

    _names_are_methods = field_validator("methods", mode="before")(as_methods)
    _keep_in_range = field_validator("keep")(kept_fractions)

    def budgets(self) -> list[Budget]:
        """Return the budgets of this line: one per kept fraction, or the one of kind ``none``."""
        if self.budget == "none":
            return [Budget()]
        return [Budget(kind=self.budget, keep=keep, tolerance=self.tolerance) for keep in self.keep]


class ProfileSpec(Frozen):
    """How much is timed after the cells."""

    utterances: int = Field(default=32, ge=1)
    batch: int = Field(default=8, ge=1)
    repeats: int = Field(default=5, ge=3)
    seconds: float = Field(default=2.0, gt=0, description="time to spend on one artefact, after 3 repeats")


class Leaderboard(Frozen):
    """A whole leaderboard: everything that ``prunebench run`` needs."""

    name: str = Field(default="leaderboard", pattern=r"^\w[\w.-]*$", description="also the default run folder's name")
    model: ModelSpec = ModelSpec()
    corpus: CorpusSpec = CorpusSpec()
    grid: list[Row] = Field(min_length=1)
    seeds: list[Seed] = Field(default=[0], min_length=1)
    training: Training = Training()
    decoding: Decoding = Decoding()
    languages: list[str] = Field(
        default=[], description="the grid once for each of these languages, whose code stands for {language} in corpus"
    )
    normalizer: str = Field(default="auto", description="of the scores; auto: that of each corpus' language")
    profile: ProfileSpec | None = ProfileSpec()
    keep_artefacts: Literal["all", "front", "none"] = "all"
    """Which models stay on disk once they have been timed: all, those on a Pareto front of error against size, none."""

    @field_validator("languages")
    @classmethod
    def _each_language_once(cls, value: list[str]) -> list[str]:
        for code in value:
            if value.count(code) > 1:
                raise ValueError(f"language {code!r} is named twice")
        return value

    def per_language(self) -> list[Leaderboard]:
        """Return one leaderboard a language, each with its own corpus; this one alone where no languages are named."""
        if not self.languages:
            return [self]
        return [
            self.model_copy(update={"languages": [], "corpus": self.corpus.spoken(language)})
            for language in self.languages
        ]


class Cell(Frozen):
    """One attempt's worth of meaning. ``training`` is absent where the method's program trains nothing."""

    model: dict[str, Any]
    corpus: dict[str, Any]
    method: VersionedMethod
    budget: Budget
    training: Training | None
    decoding: dict[str, Any]
    seed: int

    @property
    def id(self) -> str:
        """16 hex digits of SHA-256 over the canonical form."""
        return digest(self.identity())[:16]

    def identity(self) -> dict[str, Any]:
        """The canonical form that is hashed and written as ``spec.json``."""
        return {
            "identity": IDENTITY_VERSION,
            "model": self.model,
            "corpus": self.corpus,
            "method": self.method.model_dump(),
            "budget": self.budget.model_dump(),
            "training": self.training.identity() if self.training else None,
            "decoding": self.decoding,
            "seed": self.seed,
        }


OURS = ("benchmark", "methods")


def canonical(value: Any, defaults: bool = False) -> Any:
    """Return plain JSON data; a frozen model becomes its class and its fields (the non-default ones by default).

    Leaving defaults out lets a step gain a field later without a change of every hash (open_lth, desc.py). A class of
    ours is known by its name, so that files may move; a stranger's by its module too, so that two cannot collide.
    """
    if isinstance(value, BaseModel):
        fields = {
            name: canonical(getattr(value, name), defaults)
            for name, info in type(value).model_fields.items()
            if defaults or getattr(value, name) != info.get_default(call_default_factory=True)
        }
        kind, home = type(value).__qualname__, type(value).__module__
        return {"is": kind if home.partition(".")[0] in OURS else f"{home}.{kind}", **fields}
    if isinstance(value, dict):
        return {str(key): canonical(item, defaults) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item, defaults) for item in value]
    return value


def digest(value: Any, defaults: bool = False) -> str:
    """Return SHA-256 (hex) of the canonical JSON of ``value``."""
    text = json.dumps(canonical(value, defaults), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

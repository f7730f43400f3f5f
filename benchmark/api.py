"""The words of the house as types: what a plug-in implements and what the harness passes around.

Nothing here imports torch: a plug-in can be listed, validated and hashed without a deep-learning stack.
Everything that takes part in an identity (configs, budgets, steps, rules, penalties) is a frozen pydantic model.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator

from benchmark.errors import SpecError, nearest

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Matrix, Structure
    from benchmark.whisper.view import View

BudgetKind = Literal["none", "prunable_nominal", "prunable_stored", "params", "macs"]
Unit = Literal["word", "char"]


class Frozen(BaseModel):
    """A value: immutable, compared by content, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, options: Mapping[str, Any], where: str) -> Any:
        """Validate ``options``; an error is one line that names the place, the field and the value.

        Raises:
            SpecError: an unknown field (the nearest is suggested) or a value out of its range.
        """
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "value"
            if first["type"] == "extra_forbidden":
                hint = nearest(str(first["loc"][-1]), cls.model_fields) if len(first["loc"]) == 1 else ""
                raise SpecError(f"{where}: unknown key {field!r}{hint}") from None
            message = first["msg"].removeprefix("Value error, ")
            raise SpecError(f"{where}: {field} = {first['input']!r}: {message}") from None


class Config(Frozen):
    """Base of a plug-in's typed options; a plug-in without options uses it as it is."""


class Budget(Frozen):
    """What a cell must reach: a kind of counting, the kept fraction of its denominator, and a tolerance.

    ``keep`` is a fraction in (0, 1]; ``tolerance`` is a fraction of the same denominator.
    """

    kind: BudgetKind = "none"
    keep: float | None = Field(default=None, gt=0, le=1)
    tolerance: float = Field(default=0.005, gt=0, lt=1)

    @model_validator(mode="after")
    def _keep_goes_with_kind(self) -> Budget:
        if (self.kind == "none") != (self.keep is None):
            raise ValueError("a budget has a kept fraction exactly when its kind is not 'none'")
        return self

    def __str__(self) -> str:
        return "none" if self.keep is None else f"{self.kind}@{self.keep:g}"


# --- steps of a program -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OptimizerStep:
    """The step that an optimiser has just made, as a proximal penalty must know it."""

    lr: float
    metric: Callable[[Matrix], torch.Tensor]
    """Matrix to what its gradient was divided by (Adam: ``sqrt(v_hat) + eps``): positive, its shape, fp32."""


class Penalty(Frozen):
    """A regulariser of a Fit: a differentiable ``loss``, or a proximal step ``prox_`` after each optimiser step.

    Both work in fp32 on the master weights.
    """

    @property
    def proximal(self) -> bool:
        """Whether ``prox_`` is called after each optimiser step, instead of adding ``loss`` to the cross-entropy."""
        return False

    def loss(self, view: View) -> torch.Tensor:
        """Return the penalty as a scalar tensor that carries gradients to the prunable weights."""
        raise NotImplementedError(f"{type(self).__name__} defines no loss")  # an abstract method; Frozen is no ABC

    def prox_(self, view: View, step: OptimizerStep) -> None:
        """Move the prunable weights, in place, to the minimum of penalty plus distance in the optimiser's metric."""
        raise NotImplementedError(f"{type(self).__name__} defines no proximal step")


class Rule(Frozen):
    """Decides what goes. Sees weights, the plan so far and statistics of a Calibrate step, never the data."""

    budget: Budget = Budget()

    def smallest(self, structure: Structure) -> int:
        """Return the weights of the smallest thing the rule removes: half of it is the least possible miss."""
        return 1

    def decide(self, view: View) -> Plan:
        """Return what is left, in indices of the dense model; the harness composes it with the plan so far."""
        raise NotImplementedError(f"{type(self).__name__} decides nothing")  # an abstract method; Frozen is no ABC

    def rewrite(self, view: View, plan: Plan) -> Mapping[str, torch.Tensor]:
        """Return new values of parameters, by name, where the rule repairs what its ``plan`` does; none by default."""
        return {}


class Fit(Frozen):
    """Train for ``steps`` optimiser steps; warm-up and decay of the learning rate restart with each Fit."""

    steps: int = Field(gt=0)
    penalty: SerializeAsAny[Penalty] | None = None
    loss: Literal["ce"] = "ce"


Statistic = Literal["input_square", "input_covariance", "gradient", "tokens"]


class Calibrate(Frozen):
    """Run the model over some training utterances and give a rule's view what is asked for, until the next Fit.

    The utterances are a seeded draw from the training pool. ``input_square`` is, per matrix, the mean of ``x ** 2`` of
    each input, shape ``(in,)``; ``input_covariance`` the mean of ``x`` ``(in,)`` and of its outer product
    ``(in, in)``; ``gradient`` the mean gradient of the cross-entropy, of the matrix' shape; ``tokens`` how often each
    token stands in the transcripts of the whole pool, and which ones a tokenizer cannot do without.
    """

    utterances: int = Field(gt=0)
    statistics: tuple[Statistic, ...] = Field(min_length=1)


class Prune(Frozen):
    """Ask the rule for a plan and apply it; pruned weights stay exactly zero from here on."""

    rule: SerializeAsAny[Rule]


class Rewind(Frozen):
    """Restore weights and optimiser to path step ``to_step`` (0, or the end of an earlier Fit); keep the plan.

    Gives no steps back: the path step goes on counting, and so does the data.
    """

    to_step: int = Field(ge=0)


class Quantise(Frozen):
    """Store and execute the Linear layers of the result in fewer bits; comes after all training."""

    kind: Literal["int8"] = "int8"


Step = Fit | Calibrate | Prune | Rewind | Quantise


# --- plug-ins -----------------------------------------------------------------------------------------------------


class Plugin(ABC):
    """What all kinds of plug-in share: a name, a version, typed options and a card."""

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    Config: ClassVar[type[Config]] = Config

    def __init__(self, /, **options: Any) -> None:
        self.config = self.Config.parse(options, where=f"options of {self.name!r}")

    @classmethod
    def card(cls) -> str:
        """The plug-in's description: its class docstring."""
        return (cls.__doc__ or "").strip()


class MethodConfig(Config):
    """Options every method has."""

    split: float = Field(
        default=0.5, gt=0, lt=1, description="share of the training steps that is spent before the first Prune"
    )


class Method(Plugin):
    """A compression method: turns a budget and a number of training steps into a program."""

    Config: ClassVar[type[Config]] = MethodConfig
    budgets: ClassVar[frozenset[BudgetKind]]
    """Kinds of budget that the method can be held to."""

    @abstractmethod
    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Yield the steps; the Fits must add up to ``total_steps`` (or there is none at all). Pure."""

    @staticmethod
    def before(split: float, total_steps: int) -> int:
        """Optimiser steps before the first Prune: at least one, and at least one is left for after it."""
        if total_steps < 2:
            raise SpecError(f"training.steps = {total_steps}: a method that prunes needs at least 2 (before, after)")
        return min(max(round(split * total_steps), 1), total_steps - 1)


class Finisher(Method):
    """A method whose work comes after all training, so that it can follow any other method (``compose``).

    By itself it trains like ``dense``, whose nodes it shares.
    """

    prunes: ClassVar[bool] = False
    """Whether it changes the number of prunable weights, which a budget counts."""

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Train as ``dense`` does, then finish."""
        before = self.before(self.config.split, total_steps)
        yield Fit(steps=before)
        yield Fit(steps=total_steps - before)
        yield from self.finish(budget)

    @abstractmethod
    def finish(self, budget: Budget) -> Iterator[Step]:
        """Yield the steps after training: Calibrate, Prune, Quantise. Pure."""


class Normalizer(Plugin):
    """Text in, comparable text out: pure, deterministic, total, and idempotent unless ``reference`` is set."""

    languages: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[Unit] = "word"
    reference: ClassVar[bool] = False
    """True for other people's normalisers, kept as they are because results were reported with them."""

    @abstractmethod
    def __call__(self, text: str) -> str:
        """Return the normalised text."""

    def signature(self) -> str:
        """Name, version and non-default options, e.g. ``hindi:1[nasal=off]``."""
        options = self.config.model_dump(exclude_defaults=True)
        listed = ",".join(f"{key}={_short(value)}" for key, value in sorted(options.items()))
        return f"{self.name}:{self.version}" + (f"[{listed}]" if listed else "")


def _short(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


class Model(Plugin):
    """A Whisper checkpoint and how to get it."""

    @property
    @abstractmethod
    def revision(self) -> str:
        """What fixes the weights: a digest or a commit. Part of every cell's identity."""

    @abstractmethod
    def load(self) -> tuple[Any, Any]:
        """Return ``(model, processor)``: a WhisperForConditionalGeneration in fp32, and its WhisperProcessor."""


class Split(ABC):
    """Utterances of one split, in a fixed order, with audio at 16 kHz."""

    ids: Sequence[str]
    texts: Sequence[str]
    speakers: Sequence[str]
    skipped: Sequence[str] = ()
    """Files that were left out because they cannot be read (only where the corpus was asked to)."""

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def waveform(self, index: int) -> np.ndarray:
        """Return mono float32 samples in [-1, 1] at 16 kHz, shape ``(samples,)``."""

    @property
    @abstractmethod
    def data_hash(self) -> str:
        """SHA-256 over ids, texts and audio of the utterances in this split, in order."""

    def hash_of(self, audio: Sequence[bytes]) -> str:
        """Combine one digest of audio per utterance with ids and texts into ``data_hash``."""
        digest = hashlib.sha256()
        for key, text, sound in zip(self.ids, self.texts, audio, strict=True):
            for part in (key.encode(), text.encode(), sound):
                digest.update(len(part).to_bytes(8, "little"))
                digest.update(part)
        return digest.hexdigest()


class Corpus(Plugin):
    """A named, versioned set of transcribed speech."""

    language: str
    """Whisper's language code, e.g. ``hi``."""
    splits: ClassVar[tuple[str, ...]] = ("train", "dev", "test")
    synthetic: ClassVar[bool] = False

    def identity(self, splits: Sequence[str]) -> dict[str, Any]:
        """Return what a cell's id is made of: name, version and non-default options; never a path.

        ``splits`` are those that are used, for a corpus that knows its version only from what lies in them.
        """
        options = self.config.model_dump(mode="json", exclude_defaults=True)
        return {"name": self.name, "options": options, "version": self.version}

    @abstractmethod
    def load(self, split: str, limit: int | None = None) -> Split:
        """Return the first ``limit`` utterances of a split (all when None).

        Raises:
            DataError: the split does not exist, or a file cannot be read.
        """


class Report(Plugin):
    """Writes files from a frame of records."""

    @abstractmethod
    def write(self, frame: Any, out: Any) -> list[Any]:
        """Write into the folder ``out`` and return the paths written."""

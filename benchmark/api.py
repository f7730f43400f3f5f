"""The words of the house as types: what a plug-in implements and what the harness passes around.

Nothing here imports torch: a plug-in can be listed, validated and hashed without a deep-learning stack.
Everything that takes part in an identity (configs, budgets, steps, rules, penalties) is a frozen pydantic model; what a
program is made of stands in ``benchmark.steps`` and is offered here too, so that a plug-in needs one import.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from benchmark.errors import SpecError
from benchmark.search import Parameter, Search, parameters
from benchmark.steps import (
    Budget,
    BudgetKind,
    Calibrate,
    Fit,
    Frozen,
    Loss,
    OptimizerStep,
    Penalty,
    Prune,
    Quantise,
    Refill,
    Rewind,
    Rule,
    Statistic,
    Step,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Budget",
    "BudgetKind",
    "Calibrate",
    "Config",
    "Corpus",
    "Finisher",
    "Fit",
    "Frozen",
    "Judged",
    "Loss",
    "Method",
    "MethodConfig",
    "Model",
    "Normalizer",
    "OptimizerStep",
    "Parameter",
    "Penalty",
    "Plugin",
    "Prune",
    "Quantise",
    "Refill",
    "Report",
    "Rewind",
    "Rule",
    "Search",
    "Split",
    "Statistic",
    "Step",
    "Unit",
]

Unit = Literal["word", "char"]


class Config(Frozen):
    """Base of a plug-in's typed options; a plug-in without options uses it as it is."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Say at once where a range does not go with the type of its field."""
        if cls.__pydantic_complete__:
            parameters(cls)


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

    split: Annotated[float, Search(0.2, 0.8)] = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of the training steps that is spent before the first Prune; 1: nothing is trained after it",
    )
    loss: Annotated[Loss, Search(usual=False)] = Field(
        default="ce", description="of all training: cross-entropy, or with the model as it came as a teacher besides"
    )
    refill: Annotated[bool, Search(usual=False)] = Field(
        default=False, description="train the zeros inside what is kept again, after pruning"
    )


class Method(Plugin):
    """A compression method: turns a budget and a number of training steps into a program."""

    Config: ClassVar[type[Config]] = MethodConfig
    budgets: ClassVar[frozenset[BudgetKind]]
    """Kinds of budget that the method can be held to."""

    @abstractmethod
    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Yield the steps; the Fits must add up to ``total_steps`` (or there is none at all). Pure."""

    def steps(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """Yield the program under the switches that all methods share: what the harness carries out.

        ``loss`` goes into every Fit; ``refill`` puts a Refill before the first Fit after a Prune.

        Raises:
            SpecError: ``refill`` against a budget that counts zeros, or where nothing is trained after pruning.
        """
        loss, refill = getattr(self.config, "loss", "ce"), getattr(self.config, "refill", False)
        if refill and budget.kind == "prunable_nominal":
            raise SpecError(f"{self.name}: refill trains zeros again, and budget {budget} counts them; leave it off")
        pruned = filled = False
        for step in self.program(budget, total_steps):
            if isinstance(step, Fit):
                if step.steps == 0:
                    continue  # where all training comes before the Prune, none is left for after it
                if refill and pruned:
                    yield Refill(compact=budget.kind != "prunable_stored")
                    filled = True
                pruned = False
                yield step if loss == "ce" else step.model_copy(update={"loss": loss})
                continue
            pruned = pruned or isinstance(step, Prune)
            yield step
        if refill and not filled:
            raise SpecError(f"{self.name}: refill has no effect where no training follows a pruning; leave it off")

    def made_of(self) -> Sequence[Method]:
        """The methods that this one is made of, whose versions are part of its cells' identity; none by default."""
        return ()

    def defaults(self, budget: Budget) -> dict[str, Any]:
        """Return the values that options left out take under a budget, where that is not their own default."""
        return {}

    def searchable(self, budget: Budget) -> list[Parameter]:
        """Return the options that a study can turn under a budget, each with what holds when it is left out."""
        said = self.config.model_dump()
        values = {**said, **{name: value for name, value in self.defaults(budget).items() if said.get(name) is None}}
        return parameters(type(self.config), **values)

    @property
    def full_version(self) -> str:
        """The version, and those of the methods it is made of: what a cell's id holds."""
        inner = ",".join(f"{method.name}:{method.full_version}" for method in self.made_of())
        return f"{self.version}({inner})" if inner else self.version

    @staticmethod
    def before(split: float, total_steps: int) -> int:
        """Optimiser steps before the first Prune: at least one, and, but for ``split`` 1, one is left for after it."""
        if split == 1:
            return total_steps
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


class Judged(NamedTuple):
    """What a reader of the language said of two spellings."""

    rule: str
    """The rule that makes them equal, or must not."""
    left: str
    right: str
    verdict: str
    """``equal`` (one word) or ``distinct`` (two)."""


class Normalizer(Plugin):
    """Text in, comparable text out: pure, deterministic, total, and idempotent unless ``reference`` is set."""

    languages: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[Unit] = "word"
    reference: ClassVar[bool] = False
    """True for other people's normalisers, kept as they are because results were reported with them."""

    @abstractmethod
    def __call__(self, text: str) -> str:
        """Return the normalised text."""

    @classmethod
    def judged_pairs(cls) -> Sequence[Judged]:
        """Pairs that a reader of the language has judged; the audit fails where a distinct one becomes equal."""
        return ()

    @classmethod
    def variant_pairs(cls) -> Sequence[tuple[str, str, str]]:
        """Known spellings of one word, as (left, right, rule); the audit fails where a pair stays apart."""
        return ()

    def signature(self) -> str:
        """Name, version and non-default options, e.g. ``hindi:1[nasal=off]``."""
        options = self.config.model_dump(exclude_defaults=True)
        listed = ",".join(f"{key}={_short(value)}" for key, value in sorted(options.items()))
        return f"{self.name}:{self.version}" + (f"[{listed}]" if listed else "")


def _short(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


class Model(Plugin):
    """A Whisper checkpoint and how to get it."""

    embedded: ClassVar[bool] = False
    """Whether it comes with its package, so that a report may load it at once and offline to know its matrices."""

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

    def texts(self, split: str) -> Sequence[str]:
        """Return the transcripts of a split alone; a corpus that need not touch its audio for that overrides this.

        Raises:
            DataError: as ``load``.
        """
        return self.load(split).texts


class Report(Plugin):
    """Writes files from a frame of records."""

    @abstractmethod
    def write(self, frame: Any, out: Any) -> list[Any]:
        """Write into the folder ``out`` and return the paths written."""

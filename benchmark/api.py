"""The words of the house as types: what a plug-in implements and what the harness passes around.

Nothing here imports torch: a plug-in can be listed, validated and hashed without a deep-learning stack.
Everything that takes part in an identity (configs, budgets, steps, rules, penalties) is a frozen pydantic model. What a
program is made of (``benchmark.steps``), the base of methods (``benchmark.method``) and that of all plug-ins
(``benchmark.plugin``) are offered here too, so that a plug-in needs one import.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from benchmark.errors import DataError
from benchmark.method import Finisher, Method, MethodConfig
from benchmark.plugin import Config, Plugin
from benchmark.search import Parameter, Search
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
    from pathlib import Path

    import numpy as np

    from benchmark.whisper.structure import Structure

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

    @property
    @abstractmethod
    def revision(self) -> str:
        """What fixes the weights: a digest or a commit. Part of every cell's identity."""

    def meant(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the given options that are part of a cell's id: never a path."""
        return {name: value for name, value in given.items() if name not in self.places(given)}

    @abstractmethod
    def load(self) -> tuple[Any, Any]:
        """Return ``(model, processor)``: a WhisperForConditionalGeneration and its WhisperProcessor.

        The precision is that in which it is decoded, timed and stored; the harness trains and prunes it in fp32.
        """

    def file(self, name: str) -> Path | None:
        """Return a small file of the checkpoint by its name (``generation_config.json``) if it lies on this machine.

        For checks before anything is fetched or opened; a plug-in that says nothing here is checked when it is loaded.
        """
        return None

    def structure(self) -> Structure | None:
        """Return the prunable matrices without reading weights and without a network; None where that cannot be.

        For reports, which must not fetch a checkpoint to learn its shapes. A plug-in that has the configuration at hand
        gives ``benchmark.whisper.structure.Structure.from_config(config)``.

        Raises:
            DataError: what is there is no configuration of a Whisper.
        """
        return None


SAMPLING_RATE = 16_000
"""Of all audio, in Hz."""


class Split(ABC):
    """Utterances of one split, in a fixed order, with audio at 16 kHz."""

    ids: Sequence[str]
    texts: Sequence[str]
    speakers: Sequence[str]
    digests: Sequence[str] = ()
    """A digest of each utterance's audio (hex), equal for equal audio within a corpus; none where they are unknown."""
    skipped: Sequence[str] = ()
    """Files that were left out because they cannot be read (only where the corpus was asked to)."""

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def waveform(self, index: int) -> np.ndarray:
        """Return mono float32 samples in [-1, 1] at 16 kHz, shape ``(samples,)``."""

    @cached_property
    def seconds(self) -> np.ndarray:
        """Length of each utterance, shape ``(N,)``; a split that knows it without its audio says so."""
        import numpy as np

        return np.array([len(self.waveform(index)) for index in range(len(self))], dtype=np.float64) / SAMPLING_RATE

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

    def load_for_training(self, split: str, limit: int | None = None) -> Split:
        """As ``load``, without what can be evaluated and not trained on (speech longer than a window)."""
        return self.load(split, limit)

    def without(self, split: Split, name: str, faults: Mapping[int, str]) -> Split:
        """Return a training split without utterances that the model cannot be trained on: their indices, and why.

        Raises:
            DataError: this corpus leaves nothing out; the first is named.
        """
        index, why = min(faults.items())
        raise DataError(f"utterance {split.ids[index]} of split {name!r}: {why}; shorten it or leave it out")

    def texts(self, split: str) -> Sequence[str]:
        """Return the transcripts of a split alone; a corpus that need not touch its audio for that overrides this.

        Raises:
            DataError: as ``load``.
        """
        return self.load(split).texts


class Report(Plugin):
    """Writes files from a frame of records."""

    together: ClassVar[str] = ""
    """Reports that say the same here share what is costly, e.g. a picture: they are written by one process."""

    @abstractmethod
    def write(self, frame: Any, out: Any) -> list[Any]:
        """Write into the folder ``out`` and return the paths written."""

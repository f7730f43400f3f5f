"""What every node of one leaderboard needs: model, processor, features and labels, loaded once per process."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from benchmark.api import Corpus, Model, Split
from benchmark.corpora.features import log_mels
from benchmark.corpora.overlap import shared
from benchmark.errors import DataError, SpecError
from benchmark.harness.batches import IGNORED_LABEL, Tokenised, check_parts, check_precision
from benchmark.harness.nano import tokenise
from benchmark.harness.state import State
from benchmark.measure.decoding import check_decoding
from benchmark.measure.long_form import check_stamps, window_of
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard
from benchmark.whisper.checkpoints import set_language
from benchmark.whisper.structure import Structure

__all__ = ["IGNORED_LABEL", "Bench", "Evaluation", "device"]

log = logging.getLogger(__name__)


def device() -> str:
    """Return ``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation split and its log-mels, shape ``(N, mels, frames)`` in fp16."""

    split: Split
    features: np.ndarray

    @property
    def seconds(self) -> np.ndarray:
        """Length of each utterance in seconds, shape ``(N,)``."""
        return self.split.seconds


class Bench:
    """Loads on first use; features come from the shared cache.

    What hangs on model, corpus and training pool alone is loaded once for a bench and all that are made ``for_spec``.
    """

    def __init__(self, spec: Leaderboard, shared: Bench | None = None) -> None:
        self.spec = spec
        home = None if shared is None else shared._home
        self._home: Bench = home or self
        corpus, model = spec.corpus, spec.model
        self.corpus: Corpus = home.corpus if home else REGISTRY.get("corpus", corpus.name, **corpus.options)
        self.source: Model = home.source if home else REGISTRY.get("model", model.name, **model.options)
        self._precision = torch.float32
        self._splits: dict[tuple[str, int | None], Evaluation] = home._splits if home else {}

    def for_spec(self, spec: Leaderboard) -> Bench:
        """Return a bench of another spec that shares all that is loaded, now or later; this one stays as it is.

        Recipe, methods, decoding and evaluation splits may differ. ``prepare`` checks the rest of what is asked, and
        costs little where all is loaded.

        Raises:
            SpecError: the spec has another model, corpus or training pool.
        """
        for what, mine, other in zip(_SHARED, _shared(self.spec), _shared(spec), strict=True):
            if mine != other:
                raise SpecError(f"a bench with {what} {mine} cannot serve a spec with {other}; make a bench for it")
        return Bench(spec, self)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        if self._home is not self:
            return self._home._loaded
        model, processor = self.source.load()
        self._home._precision = model.dtype
        model.float()
        # Fixed sinusoids (Radford et al. 2022, section 2.2); transformers 5 forgets that when it opens a folder.
        model.get_encoder().embed_positions.requires_grad_(False)
        set_language(processor, model, self.corpus.language)
        return model, processor

    @property
    def precision(self) -> torch.dtype:
        """In which models are decoded, timed and stored; they are trained and pruned in fp32."""
        _ = self._loaded
        return self._home._precision

    @property
    def processor(self) -> Any:
        """The WhisperProcessor, set to the corpus' language."""
        return self._loaded[1]

    @cached_property
    def structure(self) -> Structure:
        """The prunable structure of the dense model."""
        if self._home is not self:
            return self._home.structure
        return Structure.of(self._loaded[0])

    def model(self, state: State) -> Any:
        """Return a fresh dense-shaped model on the device, with the state's weights where it has some."""
        model = copy.deepcopy(self._loaded[0])
        if state.weights is not None:
            _, unexpected = model.load_state_dict(state.weights, strict=False)
            if unexpected:
                raise DataError(f"cached weights do not fit the model: {unexpected[0]}; delete the folder work")
            model.tie_weights()
        return model.to(device())

    @cached_property
    def _pool(self) -> tuple[Split, list[list[int]]]:
        """The training pool and its labels, without transcripts that the model has no room for."""
        if self._home is not self:
            return self._home._pool
        name = self.spec.corpus.train
        split = self.corpus.load_for_training(name, self.spec.training.utterances)
        labels = tokenise(split.texts, self.processor)
        room = self._loaded[0].config.max_target_positions
        faults = {
            index: f"its transcript is {len(label)} tokens long, and the model has room for {room}"
            for index, label in enumerate(labels)
            if len(label) > room
        }
        if faults:
            split = self.corpus.without(split, name, faults)
            labels = [label for index, label in enumerate(labels) if index not in faults]
        return split, labels

    @cached_property
    def train_hash(self) -> str:
        """Hash of the training pool that was really used."""
        return self._pool[0].data_hash

    @cached_property
    def material(self) -> Tokenised:
        """The training pool."""
        if self._home is not self:
            return self._home.material
        split, labels = self._pool
        return Tokenised(log_mels(split, self.processor.feature_extractor), labels)

    @cached_property
    def evaluations(self) -> dict[str, Evaluation]:
        """The evaluation splits, by name."""
        return {name: self._evaluation(name, limit) for name, limit in self.spec.corpus.evaluate.items()}

    def _evaluation(self, name: str, limit: int | None) -> Evaluation:
        if (name, limit) not in self._splits:
            split = self.corpus.load(name, limit)
            self._splits[name, limit] = Evaluation(split, log_mels(split, self.processor.feature_extractor))
        return self._splits[name, limit]

    def prepare(self) -> None:
        """Make sure that everything is in the cache, so that workers only read, and that the request can be met.

        Raises:
            SpecError: the model does not know the language, has no room for as many tokens, or has dropout and the
                recipe passes batches in parts.
            DataError: data that cannot be used.
        """
        check_decoding(self._loaded[0], self.corpus.language, self.spec.decoding)
        check_parts(self._loaded[0], self.spec.training.accumulate)
        check_precision(self.spec.training.precision)
        _ = self.structure, self._pool  # what is refused is told before features are made, which may take hours
        if any((item.seconds > window_of(self.processor)).any() for item in self.evaluations.values()):
            check_stamps(self._loaded[0])
        _ = self.material
        for name, found in self.overlaps.items():
            if found:
                log.warning(
                    "%s: %d of %d utterances of %s are in %s too, by their audio: what is trained on is no test of it",
                    self.corpus.name,
                    found,
                    len(self.evaluations[name].split),
                    name,
                    self.spec.corpus.train,
                )

    @cached_property
    def overlaps(self) -> dict[str, int]:
        """How many utterances of each evaluation split have audio that is in the training pool."""
        return {name: shared(self._pool[0], item.split) for name, item in self.evaluations.items()}


_SHARED = ("model", "corpus", "training split", "training pool")


def _shared(spec: Leaderboard) -> tuple[object, ...]:
    """Return what decides what is loaded, in the order of ``_SHARED``."""
    model, corpus = ((one.name, one.options) for one in (spec.model, spec.corpus))
    return model, corpus, spec.corpus.train, spec.training.utterances

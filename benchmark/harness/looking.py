"""Looking at a cell's error rate while its last Fit runs, and ending it early; the training is left as it is."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmark.errors import DataError
from benchmark.harness.bench import Bench, device
from benchmark.harness.watch import LookFailedError, Watch
from benchmark.measure.alignment import distances
from benchmark.measure.long_form import transcribe_all
from benchmark.measure.scores import Normalised, signature
from benchmark.whisper.plan import Plan
from benchmark.whisper.surgery import shrink
from benchmark.whisper.vocabulary import processor_of


class Eyes:
    """The speech that is decoded at each look and its normalised references, made once for all cells of a worker.

    Raises:
        SpecError: no such normaliser, or none for the language.
        DataError: the speech holds not a single reference unit, so there is no rate.
    """

    def __init__(self, watch: Watch, bench: Bench) -> None:
        self.watch, self.bench = watch, bench
        self.name, item = next(iter(bench.evaluations.items()))
        self._features = item.features[: watch.utterances]
        self._seconds, self._waveform = item.seconds[: watch.utterances], item.split.waveform
        self._ids = list(item.split.ids[: watch.utterances])
        self._normalised = Normalised(watch.normalizer).of(bench.corpus.language)
        self._unit = self._normalised.normalizer.unit
        self._references = self._normalised(list(item.split.texts[: watch.utterances]), self._ids)
        if not distances(self._references, self._references, self._unit).lengths.sum():
            raise DataError(
                f"the first {len(self._ids)} utterances of split {self.name!r} have no reference {self._unit} "
                "to watch an error rate on; watch more of them"
            )

    def hear(self, model: Any, plan: Plan) -> list[str]:
        """Return what the model says under its plan, from a shrunk copy in evaluation mode, as in the end."""
        with torch.no_grad():
            copy = shrink(model, plan).eval().to(self.bench.precision)
        said, _ = transcribe_all(
            copy,
            processor_of(plan, self.bench.processor),
            self._features,
            self._waveform,
            self._seconds,
            language=self.bench.corpus.language,
            decoding=self.bench.spec.decoding,
            device=device(),
        )
        return said.texts

    def rate(self, said: list[str]) -> float:
        """Return the corpus error rate, as a fraction.

        Raises:
            BrokenNormalizerError: the normaliser fails on a text.
        """
        return distances(self._references, self._normalised(said, self._ids), self._unit).rate

    def about(self) -> dict[str, Any]:
        """Return what a record says of the looks besides their values."""
        decoding = self.bench.spec.decoding.signature()
        return {
            "split": self.name,
            "utterances": len(self._ids),
            "signature": signature(self._normalised, decoding),
        }


class Looks:
    """The looks into one Fit; called with the steps it has done, returns whether it is to end."""

    def __init__(self, eyes: Eyes, model: Any, plan: Plan, start: int) -> None:
        self.eyes, self.model, self.plan, self.start = eyes, model, plan, start
        self.values: list[tuple[int, float]] = []
        self.reason: str | None = None
        self.seconds = 0.0
        """Spent on looking, which is no training."""

    def __call__(self, done: int) -> bool:
        """Look where a look is due.

        Raises:
            LookFailedError: the normaliser or whoever was told raised.
        """
        at = self.start + done
        if at % self.eyes.watch.every or done < self.eyes.watch.after:
            return False
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # what is still being trained is not ours
        began = time.perf_counter()
        with undisturbed():
            said = self.eyes.hear(self.model, self.plan)
            try:
                self.values.append((at, self.eyes.rate(said)))
                self.reason = self.eyes.watch.look(*self.values[-1])
            except Exception as error:  # whatever it is, it is no fault of the cell
                raise LookFailedError(error) from error
        self.seconds += time.perf_counter() - began
        return self.reason is not None

    def told(self) -> dict[str, Any]:
        """Return the record's ``watched``."""
        return {**self.eyes.about(), "values": [list(pair) for pair in self.values]}


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Give back the states of all global random generators: torch on CPU and GPU, numpy (SpecAugment's) and Python."""
    plain, arrays = random.getstate(), np.random.get_state()
    here = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=here):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)

"""The values of a trial: read from its record, scored from its transcripts, or from its timing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import PrunebenchError, StoreError
from benchmark.measure.scores import Normalised, Scored, decoding_of, language_of, scored, signature
from benchmark.specs import CorpusSpec
from benchmark.store.records import MODEL, Record
from studies._metrics import METRICS
from studies._spec import StudySpec


class LacksError(PrunebenchError):
    """A record that does not say what a study asks for."""


class Judge:
    """Reads off records what one study asks for; texts are normalised once for all its trials."""

    def __init__(self, spec: StudySpec, run: Path, corpus: CorpusSpec) -> None:
        self.spec, self.run, self.corpus = spec, run, corpus
        self.normalised = Normalised(spec.normalizer)

    def values(self, record: Record) -> list[float]:
        """Return the objectives, in the spec's order.

        Raises:
            LacksError: the record has no such number, or it is none (NaN).
        """
        return [self.value(name, record) for name in self.spec.objectives]

    def excess(self, record: Record) -> dict[str, float]:
        """Return by what share of its limit each constraint is exceeded; zero or less is feasible.

        Raises:
            LacksError: as ``values``.
        """
        return {name: self.value(name, record) / limit - 1 for name, limit in self.spec.constraints.items()}

    def value(self, name: str, record: Record) -> float:
        """Return one metric of a finished record on the split that is tuned on."""
        metric = METRICS[name]
        if metric.source == "score":
            found: Any = self._rate(metric.path[0], scored(record, self.spec.tune.split, self.normalised))
        elif metric.source == "timing":
            found = self._timing(record).get(metric.path[0])
        else:
            found = dig(record.data, metric.path)
        if found is None or found != found:
            raise LacksError(f"cell {record.cell}: its record says nothing of {name!r}; take another objective")
        return float(found)

    def looks(self, record: Record) -> list[tuple[int, float]]:
        """Return what was seen of a result on its way, if it was seen as this study looks: else it says nothing."""
        seen = record.data.get("watched") or {}
        used = seen.get("utterances") == min(self.spec.looks.utterances, self._utterances(record))
        made = signature(self.normalised.of(language_of(record)), decoding_of(record))
        if not used or seen.get("signature") != made:
            return []
        return [(int(step), float(rate)) for step, rate in seen.get("values", [])]

    def _utterances(self, record: Record) -> int:
        return int(((record.data.get("data") or {}).get(self.spec.tune.split) or {}).get("utterances") or 0)

    def done(self, record: Record) -> None:
        """Let go of what only the timing needed."""
        if any(METRICS[name].source == "timing" for name in (*self.spec.objectives, *self.spec.constraints)):
            (record.path / MODEL).unlink(missing_ok=True)

    def _rate(self, name: str, found: Scored) -> float:
        return {"error": found.main, "wer": found.words, "cer": found.chars}[name].rate

    def _timing(self, record: Record) -> dict[str, Any]:
        from benchmark.harness.timing import time_one

        try:
            return time_one(record, self.run, self.spec.profile, self.corpus, self.spec.decoding.cache)
        except StoreError as error:  # this configuration leaves nothing that can be timed here: int8 beside a GPU
            raise LacksError(str(error)) from None


def dig(data: Any, path: Sequence[str | int]) -> Any:
    """Follow a path into a record, None where it ends before; ``+a+b`` sums what stands under these names."""
    for part in path:
        if isinstance(part, int):
            data = data[part] if isinstance(data, list) and part < len(data) else None
        elif part.startswith("+"):
            found = [dig(data, (name,)) for name in part[1:].split("+")]
            return None if None in found else sum(found)
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data

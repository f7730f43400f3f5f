"""Error rates from transcripts: counts per utterance first, sums of counts after, a rate last.

Scores are derived from the raw texts in the store, so another normaliser needs no model. A corpus rate is the sum of
errors over the sum of reference lengths (micro-average); a mean of utterance rates appears nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.api import Normalizer, Unit
from benchmark.errors import SpecError, StoreError
from benchmark.measure import bootstrap

if TYPE_CHECKING:
    from benchmark.store.records import Record

_KINDS = {"equal": 0, "substitute": 1, "delete": 2, "insert": 3}
_UNSTATED = "decoding unknown"


@dataclass(frozen=True)
class Counts:
    """Edit counts per utterance in one unit; all arrays have shape ``(N,)`` and type int64."""

    hits: np.ndarray
    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray
    lengths: np.ndarray
    """Units in the reference: hits + substitutions + deletions."""

    @property
    def errors(self) -> np.ndarray:
        """Substitutions + deletions + insertions per utterance."""
        total: np.ndarray = self.substitutions + self.deletions + self.insertions
        return total

    @property
    def rate(self) -> float:
        """Corpus error rate: all errors over all reference units; NaN when there is no reference unit."""
        total = int(self.lengths.sum())
        return float(self.errors.sum() / total) if total else float("nan")


def counts(references: Sequence[str], hypotheses: Sequence[str], unit: Unit = "word") -> Counts:
    """Align texts with jiwer, in one call, and count per utterance.

    White space is collapsed first; a space between words is a character like any other (jiwer's convention). jiwer
    refuses empty references, so they never reach it: with one, every unit of the hypothesis is an insertion.

    Args:
        references: normalised texts, length N.
        hypotheses: normalised texts, length N, in the same order.
        unit: ``word`` (between white space) or ``char``.

    Raises:
        ValueError: the lists differ in length.
    """
    import jiwer

    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references do not go with {len(hypotheses)} hypotheses")
    refs, hyps = ([" ".join(text.split()) for text in texts] for texts in (references, hypotheses))
    table = np.zeros((len(refs), len(_KINDS)), np.int64)
    both = [index for index, (ref, hyp) in enumerate(zip(refs, hyps, strict=True)) if ref and hyp]
    if both:
        align = jiwer.process_words if unit == "word" else jiwer.process_characters
        output = align([refs[index] for index in both], [hyps[index] for index in both])
        runs = [run for alignment in output.alignments for run in alignment]  # a run: equal operations in a row
        rows = np.repeat(both, [len(alignment) for alignment in output.alignments])
        kinds = np.fromiter((_KINDS[run.type] for run in runs), np.int64, len(runs))
        spans = (max(run.ref_end_idx - run.ref_start_idx, run.hyp_end_idx - run.hyp_start_idx) for run in runs)
        np.add.at(table, (rows, kinds), np.fromiter(spans, np.int64, len(runs)))  # an insertion spans no reference
    for row in sorted(set(range(len(refs))) - set(both)):
        table[row, _KINDS["delete"]] = _length(refs[row], unit)
        table[row, _KINDS["insert"]] = _length(hyps[row], unit)
    hits, substitutions, deletions, insertions = np.ascontiguousarray(table.T)
    return Counts(hits, substitutions, deletions, insertions, hits + substitutions + deletions)


def _length(text: str, unit: Unit) -> int:
    return len(text.split()) if unit == "word" else len(text)


# --- normalisation ------------------------------------------------------------------------------------------------


class Normalised:
    """A normaliser that meets each distinct text once: cells share their references, and many of their hypotheses."""

    def __init__(self, normalizer: str | Normalizer) -> None:
        from benchmark.registry import REGISTRY

        found = REGISTRY.get("normalizer", normalizer) if isinstance(normalizer, str) else normalizer
        self.normalizer: Normalizer = found
        self._known: dict[str, str] = {}

    def __call__(self, texts: Sequence[str], ids: Sequence[str]) -> list[str]:
        """Return the normalised texts; ``ids`` name the utterances in an error.

        Raises:
            SpecError: the normaliser raised, or returned something that is no string.
        """
        for text, key in zip(texts, ids, strict=True):
            if text not in self._known:
                self._known[text] = self._one(text, key)
        return [self._known[text] for text in texts]

    def _one(self, text: str, key: str) -> str:
        name = self.normalizer.name
        try:
            result = self.normalizer(text)
        except Exception as error:  # a plug-in's fault, whatever it is, must name the plug-in and the text
            said = f"{type(error).__name__}: {error}"
            raise SpecError(f"normalizer {name!r} failed on utterance {key}: {said}") from error
        if not isinstance(result, str):
            raise SpecError(f"normalizer {name!r} returned {type(result).__name__}, not str, on utterance {key}")
        return result


# --- records ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """One (cell, split), scored: per-utterance counts in both units, and what the score was made with."""

    cell: str
    split: str
    data_hash: str
    ids: tuple[str, ...]
    words: Counts
    chars: Counts
    empty_hypotheses: int
    runaways: int
    unit: Unit
    signature: str

    @property
    def main(self) -> Counts:
        """Counts in the normaliser's unit: what is ranked, and what has an interval."""
        return self.words if self.unit == "word" else self.chars


def scored(record: Record, split: str, normalised: Normalised) -> Scored:
    """Score one split of a record.

    Raises:
        StoreError: the record has no such split, or its transcripts cannot be read.
        SpecError: the normaliser fails.
    """
    table = record.transcripts(split)
    ids = [str(key) for key in table["id"]]
    references = normalised(table["reference"].tolist(), ids)
    hypotheses = normalised(table["hypothesis"].tolist(), ids)
    unit = normalised.normalizer.unit
    return Scored(
        cell=record.cell,
        split=split,
        data_hash=str(record.data["data"][split]["hash"]),
        ids=tuple(ids),
        words=counts(references, hypotheses, "word"),
        chars=counts(references, hypotheses, "char"),
        empty_hypotheses=sum(not text.strip() for text in hypotheses),
        runaways=int(table["truncated"].sum()) if "truncated" in table else 0,
        unit=unit,
        signature=signature(normalised.normalizer, (record.data.get("decoding") or {}).get("signature", _UNSTATED)),
    )


def signature(normalizer: Normalizer, decoding: str) -> str:
    """Return what a score carries, e.g. ``wer|hindi:1|word|greedy,max=44|prunebench:0.1.0``."""
    from benchmark import __version__

    metric = "wer" if normalizer.unit == "word" else "cer"
    return "|".join((metric, normalizer.signature(), normalizer.unit, decoding, f"prunebench:{__version__}"))


def compare(a: Scored, b: Scored, resamples: int = 10_000, seed: int = 0) -> bootstrap.Paired:
    """Return the paired difference of two cells on the same split: rate of A minus rate of B.

    Raises:
        StoreError: the two were made from different test data.
        SpecError: their signatures differ, so their rates mean different things.
    """
    if a.data_hash != b.data_hash or a.ids != b.ids:
        raise StoreError(
            f"cells {a.cell} and {b.cell} were tested on different data (split {a.split!r} {a.data_hash}, "
            f"split {b.split!r} {b.data_hash}) and cannot be paired; run both on the same corpus"
        )
    if a.signature != b.signature:
        raise SpecError(f"cells {a.cell} and {b.cell} were scored differently: {a.signature} and {b.signature}")
    return bootstrap.paired(a.main.errors, b.main.errors, a.main.lengths, resamples, seed)

"""Timings as a step of their own: artefacts interleaved with dense in one process, written as a timing record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmark.api import Split
from benchmark.corpora.features import log_mels
from benchmark.errors import StoreError
from benchmark.harness.bench import Evaluation, device
from benchmark.harness.worker import claim
from benchmark.measure.decoding import Cache, Decoding
from benchmark.measure.long_form import window_of
from benchmark.measure.memory import peak_memory
from benchmark.measure.profile import Loader, device_key, profile_models
from benchmark.registry import REGISTRY
from benchmark.specs import CorpusSpec, ProfileSpec
from benchmark.store.records import MODEL, PLAN, Record
from benchmark.store.sources import model_options
from benchmark.store.timings import timings, write_timing
from benchmark.whisper.files import load
from benchmark.whisper.plan import Plan
from benchmark.whisper.vocabulary import processor_of

THREADS = 1
"""Timings are of one thread: the least disturbed by neighbours, and what an edge device gives a single stream."""
DENSE = "dense"


def time_records(
    found: list[Record],
    into: Path,
    settings: ProfileSpec,
    *,
    corpus: CorpusSpec,
    quiet: bool,
    again: bool,
    cache: Cache = "dynamic",
) -> Path | None:
    """Time the artefacts of ``found`` on this machine and write one timing record into the run folder ``into``.

    Without ``again``, artefacts that this device has timed already are left out; None when nothing is left. ``cache``
    is that of the spec (``decoding.cache``): no record says it, as texts do not depend on it.

    Raises:
        StoreError: artefacts of different models or corpora, which one dense cannot stand beside.
    """
    with claim(into, "profile"), _pinned():  # two at once would time each other
        return _timed(found, into, settings, corpus=corpus, quiet=quiet, again=again, cache=cache)


@contextmanager
def _pinned() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def time_one(
    record: Record, run: Path, settings: ProfileSpec, corpus: CorpusSpec, cache: Cache = "dynamic"
) -> dict[str, Any]:
    """Return the timing row of a record on this device at ``settings.batch``, timed now where it is not timed yet.

    Dense is timed in turn with it: of its figures, ``speedup`` suffers least from what else the machine does.

    Raises:
        StoreError: the record has no model any more, or one that this device cannot time beside dense.
    """
    found = _row_of(record, run, settings, cache)
    if found is None:
        time_records([record], run, settings, corpus=corpus, quiet=True, again=False, cache=cache)
        found = _row_of(record, run, settings, cache)
    if found is None:
        if not (record.path / MODEL).is_file():
            raise StoreError(f"{record.path}: kept no model, so it cannot be timed; keep_artefacts: all keeps it")
        raise StoreError(f"{record.path}: int8 layers run on a CPU only, and dense here on {device()}; time it there")
    return found


def _row_of(record: Record, run: Path, settings: ProfileSpec, cache: Cache) -> dict[str, Any] | None:
    """Return the newest row of a record on this device at its largest batch, made with these settings."""
    known = _known(run, settings, cache)
    rows = [row for row in known if (row["cell"], row["attempt"]) == (record.cell, record.attempt)]
    return max(reversed(rows), key=lambda row: int(row["batch"]), default=None)


def untimed(found: list[Record], run: Path, settings: ProfileSpec, cache: Cache = "dynamic") -> list[Record]:
    """Return those of some records that this device has not timed with these settings and this cache."""
    known = {(row["cell"], row["attempt"]) for row in _known(run, settings, cache)}
    return [record for record in found if (record.cell, record.attempt) not in known]


def _known(run: Path, settings: ProfileSpec, cache: Cache) -> list[dict[str, Any]]:
    """Return all rows that this device has timed with these settings and this cache, oldest first."""
    with _pinned():  # a CPU's key has the threads in it
        key, asked = device_key(device(), cache), settings.model_dump(mode="json")
    alike = [one for one in timings(run) if one["device"] == key and one["about"].get("settings") == asked]
    return [row for one in alike for row in one["rows"]]


def _timed(
    found: list[Record],
    into: Path,
    settings: ProfileSpec,
    *,
    corpus: CorpusSpec,
    quiet: bool,
    again: bool,
    cache: Cache,
) -> Path | None:
    artefacts = [record for record in found if (record.path / MODEL).is_file()]
    if device() != "cpu":  # int8 layers execute on the CPU alone: no time beside a GPU's dense
        artefacts = [record for record in artefacts if not record.data["plan"].get("quantised")]
    if not again:
        artefacts = untimed(artefacts, into, settings, cache)
    if not artefacts:
        return None
    base = _common(artefacts)
    speech_of = REGISTRY.get("corpus", corpus.name, **corpus.options)
    split = speech_of.load(next(iter(base["corpus"]["evaluate"])), settings.utterances)
    decoding = Decoding(**{**base["decoding"], "batch": settings.batch, "cache": cache})
    rows, features = _rows(artefacts, base, split, speech_of.language, decoding, settings, quiet)
    if device() != "cpu":
        torch.cuda.empty_cache()  # another process measures memory, and this one need not hold it meanwhile
    peaks = _peaks(artefacts, features, rows, language=speech_of.language, decoding=decoding)
    attempts = {record.cell: record.attempt for record in artefacts}
    kept = [
        {**row, "cell": row["artefact"], "attempt": attempts[row["artefact"]], **peaks[row["artefact"], row["batch"]]}
        for row in rows
        if row["artefact"] in attempts
    ]
    about = {"threads": THREADS, "torch": str(torch.__version__), "settings": settings.model_dump(mode="json")}
    return write_timing(into, device_key(device(), cache), kept, about)


def _rows(
    artefacts: list[Record],
    base: dict[str, Any],
    split: Split,
    language: str,
    decoding: Decoding,
    settings: ProfileSpec,
    quiet: bool,
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return the timing rows of dense and all artefacts, and the windows that were decoded; all models are let go."""
    source = REGISTRY.get("model", base["model"]["name"], **model_options(artefacts[0].path, base["model"]))
    dense, processor = source.load()

    def opened(record: Record) -> tuple[Any, Any]:
        return load(record.path), processor_of(Plan.load(record.path / PLAN), processor)

    models: dict[str, Loader] = {DENSE: lambda: (dense, processor)}
    models |= {record.cell: partial(opened, record) for record in artefacts}
    speech = Evaluation(split, log_mels(split, processor.feature_extractor))
    with _bar(len(artefacts), quiet) as progress:
        rows = profile_models(
            models,
            DENSE,
            speech.features,
            # of longer speech, the first window is timed
            float(np.minimum(speech.seconds, window_of(processor)).sum()),
            language=language,
            decoding=decoding,
            repeats=settings.repeats,
            seconds=settings.seconds,
            device=device(),
            progress=progress,
        )
    return rows, speech.features


@contextmanager
def _bar(artefacts: int, quiet: bool) -> Iterator[Callable[[str, int], None]]:
    """Show a bar of artefacts and yield what moves it on; an artefact is done when the next one's turn has come."""
    columns = (
        TextColumn("timing on one thread              "),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    timed: set[str] = set()
    with Progress(*columns, disable=quiet) as bars:
        task = bars.add_task("timing", total=artefacts)

        def progress(name: str, _: int) -> None:
            timed.add(name)
            bars.update(task, completed=len(timed) - 1)

        yield progress
        bars.update(task, completed=artefacts)


def _peaks(
    artefacts: list[Record],
    features: np.ndarray,
    rows: list[dict[str, Any]],
    *,
    language: str,
    decoding: Decoding,
) -> dict[tuple[str, int], dict[str, Any]]:
    """Return ``peak_memory`` (bytes, or None and why) by cell and batch, each cell measured in a process of its own."""
    batches = sorted({row["batch"] for row in rows})
    found = peak_memory(
        [record.path for record in artefacts],
        features,
        language=language,
        decoding=decoding,
        batches=batches,
        device=device(),
        threads=THREADS,
    )
    return {
        (record.cell, batch): {"peak_memory": peaks.by_batch.get(batch)}
        | ({} if peaks.reason is None else {"peak_memory_reason": peaks.reason})
        for record, peaks in zip(artefacts, found, strict=True)
        for batch in batches
    }


def _common(found: list[Record]) -> dict[str, Any]:
    """Return the spec that all records share in model, corpus and decoding."""
    specs = [record.data["spec"] for record in found]
    for record, spec in zip(found, specs, strict=True):
        for part in ("model", "corpus", "decoding"):
            if spec[part] != specs[0][part]:
                raise StoreError(
                    f"cells {found[0].cell} and {record.cell} differ in {part}; time them apart, or filter the run"
                )
    return dict(specs[0])

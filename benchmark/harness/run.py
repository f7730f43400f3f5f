"""Run a leaderboard: prepare the data, let workers finish the tree, then time the artefacts."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import Timeout

from benchmark.errors import PrunebenchError, SpecError
from benchmark.harness.executors.interface import Executor, Job
from benchmark.harness.executors.local import Local
from benchmark.harness.place import Place
from benchmark.harness.progress import Bars
from benchmark.harness.tree import Tree, grow, grown
from benchmark.harness.worker import claim
from benchmark.measure.decoding import Cache
from benchmark.registry import REGISTRY
from benchmark.spec_files import as_spec
from benchmark.specs import CorpusSpec, Leaderboard, ProfileSpec
from benchmark.store.depot import forget_models
from benchmark.store.folders import MARKER, kept_specs, open_run
from benchmark.store.full_disk import told_when_full
from benchmark.store.records import RECORD, Record, finished, latest, read_record


@dataclass
class RunOutcome:
    """Records of the spec's cells, in its order; ``failed`` are those that were tried and have no result."""

    records: list[Record]
    failed: list[Record] = field(default_factory=list)


def run(
    spec: Leaderboard | Mapping[str, Any] | str | Path,
    out: Path | str | Place | None = None,
    workers: int | None = None,
    quiet: bool = False,
    executor: Executor | None = None,
) -> RunOutcome:
    """Bring every cell of ``spec`` to a record in the run folder ``out``; what is finished is not done again.

    ``out`` may be the URL of a place on an object store (``s3://bucket/run``); its mirror holds the records returned.

    ``spec`` may be a spec, a mapping, a YAML file, or the name of a preset.
    ``workers`` is the number of processes here, each of one thread (None: one per GPU, or where there is none one per
    core; at most one per cell); 0 works in this process, and so does a leaderboard with a plug-in that was defined in
    ``__main__``. ``executor`` says it in more detail, and instead: ``benchmark.harness.executors.interface``.

    Raises:
        PrunebenchError: a wrong spec, unusable data, an unwritable folder or a full disk; failed cells do not raise.
    """
    spec = as_spec(spec)
    place = out if isinstance(out, Place) else Place.of(out if out is not None else Path("out") / spec.name)
    if executor is not None and workers is not None:
        raise SpecError(f"workers = {workers} beside an executor: give it to the executor")
    chosen = executor or Local(workers=workers)
    outcome = RunOutcome([])
    with told_when_full(place.folder):
        for tree in grown(spec):  # a language after the other: each uses all workers
            records = _finish(tree, place, chosen, quiet)
            outcome.records += records
            outcome.failed += [record for record in records if record.failed]
    return outcome


def _finish(tree: Tree, place: Place, executor: Executor, quiet: bool) -> list[Record]:
    """Bring every cell of a tree to a record, and return the newest of each."""
    folder = place.folder
    missing = [path for path in tree.cells if finished(folder, path.cell.id) is None]
    if missing:
        marks = folder / "work" / "jobs" / secrets.token_hex(6)
        url = None if place.depot is None else place.depot.url
        _work(Job(tree, folder, marks, _modules(tree), url), place, executor, quiet)
        if place.depot is not None:
            place.depot.pull()
        _tidy(tree, place)
    else:
        place.begin(tree)
    wanted = {path.cell.id: number for number, path in enumerate(tree.cells)}
    return sorted((r for r in latest(folder) if r.cell in wanted), key=lambda record: wanted[record.cell])


def _work(job: Job, place: Place, executor: Executor, quiet: bool) -> None:
    tree, folder = job.tree, job.folder
    before = {path.parent.name for path in (folder / "runs").glob(f"*/*/{RECORD}")}
    with Bars(tree, folder, quiet) as bars:
        try:
            # Workers import their libraries while this process makes the data; then they are told to begin.
            with executor.team(job) as team:
                _prepare(tree, bars)
                place.begin(tree)
                job.marks.mkdir(parents=True)
                ended = team.work(bars.event)
        finally:
            shutil.rmtree(job.marks, ignore_errors=True)
    news = [record for record in latest(folder) if record.ok or (record.failed and record.attempt not in before)]
    settled = {record.cell for record in news}
    if ended and any(path.cell.id not in settled for path in tree.cells):  # else another worker has done their part
        raise PrunebenchError(f"{ended[0]}. Finished cells are kept: run the same command again")


def _owners(tree: Tree) -> set[str]:
    """Return the modules of the plug-ins that a spec names."""
    spec = tree.spec
    named = [("model", spec.model.name), ("corpus", spec.corpus.name)]
    named += [("method", method.name) for row in spec.grid for method in row.methods]
    return {REGISTRY.lookup(kind, name).__module__ for kind, name in named}


def _modules(tree: Tree) -> tuple[str, ...] | None:
    """Return what a worker must import by name, because this process has registered it by hand.

    None where that is a notebook or a script, which no other process can import.
    """
    owners = _owners(tree)
    return None if "__main__" in owners else tuple(sorted(owners))


def _prepare(tree: Tree, bars: Bars) -> None:
    import torch

    from benchmark.harness.bench import Bench

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, os.cpu_count() or 1))
    bars.say("preparing speech and features")
    try:
        Bench(tree.spec).prepare()
    finally:
        torch.set_num_threads(threads)  # results depend on it, and this process may be the one that works
    bars.say("cells")


def _tidy(tree: Tree, place: Place) -> None:
    """Drop leaves of the prefix cache that no unfinished cell of any leaderboard started here needs.

    Trunks stay for later runs. A leaf that somebody holds is left alone.
    """
    folder, shop = place.folder, place.shop()
    wanted: set[str | None] = set()
    for kept in kept_specs(folder):
        try:
            other = grow(Leaderboard.parse(kept, "a kept spec"))
        except PrunebenchError:  # a plug-in of that one is not here: what it needs cannot be known, so all stays
            return
        for path in other.cells:
            if finished(folder, path.cell.id) is None:
                wanted |= {*path.nodes, *path.rewind_to.values()}
    there = shop.names()
    for name in tree.nodes:
        if name in there and name not in wanted and not tree.needs_optimizer(name):
            try:
                with claim(shop.run, name).acquire(timeout=0):
                    shop.drop(name)
            except Timeout:
                continue


# --- timings ------------------------------------------------------------------------------------------------------


def profile(out: Path | str | Place, spec: Leaderboard, quiet: bool = False) -> list[Path]:
    """Time the artefacts of the spec's cells that have no timing on this device yet; return the timing records."""
    if spec.profile is None:
        return []
    from benchmark.harness.timing import time_records, untimed

    place = out if isinstance(out, Place) else Place.of(out)
    folder, cache = open_run(place.folder), spec.decoding.cache
    written: list[Path] = []
    for one in spec.per_language():
        cells = {path.cell.id for path in grow(one).cells}
        found = [record for record in latest(folder) if record.ok and record.cell in cells]
        if place.depot is not None:
            place.depot.bring_models(untimed(found, folder, spec.profile, cache))
        made = time_records(found, folder, spec.profile, corpus=one.corpus, quiet=quiet, again=False, cache=cache)
        written += [] if made is None else [made]
        if place.depot is not None:
            place.depot.put_files(written[-1:])  # now: what only the mirror has does not count
            forget_models(folder)
    return written


def profile_folder(source: Path, into: Path, settings: ProfileSpec, quiet: bool = False) -> list[Path]:
    """Time one attempt, or all results of a run folder, on this machine; the records go into ``into``."""
    from benchmark.harness.timing import time_records

    alone = (source / "record.json").is_file()
    found = [read_record(source)] if alone else [record for record in latest(open_run(source)) if record.ok]
    home = source.parents[2] if alone else source
    alike: dict[tuple[str, Cache], list[Record]] = {}
    for record in found:
        corpus = json.dumps(record.data["spec"]["corpus"], sort_keys=True)
        alike.setdefault((corpus, cache_of(home, record)), []).append(record)
    timed = [
        time_records(some, into, settings, corpus=corpus_of(home, some), quiet=quiet, again=True, cache=cache)
        for (_, cache), some in alike.items()
    ]
    return [path for path in timed if path is not None]


def corpus_of(folder: Path, found: list[Record]) -> CorpusSpec:
    """Return which corpus to speak: where it lies is in the specs of the run folder, and in no record.

    The spec that names the cell knows; records that came from elsewhere take one of the same corpus.
    """
    about = found[0].data["spec"]["corpus"] if found else {}
    if found and (folder / MARKER).is_file():
        named = kept_specs(folder, found[0].cell)
        for kept in named or kept_specs(folder):
            corpus = CorpusSpec.model_validate(kept.get("corpus", {}))
            said = about.get("options", {})  # of several languages of one name, the one of these records
            alike = all(said.get(key, value) == value for key, value in corpus.options.items())
            if corpus.name == about.get("name") and (named or alike):
                return corpus
    return CorpusSpec(**{key: about[key] for key in ("name", "options") if key in about})


def cache_of(folder: Path, record: Record) -> Cache:
    """Return ``static`` where all specs of the run folder that name a cell say so; no record does."""
    named = kept_specs(folder, record.cell) if (folder / MARKER).is_file() else []
    said = {(kept.get("decoding") or {}).get("cache") for kept in named}
    return "static" if said == {"static"} else "dynamic"

"""One study from beginning to end: check, prepare, let workers tune, test what came out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from benchmark.errors import PrunebenchError, SpecError
from benchmark.harness.executors.local import VISIBLE, visible_gpus
from benchmark.harness.processes import THREADS, listen, order, reap, spawn
from benchmark.harness.tree import grow
from benchmark.measure.scores import METRIC, Normalised
from benchmark.registry import REGISTRY
from benchmark.search import Parameter
from benchmark.spec_files import validate
from benchmark.specs import Leaderboard
from benchmark.store.folders import check_run, open_run
from studies._bars import TrialBars
from studies._locks import ask_lock
from studies._loop import Loop, Say
from studies._meaning import open_study
from studies._objective import Judge
from studies._outcomes import settled
from studies._sampling import PerTrialSeed, check_choices, make_pruner
from studies._seats import DEFAULT, is_lost, reclaim, take_seat
from studies._space import board, default_values, distributions, is_timed, space, trial_board
from studies._spec import ERRORS, Point, StudySpec
from studies._storage import NoStudyError, alone, answering, is_alone, open_storage
from studies._trial import Lab

WORK = ("study", "work")
"""The hidden verb of a worker process."""
EVENTS = {"unit", "done", "failed", "stopped", "ended"}


def checked(spec: StudySpec, point: Point) -> list[Parameter]:
    """Return what a study turns, after everything that can be known to be wrong has been looked for.

    Raises:
        SpecError: a name, an option, a range, a split or a budget that does not fit.
        DataError: a model or corpus that is not there.
    """
    found = space(spec, point)
    check_choices(spec, found)
    validate(plain_board(spec, point, spec.tune.evaluate))
    if spec.test is not None:
        validate(plain_board(spec, point, spec.test.splits))
    grow(plain_board(spec, point, spec.tune.evaluate))
    if spec.pruner is not None and spec.objectives[0] != ERRORS[0]:
        corpus = REGISTRY.get("corpus", spec.corpus.name, **spec.corpus.options)
        metric = METRIC[Normalised(spec.normalizer).of(corpus.language).normalizer.unit]
        if spec.objectives[0] != metric:
            raise SpecError(f"a pruner sees the {metric} of normalizer {spec.normalizer!r}; take it as the objective")
    return found


def plain_board(spec: StudySpec, point: Point, evaluate: dict[str, int | None]) -> Leaderboard:
    """Return the default configuration as a leaderboard, by which the rest of the spec is checked."""
    return board(spec, point, point.method, {}, evaluate=evaluate, seeds=[spec.seed])


def attributes(spec: StudySpec, point: Point, found: Sequence[Parameter]) -> dict[str, Any]:
    """Return what is stored with a study, so that it can never be mistaken for another one of its name."""
    made = distributions(found)
    (plain,) = grow(plain_board(spec, point, spec.tune.evaluate)).cells
    corpus = REGISTRY.get("corpus", spec.corpus.name, **spec.corpus.options)
    timed = {"profile": spec.profile.model_dump(mode="json"), "device": _device(spec)} if is_timed(spec) else {}
    looked = {"looks": spec.looks.model_dump(), "pruner": True} if spec.pruner is not None else {}
    return {
        "spec": spec.identity(point),
        "plain cell": plain.cell.id,  # holds the versions of model, corpus and method
        "scores": Normalised(spec.normalizer).of(corpus.language).signature,
        **timed,
        **looked,
        "method": point.method.title,
        "options": point.method.options,
        "budget": str(point.budget),
        "objectives": spec.objectives,
        "constraints": spec.constraints,
        "space": {one.name: optuna.distributions.distribution_to_json(made[one.name]) for one in found},
        "split": spec.tune.split,
        "seed": spec.seed,
    }


def _device(spec: StudySpec) -> str:
    from benchmark.harness.bench import device
    from benchmark.measure.profile import device_key

    return device_key(device(), spec.decoding.cache)


def opened(spec: StudySpec, point: Point, run: Path, found: Sequence[Parameter], *, create: bool) -> optuna.Study:
    """Return the study, made if it is not there and ``create`` is set.

    Raises:
        SpecError: a study of that name that means something else.
        StoreError: a storage that cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with answering(spec.storage):
        storage = open_storage(spec.storage, run, create=create)
        with ask_lock(storage, run, point.name) if create else contextlib.nullcontext():
            return open_study(
                storage,
                point.name,
                spec.directions,
                attributes(spec, point, found),
                create=create,
                sampler=PerTrialSeed(spec.sampler, spec.seed),
                pruner=make_pruner(spec.pruner),
            )


def run_study(spec: StudySpec, point: Point, run: Path, *, workers: int | None, quiet: bool) -> optuna.Study:
    """Bring a study to its number of finished trials; what is finished is not done again.

    ``workers`` is the number of processes, each of one thread (None: one per GPU, or where there is none one per core;
    one alone where trials are timed); 0 works in this process, and so does a study with a plug-in that was defined in
    ``__main__``.

    Raises:
        PrunebenchError: a wrong spec, unusable data, a storage or folder that cannot be used, a worker that died.
    """
    found = checked(spec, point)
    check_run(run)
    count = _workers(spec, point, workers)
    with contextlib.suppress(NoStudyError):  # one that means something else, or is out of reach: before all is written
        study = opened(spec, point, run, found, create=False)
        with answering(spec.storage):
            if _missing(spec, study) <= 0:
                return study
    with alone(spec.storage), answering(spec.storage):
        return _carried_out(spec, point, run, found, count, quiet)


def _carried_out(
    spec: StudySpec, point: Point, run: Path, found: Sequence[Parameter], count: int, quiet: bool
) -> optuna.Study:
    with TrialBars(spec, point, quiet) as bars:
        processes = [spawn(WORK, extra=place) for place in _places(count)]
        try:
            _prepare(spec, point, found, bars)
            open_run(run, create=True)
            study = opened(spec, point, run, found, create=True)
            note = _put_up_default(study, run, found)
            bars.begin(study, note)
            if count == 0:
                work_here(spec, point, run, bars.event)
                return study
            readers = [listen(process, bars.event, EVENTS) for process in processes]
            for process in processes:
                told = {
                    "spec": spec.model_dump(mode="json", exclude_unset=True),
                    "study": point.name,
                    "run": str(run.resolve()),
                }
                with contextlib.suppress(BrokenPipeError):  # it died while it waited: its code says so below
                    order(process, told, sorted(_owners(spec, point) - {"__main__"}))
            for reader in readers:
                reader.join()
            codes = [process.wait() for process in processes]
        finally:
            reap(processes)
    missing = _missing(spec, study)
    if missing > 0:
        raise PrunebenchError(
            f"study {point.name!r}: {missing} trial(s) are missing and the workers ended with code(s) "
            f"{', '.join(map(str, codes))}; what they said stands above. Finished trials are kept: run it again"
        )
    return study


def _missing(spec: StudySpec, study: optuna.Study) -> int:
    return spec.trials - len(settled(study.get_trials(deepcopy=False)))


def work_here(spec: StudySpec, point: Point, run: Path, say: Say) -> None:
    """Work on a study in this process until it is done.

    Raises:
        PrunebenchError: as ``run_study``.
    """
    import torch

    found = space(spec, point)
    study = opened(spec, point, run, found, create=True)
    seat = take_seat(run, point.name)
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)  # as in a worker process: results depend on it
    try:
        corpus = trial_board(spec, point, found, {one.name: one.default for one in found}).corpus
        lab, judge = Lab(run, spec.keep_nodes, say), Judge(spec, run, corpus)
        with answering(spec.storage):
            Loop(spec, point, study, found, lab=lab, judge=judge, seat=seat.name, say=say).work()
    finally:
        torch.set_num_threads(threads)
        seat.release()


def _put_up_default(study: optuna.Study, run: Path, found: Sequence[Parameter]) -> str:
    """Enqueue the default configuration if no trial is it; return why not, where it cannot be."""
    values = default_values(found)
    if values is None:
        return "the default configuration lies outside the ranges of this study, so that trial 0 is not it"
    with ask_lock(study._storage, run, study.study_name):
        reclaim(study, run)
        if not any(trial.user_attrs.get(DEFAULT) and not is_lost(trial) for trial in study.get_trials(deepcopy=False)):
            study.enqueue_trial(values, user_attrs={DEFAULT: True})
    return ""


def _prepare(spec: StudySpec, point: Point, found: Sequence[Parameter], bars: TrialBars) -> None:
    """Fill the caches of speech and features, so that workers only read, and check what only data can tell."""
    import torch

    from benchmark.harness.bench import Bench

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, os.cpu_count() or 1))
    bars.say("preparing speech and features")
    try:
        bench = Bench(plain_board(spec, point, spec.tune.evaluate))
        bench.prepare()
        if spec.test is not None:
            bench.for_spec(plain_board(spec, point, spec.test.splits)).prepare()
    finally:
        torch.set_num_threads(threads)


def _owners(spec: StudySpec, point: Point) -> set[str]:
    """Return the modules of the plug-ins that a study names."""
    named = [("model", spec.model.name), ("corpus", spec.corpus.name), ("method", point.method.name)]
    return {REGISTRY.lookup(kind, name).__module__ for kind, name in named}


def _workers(spec: StudySpec, point: Point, asked: int | None) -> int:
    if "__main__" in _owners(spec, point):
        return 0  # registered in a notebook or script, which no other process can import
    if is_alone(spec.storage):
        if asked is not None and asked > 1:
            raise SpecError("SQLite is for one process: leave --workers out, or take the journal file or PostgreSQL")
        return 0 if asked == 0 else 1
    if asked is not None:
        return min(asked, spec.trials)
    if is_timed(spec):  # neighbours would slow it down
        return 1
    return max(1, min(len(visible_gpus()) or os.cpu_count() or 1, spec.trials))


def _places(count: int) -> list[dict[str, str]]:
    """Return what the environment of each worker says beside ours: which GPU it sees, in turn, where there are any."""
    found = visible_gpus()
    return [{VISIBLE: found[number % len(found)]} if found else {} for number in range(count)]

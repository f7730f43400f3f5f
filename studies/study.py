"""``prunebench study``: tune a method, tune all equally, take one apart, and look at what came out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.errors import SpecError
from benchmark.registry import REGISTRY

if TYPE_CHECKING:
    import optuna

    from studies._spec import Point, StudySpec

Source = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML file, or the name of a preset.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder.  \\[default: out/<name of the spec>]")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Worker processes; 0: this one.  \\[default: a core each]")
]
Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Finished trials of each study, in all.")]
Storage = Annotated[
    str | None, typer.Option("--storage", help="URL of a database.  \\[default: a journal file beside the runs]")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Of the cells and of the sampler.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]

verbs = typer.Typer(
    name="study",
    help="Tune methods with Optuna, all equally, and take one apart.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@REGISTRY.register("verb", "study")
def add(app: typer.Typer) -> None:
    """Add the verb and its own verbs."""
    app.add_typer(verbs, name="study")


@verbs.command("run")
def run(
    spec: Source = "default",
    trials: Trials = None,
    workers: Workers = None,
    out: Out = None,
    storage: Storage = None,
    seed: Seed = None,
    quiet: Quiet = False,
) -> int:
    """Tune one method at one budget, test the best trial, and write report and figures.

    The same command again goes on where it was; typed in several terminals or on several machines, they share the work.
    """
    chosen = _spec(spec, trials, storage, seed)
    points = chosen.points()
    if len(points) > 1:
        raise SpecError(
            f"{len(points)} studies are asked for (methods x kept fractions): prunebench study tune-all {spec}"
        )
    from studies._run import run_study

    folder = _folder(chosen, out)
    study = run_study(chosen, points[0], folder, workers=workers, quiet=quiet)
    return _conclude(chosen, points[0], study, folder, workers=workers, quiet=quiet)


@verbs.command("tune-all")
def tune_all(
    spec: Source,
    trials: Trials = None,
    workers: Workers = None,
    out: Out = None,
    storage: Storage = None,
    seed: Seed = None,
    quiet: Quiet = False,
) -> int:
    """Give each method the same number of trials, and put the best of each on one leaderboard."""
    from studies._tune_all import tune_all as carry_out

    chosen = _spec(spec, trials, storage, seed)
    return carry_out(chosen, _folder(chosen, out), workers=workers, quiet=quiet)


@verbs.command("ablate")
def ablate(spec: Source = "ablation", workers: Workers = None, out: Out = None, quiet: Quiet = False) -> int:
    """Take a method apart: each switch alone or all combinations, paired with the full method."""
    from studies._ablate import ablate as carry_out
    from studies._ablation import load_ablation

    chosen = load_ablation(spec)
    return carry_out(chosen, out if out is not None else Path("out") / chosen.name, workers, quiet)


@verbs.command("plan")
def plan(spec: Source = "default", out: Out = None) -> None:
    """Show what a study or an ablation would do and cost. Writes nothing."""
    from benchmark.reading import read_mapping
    from studies._spec import PRESETS

    data, _ = read_mapping(spec, PRESETS, needs="methods")
    if "factors" in data:
        from studies._ablate import plan as plan_ablation
        from studies._ablation import load_ablation

        ablation = load_ablation(spec)
        plan_ablation(ablation, out if out is not None else Path("out") / ablation.name)
        return
    from studies._plan import show_plan

    chosen = _spec(spec, None, None, None)
    show_plan(chosen, _folder(chosen, out))


@verbs.command("status")
def status(spec: Source = "default", out: Out = None, storage: Storage = None, as_json: AsJson = False) -> None:
    """Show trials done, running and failed, the best so far, and how long to go."""
    from benchmark.cli._tables import console
    from studies._status import show_status
    from studies._status import status as look
    from studies._storage import answering

    chosen = _spec(spec, None, storage, None)
    with answering(chosen.storage):
        there = _existing(chosen, _folder(chosen, out))
        found = [look(study, chosen) for _, study in there]
    if as_json:
        print(json.dumps(found, indent=1, default=str))
    else:
        show_status(found, console())
        _say_missing(chosen, there)


@verbs.command("report")
def report(
    spec: Source = "default", out: Out = None, storage: Storage = None, workers: Workers = None, quiet: Quiet = False
) -> int:
    """Write report and figures of a study as it stands; the test is made at its end, and once."""
    from studies._storage import answering

    chosen = _spec(spec, None, storage, None)
    folder = _folder(chosen, out)
    with answering(chosen.storage):
        there = _existing(chosen, folder)
        codes = [_conclude(chosen, point, study, folder, workers=workers, quiet=quiet) for point, study in there]
    _say_missing(chosen, there)
    return max(codes)


@verbs.command("rebuild")
def rebuild(spec: Source = "default", out: Out = None, storage: Storage = None) -> None:
    """Make a study anew from its records, after its storage was lost or for another storage."""
    from studies._rebuild import rebuild as make

    chosen = _spec(spec, None, storage, None)
    for point in chosen.points():
        study = make(chosen, point, _folder(chosen, out))
        print(f"study {point.name}: {len(study.trials)} trials from records")


@verbs.command("work", hidden=True)
def work() -> int:
    """Work on a study as its driver says; a process of its own."""
    from benchmark.harness.processes import receive
    from studies._run import work_here
    from studies._spec import StudySpec

    told, emit = receive()
    if told is None:
        return 1  # the driver died while it prepared
    spec = StudySpec.parse(told["spec"], "the study's spec")
    point = next(point for point in spec.points() if point.name == told["study"])
    work_here(spec, point, Path(told["run"]), emit)
    return 0


def _spec(source: str, trials: int | None, storage: str | None, seed: int | None) -> StudySpec:
    """Return the spec with the flags laid over it."""
    from benchmark.reading import parse_as
    from studies._spec import StudySpec, load_study

    spec = load_study(source)
    data: dict[str, Any] = spec.model_dump(exclude_unset=True)
    if trials is not None:
        data["trials"] = trials
    if storage is not None:
        data["storage"] = {**data.get("storage", {}), "url": storage}
    if seed is not None:
        data["seed"] = seed
    return parse_as(StudySpec, data, f"spec {spec.name!r} with flags")


def _folder(spec: StudySpec, out: Path | None) -> Path:
    return out if out is not None else Path("out") / spec.name


def _existing(spec: StudySpec, folder: Path) -> list[tuple[Point, optuna.Study]]:
    """Return the studies of a spec that are there; ``tune-all`` makes them one after the other.

    Raises:
        StoreError: none is.
    """
    from benchmark.store.folders import open_run
    from studies._run import checked, opened
    from studies._storage import NoStudyError

    open_run(folder)
    found: list[tuple[Point, optuna.Study]] = []
    missing: NoStudyError | None = None
    for point in spec.points():
        try:
            found.append((point, opened(spec, point, folder, checked(spec, point), create=False)))
        except NoStudyError as error:
            missing = missing or error
    if missing is not None and not found:
        raise missing
    return found


def _say_missing(spec: StudySpec, there: Sequence[tuple[Point, optuna.Study]]) -> None:
    begun = {point.name for point, _ in there}
    for point in spec.points():
        if point.name not in begun:
            print(f"study {point.name}: not begun")


def _conclude(
    spec: StudySpec, point: Point, study: optuna.Study, folder: Path, *, workers: int | None, quiet: bool
) -> int:
    """Test what came out, write the report, and say where it is; 1 where nothing is feasible or a test failed.

    A study that is not at its end is not tested: what is chosen could still change.
    """
    from benchmark.cli._flow import say_written
    from studies._final import best_trials, final
    from studies._outcomes import settled
    from studies._report import summary, write_study
    from studies._run import checked

    ended = len(settled(study.get_trials(deepcopy=False))) >= spec.trials
    found = checked(spec, point)
    outcome = final(spec, point, study, found, folder, workers=workers, quiet=quiet) if ended else None
    written = write_study(study, spec, point.folder(folder), final=outcome)
    print(summary(study, spec, outcome))
    say_written(written)
    failed = outcome is not None and any(entry["failure"] for entry in outcome["entries"])
    return 1 if failed or not best_trials(study) else 0

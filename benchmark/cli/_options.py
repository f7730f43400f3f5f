"""Options that several verbs share, and the spec that they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.errors import SpecError
from benchmark.spec_files import fractions, integers, items, load_spec, override, validate
from benchmark.specs import Leaderboard

if TYPE_CHECKING:
    from benchmark.harness.executors.interface import Executor

Methods = Annotated[
    str | None, typer.Option("--methods", help="Only these methods, and dense: a,b. Others join the rows they fit.")
]
Budgets = Annotated[str | None, typer.Option("--budgets", help="Kept fractions of every row with a budget: 0.8,0.6.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Seeds: 0,1,2.")]
Steps = Annotated[int | None, typer.Option("--steps", help="Optimiser steps on the path of every cell.")]
Normalizer = Annotated[
    str | None,
    typer.Option(
        "--normalizer",
        help="Normaliser of the scores: hindi, hindi\\[nasal=off], auto (that of each corpus' language), or several "
        "side by side, of which the first ranks: a,b.",
    ),
]
Languages = Annotated[
    str | None,
    typer.Option("--languages", help="The grid once for each of these languages, with its own normaliser: hi,ta,bn."),
]
ReportTo = Annotated[
    str | None,
    typer.Option(
        "--report-to",
        help="Who is told of the loss: tensorboard,mlflow,wandb, or none.  \\[default: tensorboard where installed]",
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="PLACE",
        help="Run folder, or a URL on an object store: s3://bucket/run.  \\[default: out/<name of the spec>]",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=0, help="Worker processes; 0: this one.  \\[default: one a GPU, or else a core each]"
    ),
]
ExecutorName = Annotated[
    str, typer.Option("--executor", help="Where workers run: local, or ray (tasks of a Ray cluster, extra ray).")
]
Threads = Annotated[
    int, typer.Option("--threads", min=1, help="CPU threads of each worker; runs are equal at equal threads.")
]
Gpus = Annotated[
    float | None,
    typer.Option(
        "--gpus",
        min=0,
        max=1,
        help="GPUs of each worker: 1, 0.5 (two share one), 0.  \\[default: 1 where there are any]",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", help="Of a Ray cluster: auto, HOST:PORT.  \\[default: one is started here]"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
SpecSource = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML file, or the name of a preset.")]


def read_spec(
    source: str,
    methods: str | None,
    budgets: str | None,
    seeds: str | None,
    steps: int | None,
    normalizer: str | None,
    languages: str | None,
    report_to: str | None = None,
) -> Leaderboard:
    """Return the spec with the flags laid over it, checked: nothing has been written yet.

    Raises:
        SpecError: a name, an option or a value that cannot be.
    """
    chosen = override(
        load_spec(source),
        methods=None if methods is None else items(methods, "--methods"),
        budgets=None if budgets is None else fractions(budgets),
        seeds=None if seeds is None else integers(seeds, "--seeds"),
        steps=steps,
        normalizer=normalizer,
        languages=None if languages is None else items(languages, "--languages"),
        report_to=None if report_to is None else [name for name in items(report_to, "--report-to") if name != "none"],
    )
    return validate(chosen)


def executor_of(name: str, workers: int | None, threads: int, gpus: float | None, ray_address: str | None) -> Executor:
    """Return the executor that the flags ask for.

    Raises:
        SpecError: no such executor, or one that does not know a flag.
    """
    from benchmark.harness.executors.interface import executor

    options: dict[str, Any] = {"workers": workers, "threads": threads, "gpus": gpus}
    if ray_address is not None:
        options["address"] = ray_address
        if name == "local":
            raise SpecError(f"--ray-address {ray_address} is for --executor ray, and this is --executor local")
    return executor(name, options)


def place_of(spec: Leaderboard, out: str | None) -> Path | str:
    """Return where the run is: a URL or folder that was asked for, or ``out/<name of the spec>``."""
    from benchmark.store.remote import is_url

    if out is None:
        return Path("out") / spec.name
    return out if is_url(out) else Path(out)

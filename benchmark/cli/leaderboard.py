"""``prunebench leaderboard``: the main job, from a preset to a table."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli import _options as options
from benchmark.cli._flow import carry_out
from benchmark.registry import REGISTRY


def leaderboard(
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", help="Name of a preset, or a YAML file.  \\[default: default; languages with --languages]"
        ),
    ] = None,
    methods: options.Methods = None,
    budgets: options.Budgets = None,
    seeds: options.Seeds = None,
    steps: options.Steps = None,
    normalizer: options.Normalizer = None,
    languages: options.Languages = None,
    report_to: options.ReportTo = None,
    out: options.Out = None,
    workers: options.Workers = None,
    executor: options.ExecutorName = "local",
    threads: options.Threads = 1,
    gpus: options.Gpus = None,
    ray_address: options.RayAddress = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare methods on an embedded model and corpus: train, prune, measure, time, report.

    What is finished is not done again, so the same command goes on after an interruption.
    """
    source = preset or ("default" if languages is None else "languages")
    spec = options.read_spec(source, methods, budgets, seeds, steps, normalizer, languages, report_to)
    where = options.executor_of(executor, workers, threads, gpus, ray_address)
    raise typer.Exit(carry_out(spec, options.place_of(spec, out), where, quiet))


@REGISTRY.register("verb", "leaderboard")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("leaderboard")(leaderboard)

"""``prunebench run SPEC``: any leaderboard, from a file or a preset."""

from __future__ import annotations

import typer

from benchmark.cli import _options as options
from benchmark.cli._flow import carry_out
from benchmark.registry import REGISTRY


def run(
    spec: options.SpecSource,
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
    """Carry out a spec: train, prune, measure, time, report. Finished cells are not done again."""
    chosen = options.read_spec(spec, methods, budgets, seeds, steps, normalizer, languages, report_to)
    where = options.executor_of(executor, workers, threads, gpus, ray_address)
    raise typer.Exit(carry_out(chosen, options.place_of(chosen, out), where, quiet))


@REGISTRY.register("verb", "run")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("run")(run)

"""``prunebench leaderboard``: the main job, from a preset to a table."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli import _options as options
from benchmark.cli._flow import carry_out
from benchmark.registry import REGISTRY


def leaderboard(
    preset: Annotated[str, typer.Option("--preset", help="Name of a preset, or a YAML file.")] = "default",
    methods: options.Methods = None,
    budgets: options.Budgets = None,
    seeds: options.Seeds = None,
    steps: options.Steps = None,
    normalizer: options.Normalizer = None,
    out: options.Out = None,
    workers: options.Workers = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare methods on an embedded model and corpus: train, prune, measure, time, report.

    What is finished is not done again, so the same command goes on after an interruption.
    """
    spec = options.read_spec(preset, methods, budgets, seeds, steps, normalizer)
    raise typer.Exit(carry_out(spec, options.folder_of(spec, out), workers, quiet))


@REGISTRY.register("verb", "leaderboard")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("leaderboard")(leaderboard)

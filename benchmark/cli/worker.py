"""``prunebench worker``: one worker process of a run. Hidden: the harness starts it and owns its arguments."""

from __future__ import annotations

import sys

import typer

from benchmark.registry import REGISTRY


def worker(context: typer.Context) -> None:
    """Work on a run until nothing is left to do; started by the harness."""
    from benchmark.harness.worker import main

    try:
        code = main(context.args)
    except KeyboardInterrupt:  # the terminal interrupts the whole family; the harness is the one that says so
        sys.exit(130)
    raise typer.Exit(code)


@REGISTRY.register("verb", "worker")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command("worker", hidden=True, context_settings=settings)(worker)

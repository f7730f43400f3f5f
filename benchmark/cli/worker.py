"""``prunebench worker`` and ``ray-driver``, processes of a run. Hidden: the harness starts them with its arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from benchmark.errors import SpecError
from benchmark.registry import REGISTRY


def worker(context: typer.Context) -> None:
    """Work on a run until nothing is left to do; started by the harness."""
    from benchmark.harness.worker import main

    _be(main, context.args)


def driver(context: typer.Context) -> None:
    """Hand the workers of a run to Ray and wait for them; started by the harness."""
    from benchmark.harness.executors.placing import main

    _be(main, context.args)


def _be(main: Callable[[list[str]], int], arguments: list[str]) -> None:
    if len(arguments) != _GIVEN[main.__module__] or "--help" in arguments:
        raise SpecError("this verb is for the harness alone, which starts it: see prunebench run --help")
    try:
        code = main(arguments)
    except KeyboardInterrupt:  # the terminal interrupts the whole family; the harness is the one that says so
        sys.exit(130)
    raise typer.Exit(code)


_GIVEN = {"benchmark.harness.worker": 3, "benchmark.harness.executors.placing": 1}
"""How many arguments the harness gives to each."""
_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@REGISTRY.register("verb", "worker")
def add(app: typer.Typer) -> None:
    """Add the verb of a worker."""
    app.command("worker", hidden=True, context_settings=_SETTINGS)(worker)


@REGISTRY.register("verb", "ray-driver")
def add_driver(app: typer.Typer) -> None:
    """Add the verb of the process that speaks to Ray."""
    app.command("ray-driver", hidden=True, context_settings=_SETTINGS)(driver)

"""``prunebench merge A B --into C``: the union of run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.registry import REGISTRY


def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Run folders to take from.")],
    into: Annotated[Path, typer.Option("--into", help="Run folder to fill; made when it is not there.")],
) -> None:
    """Copy finished attempts and timing records that are not there yet; nothing is ever changed."""
    from benchmark.store.merging import merge as unite

    done = unite(runs, into)
    print(
        f"{into}: {done.attempts} attempt(s) and {done.timings} timing record(s) copied, {done.present} attempt(s) "
        "were there already"
    )


@REGISTRY.register("verb", "merge")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("merge")(merge)

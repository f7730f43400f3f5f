"""``prunebench merge A B --into C``: the union of run folders, and of bundles whose every record is checked first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmark.markdown import flat
from benchmark.registry import REGISTRY


def _whole(place: str) -> Path:
    from benchmark.store.depot import reach

    return reach(place, models=True)


def merge(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUNS", parser=_whole, help="Run folders, URLs of runs on an object store, or bundles to take from."
        ),
    ],
    into: Annotated[Path, typer.Option("--into", help="Run folder to fill; made when it is not there.")],
    accept_data: Annotated[
        list[str] | None,
        typer.Option(
            "--accept-data",
            metavar="HASH",
            help="Vouch for test data of bundles that are not known here, by the beginning of their hash; repeatable.",
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what would be done; write nothing.")] = False,
) -> None:
    """Copy finished attempts and timing records that are not there yet; nothing is ever changed.

    Every record of a bundle is checked before: its form, its id, its counts, its test data, and that its transcripts
    give the scores that are claimed. What fails is named and left out, and the exit code is 2.
    """
    from benchmark.harness.admission import unite
    from benchmark.store.depot import forget_models

    done, refused = unite(runs, into, accepted=accept_data or (), check=check)
    for run in runs:
        forget_models(run)
    for refusal in refused:
        print(f"prunebench: error: {flat(refusal):.600}", file=sys.stderr)
    print(
        f"{into}: {done.attempts} attempt(s) and {done.timings} timing record(s) {'would be ' if check else ''}copied, "
        f"{done.present} attempt(s) were there already" + (f", {len(refused)} left out" if refused else "")
    )
    if refused:
        raise typer.Exit(2)


@REGISTRY.register("verb", "merge")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("merge")(merge)

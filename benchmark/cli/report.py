"""``prunebench report RUNS``: tables and plots from records, with any normaliser, no model needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli._flow import ScoresLeftOutError, normalizer_of, say_left_out, say_written
from benchmark.cli._flow import report as write_reports
from benchmark.registry import REGISTRY
from benchmark.text.chosen import checked


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Run folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the reports.")],
    normalizer: Annotated[
        str | None,
        typer.Option(
            "--normalizer",
            help="hindi, hindi\\[nasal=off], auto (that of each corpus' language), or several side by side, of which "
            "the first ranks: a,b.  [default: that of the runs' specs]",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only write the files.")] = False,
) -> None:
    """Write all reports of one run folder or several; scores come from the transcripts, so nothing is decoded again."""
    choice = normalizer if normalizer is not None else normalizer_of(runs)
    checked(choice)
    try:
        say_written(write_reports(runs, out, choice, show=not quiet))
    except ScoresLeftOutError as error:
        say_written(error.written)
        say_left_out(error.faults)
        raise typer.Exit(1) from error


@REGISTRY.register("verb", "report")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report")(report)

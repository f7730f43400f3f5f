"""``prunebench report RUNS``: tables and plots from records, with any normaliser, no model needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli._flow import normalizer_of, say_written
from benchmark.cli._flow import report as write_reports
from benchmark.registry import REGISTRY


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Run folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the reports.")],
    normalizer: Annotated[
        str | None,
        typer.Option("--normalizer", help="Normaliser of the scores.  [default: that of the runs' specs]"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only write the files.")] = False,
) -> None:
    """Write all reports of one run folder or several; scores come from the transcripts, so nothing is decoded again."""
    chosen = normalizer if normalizer is not None else normalizer_of(runs)
    REGISTRY.get("normalizer", chosen)
    say_written(write_reports(runs, out, chosen, show=not quiet))


@REGISTRY.register("verb", "report")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report")(report)

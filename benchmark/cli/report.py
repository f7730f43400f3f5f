"""``prunebench report RUNS``: tables and plots from records, with any normaliser, no model needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import _filters as filters
from benchmark.cli._flow import (
    ReportsLeftOutError,
    ScoresLeftOutError,
    normalizer_of,
    report_table,
    say_broken,
    say_left_out,
    say_written,
    scored_frame,
)
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.spec_files import items
from benchmark.text.chosen import checked

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".csv", ".parquet")


def report(
    runs: filters.Runs,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the reports.")] = None,
    frame: Annotated[
        Path | None, typer.Option("--frame", metavar="FILE", help="Write all cells as one table: .parquet or .csv.")
    ] = None,
    only: Annotated[
        str | None, typer.Option("--only", help="Only these reports: table,page; prunebench ls reports names them.")
    ] = None,
    normalizer: Annotated[
        str | None,
        typer.Option(
            "--normalizer",
            help="hindi, hindi\\[nasal=off], auto (that of each corpus' language), or several side by side, of which "
            "the first ranks: a,b.  \\[default: that of the runs' specs]",
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, help="Points of error rate by which worse than dense is no worse.")
    ] = 1.0,
    device: filters.Device = None,
    model: filters.Model = None,
    corpus: filters.Corpus = None,
    language: filters.Language = None,
    method: filters.Method = None,
    data: filters.Data = None,
    seeds: filters.Seeds = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only write the files.")] = False,
) -> None:
    """Write all reports of one run folder or several; scores come from the transcripts, so nothing is decoded again.

    Records that cannot be used are named and left out, and the exit code is 1. Ranks are among what the filters keep.
    """
    if out is None and frame is None:
        raise SpecError("nothing to write: name a folder for the reports with --out, or a file with --frame")
    _check_places(out, frame)
    chosen = () if only is None else tuple(items(only, "--only"))
    for name in chosen:
        REGISTRY.lookup("report", name)
    choice = normalizer if normalizer is not None else normalizer_of(runs)
    checked(choice)

    from benchmark.store.frame import check_filled

    where = filters.filter_of(model, corpus, language, method, data, seeds)
    broken: list[str] = []
    table, left_out = scored_frame(runs, choice, broken, where=where, device=device, margin=margin / 100)
    check_filled(table)
    written: list[Path] = []
    missing: ReportsLeftOutError | None = None
    try:
        if out is not None:
            written = report_table(table, out, show=not quiet, left_out=left_out, only=chosen)
    except ScoresLeftOutError as error:
        written = error.written
    except ReportsLeftOutError as error:
        written, missing = error.written, error
    if frame is not None:
        written = [write_frame(table, frame), *written]
    if written:
        say_written(written)
    if missing is None:
        say_left_out(left_out)
    say_broken(broken)
    if missing is not None:
        raise missing
    if left_out or broken:
        raise typer.Exit(1)


def _check_places(out: Path | None, frame: Path | None) -> None:
    """Refuse, before anything is read, a folder or a file that could not be written.

    Raises:
        SpecError: a ``frame`` that is a folder or has an ending that stands for no format, or one place for both.
        StoreError: a place that cannot be written.
    """
    from benchmark.store.folders import check_writable

    if frame is not None:
        if frame.is_dir():
            raise SpecError(f"--frame {frame}: is a folder; name a file in it, such as {frame / 'cells.parquet'}")
        if frame.suffix not in _SUFFIXES:
            raise SpecError(f"--frame {frame}: {frame.suffix or 'no ending'} is no format; end it in .parquet or .csv")
        check_writable(frame.parent)
    if out is not None:
        check_writable(out)
        if frame in (out, *out.parents):
            raise SpecError(f"--frame {frame} and --out {out} cannot both be there; give the reports another folder")


def write_frame(table: pd.DataFrame, path: Path) -> Path:
    """Write a frame as its file's ending says, whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    from benchmark.store.files import write_atomically
    from benchmark.store.folders import unwritable

    content = table.to_csv(index=False, lineterminator="\n") if path.suffix == ".csv" else table.to_parquet(index=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_atomically(path, content)
    except OSError as error:
        raise unwritable(path, error) from error


@REGISTRY.register("verb", "report")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report")(report)

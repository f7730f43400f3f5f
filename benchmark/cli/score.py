"""``prunebench score RUNS``: error rates of stored transcripts under any normalisers, side by side, no model needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli import _filters as filters
from benchmark.cli._flow import normalizer_of, say_left_out
from benchmark.errors import SpecError, StoreError
from benchmark.registry import REGISTRY
from benchmark.text.chosen import checked

if TYPE_CHECKING:
    import pandas as pd

_HEADINGS = ("cell", "method", "kept", "seed", "split", "WER %", "CER %", "95 %", "empty", "signature")
_NUMBERS = ("kept", "seed", "WER %", "CER %", "95 %", "empty")
_EMPTY = (
    "empty: references without a word (+ what was heard there, which counts as insertions, made: of these references "
    "the ones with a text of which the normaliser leaves nothing)"
)


def score(
    runs: filters.Runs,
    normalizer: Annotated[
        str | None,
        typer.Option(
            "--normalizer",
            help="hindi, hindi\\[nasal=off], auto (that of each corpus' language), or several: a,b.  "
            "\\[default: that of the runs' specs]",
        ),
    ] = None,
    cell: Annotated[
        list[str] | None, typer.Option("--cell", help="Only this cell (its id, or how that begins); can be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, every count.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write every count to this file.")] = None,
) -> None:
    """Score stored transcripts again: a row a cell, split and normaliser. Nothing is decoded, no model is loaded.

    The interval (bootstrap over utterances) is of the rate in the normaliser's unit, which the signature begins with.
    """
    if as_json and csv is not None:
        raise SpecError("--json prints and --csv writes the same numbers; give one of them")
    choice = normalizer if normalizer is not None else normalizer_of(runs)
    checked(choice)

    from benchmark.store.score import score as score_runs

    faults: list[str] = []
    table = score_runs(runs, choice, cells=cell, faults=faults)
    if table.empty:
        said = "; ".join(faults) or f"{', '.join(map(str, runs))}: there is no finished cell to score"
        raise SpecError(said) if faults else StoreError(said)
    if as_json:
        print(json.dumps(_plain(table), indent=1, ensure_ascii=False))
    elif csv is not None:
        _write(table, csv)
    else:
        _print(table)
    if faults:
        say_left_out(faults)
        raise typer.Exit(1)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as JSON has them: a number that is none is null."""
    return [{key: None if value != value else value for key, value in row.items()} for row in _rows(table)]


def _write(table: pd.DataFrame, path: Path) -> None:
    from benchmark.store.files import write_atomically
    from benchmark.store.folders import short

    try:
        write_atomically(path, table.to_csv(index=False, lineterminator="\n"))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({short(error)}); give a file in a folder that exists") from error
    print(f"written: {path}")


def _print(table: pd.DataFrame) -> None:
    """Print what matters; columns that say nothing (one seed, no empty reference) are left out."""
    from benchmark.cli._tables import print_table

    rows = [_texts(row) for row in _rows(table)]
    dull = {"seed"} if table["seed"].nunique() <= 1 else set()
    dull |= {"empty"} if not table["empty_references"].any() else set()
    shown = [at for at, name in enumerate(_HEADINGS) if name not in dull]
    headings = [_HEADINGS[at] for at in shown]
    print_table(headings, ([row[at] for at in shown] for row in rows), right=_NUMBERS, whole=("cell", *_NUMBERS))
    if "empty" in headings:
        print(_EMPTY)


def _texts(row: dict[str, Any]) -> list[str]:
    made = f", {row['emptied']} made" if row["emptied"] else ""
    said = f"{row['empty_references']} (+{row['empty_reference_insertions']}{made})"
    return [
        row["cell"],
        row["method"],
        "–" if row["keep"] is None or row["keep"] != row["keep"] else f"{row['keep']:g}",
        str(row["seed"]),
        row["split"],
        _points(row["wer"]),
        _points(row["cer"]),
        f"[{_points(row['lo'])}, {_points(row['hi'])}]",
        said if row["empty_references"] else "0",
        row["signature"],
    ]


def _points(rate: float) -> str:
    return "–" if rate != rate else f"{100 * rate:.2f}"


@REGISTRY.register("verb", "score")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("score")(score)

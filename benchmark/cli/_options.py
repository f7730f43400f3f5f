"""Options that several verbs share, and the spec that they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.spec_files import fractions, integers, items, load_spec, override, validate
from benchmark.specs import Leaderboard

Methods = Annotated[
    str | None, typer.Option("--methods", help="Only these methods, and dense: a,b. Others join the rows they fit.")
]
Budgets = Annotated[str | None, typer.Option("--budgets", help="Kept fractions of every row with a budget: 0.8,0.6.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Seeds: 0,1,2.")]
Steps = Annotated[int | None, typer.Option("--steps", help="Optimiser steps on the path of every cell.")]
Normalizer = Annotated[
    str | None,
    typer.Option(
        "--normalizer",
        help="Normaliser of the scores: hindi, hindi\\[nasal=off], auto (that of each corpus' language), or several "
        "side by side, of which the first ranks: a,b.",
    ),
]
Languages = Annotated[
    str | None,
    typer.Option("--languages", help="The grid once for each of these languages, with its own normaliser: hi,ta,bn."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder.  \\[default: out/<name of the spec>]")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Worker processes; 0: this one.  \\[default: a core each]")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
SpecSource = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML file, or the name of a preset.")]


def read_spec(
    source: str,
    methods: str | None,
    budgets: str | None,
    seeds: str | None,
    steps: int | None,
    normalizer: str | None,
    languages: str | None,
) -> Leaderboard:
    """Return the spec with the flags laid over it, checked: nothing has been written yet.

    Raises:
        SpecError: a name, an option or a value that cannot be.
    """
    chosen = override(
        load_spec(source),
        methods=None if methods is None else items(methods, "--methods"),
        budgets=None if budgets is None else fractions(budgets),
        seeds=None if seeds is None else integers(seeds, "--seeds"),
        steps=steps,
        normalizer=normalizer,
        languages=None if languages is None else items(languages, "--languages"),
    )
    return validate(chosen)


def folder_of(spec: Leaderboard, out: Path | None) -> Path:
    """Return the run folder: what was asked for, or ``out/<name of the spec>``."""
    return out if out is not None else Path("out") / spec.name

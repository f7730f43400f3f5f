"""``prunebench bundle RUNS --to FILE``: the records of a leaderboard as one file, to be sent to somebody."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import _filters as filters
from benchmark.markdown import flat
from benchmark.registry import REGISTRY
from benchmark.text.chosen import AUTO, checked


def bundle(
    runs: filters.Runs,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="File to make, e.g. results.zip.")],
    normalizer: Annotated[
        str, typer.Option("--normalizer", help="What the claimed scores are made by; auto: that of each language.")
    ] = AUTO,
    plans: Annotated[
        bool, typer.Option("--plans", help="Take along what was removed, for pictures of density: a bit a weight.")
    ] = False,
    model: filters.Model = None,
    corpus: filters.Corpus = None,
    language: filters.Language = None,
    method: filters.Method = None,
    data: filters.Data = None,
    seeds: filters.Seeds = None,
) -> None:
    """Pack records, transcripts, specs and timings, without any weights, into one file.

    Who gets it checks it, and merges what passes: prunebench merge FILE --into RUNS.
    """
    checked(normalizer)
    where = filters.filter_of(model, corpus, language, method, data, seeds)

    from benchmark.store.bundles import pack

    broken: list[str] = []
    packed = pack(runs, to, normalizer, where=where, plans=plans, problems=broken)
    for problem in broken:
        print(f"prunebench: error: {flat(problem)}; left out", file=sys.stderr)
    print(
        f"written: {packed.path} ({packed.attempts} attempt(s), {packed.timings} timing record(s), "
        f"{packed.size / 1e6:.1f} MB)"
    )
    if broken:
        raise typer.Exit(1)


@REGISTRY.register("verb", "bundle")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("bundle")(bundle)

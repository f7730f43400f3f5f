"""Options that say which records are meant, and the filter that they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.spec_files import integers

if TYPE_CHECKING:
    from benchmark.store.filters import Filter


def _reached(place: str) -> Path:
    from benchmark.store.depot import reach

    return reach(place)


Runs = Annotated[
    list[Path],
    typer.Argument(metavar="RUNS", parser=_reached, help="Run folders, or URLs of runs on an object store."),
]
Model = Annotated[list[str] | None, typer.Option("--model", help="Only this model; repeatable.")]
Corpus = Annotated[list[str] | None, typer.Option("--corpus", help="Only this corpus; repeatable.")]
Language = Annotated[list[str] | None, typer.Option("--language", help="Only this language; repeatable.")]
Method = Annotated[
    list[str] | None,
    typer.Option("--method", help="Only this method, by name or label, and dense, its yardstick; repeatable."),
]
Data = Annotated[list[str] | None, typer.Option("--data", help="Only test data whose hash begins so; repeatable.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Only these seeds: 0,1,2.")]
Device = Annotated[str | None, typer.Option("--device", help="Device of the timings.  \\[default: that of most cells]")]


def filter_of(
    model: Sequence[str] | None,
    corpus: Sequence[str] | None,
    language: Sequence[str] | None,
    method: Sequence[str] | None,
    data: Sequence[str] | None,
    seeds: str | None,
) -> Filter:
    """Return the filter; what is not named is not filtered.

    Raises:
        SpecError: seeds that are no whole numbers.
    """
    from benchmark.store.filters import Filter

    return Filter(
        models=tuple(model or ()),
        corpora=tuple(corpus or ()),
        languages=tuple(language or ()),
        methods=tuple(method or ()),
        data=tuple(data or ()),
        seeds=() if seeds is None else tuple(integers(seeds, "--seeds")),
    )

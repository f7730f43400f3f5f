"""``prunebench nano build``: make the embedded model again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from benchmark.registry import REGISTRY
from benchmark.spec_files import items

nano = typer.Typer(help="The embedded nano model.")


@nano.callback()
def top() -> None:
    """Keep ``build`` a word of its own: with one command, typer would leave it out."""


@nano.command("build")
def build(
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write.  \\[default: out/nano-<language>, out/nano-multi]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Optimiser steps.  \\[default: the recipe]")
    ] = None,
    languages: Annotated[
        str, typer.Option("--languages", help="Languages of synthetic corpora, one or several: hi,ta,bn.")
    ] = "hi",
) -> None:
    """Train a nano Whisper from nothing on synthetic corpora, and write it as the package ships it.

    With the recipe's own number of steps on two cores: 20 minutes for one language, an hour or two for several.
    """
    codes = tuple(items(languages, "--languages"))
    corpora = {code: REGISTRY.get("corpus", f"synthetic-{code}") for code in codes}
    folder = _writable(out if out is not None else Path("out") / f"nano-{codes[0] if len(codes) == 1 else 'multi'}")

    from benchmark.harness import nano as recipe

    several = recipe.MULTILINGUAL if len(codes) > 1 else {}
    options = {"languages": codes, **several, **({} if steps is None else {"steps": steps})}
    spec = recipe.NanoSpec.parse(options, "nano build")
    splits = {code: corpus.load("train", spec.utterances) for code, corpus in corpora.items()}
    with _bar() as progress:
        model, processor = recipe.build(splits, spec, progress)
    recipe.ship(model, processor, folder)
    print(f"written: {folder}")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar; what is yielded is told (steps done, steps in all)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _writable(folder: Path) -> Path:
    """Return the folder, made, before an hour is spent on what could not be written then.

    Raises:
        StoreError: it cannot be written.
    """
    import tempfile

    from benchmark.errors import StoreError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}); give a folder you may write to") from error
    return folder


@REGISTRY.register("verb", "nano")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.add_typer(nano, name="nano")

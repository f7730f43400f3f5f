"""``prunebench nano build``: make the embedded model again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from benchmark.registry import REGISTRY

nano = typer.Typer(help="The embedded nano model.")


@nano.callback()
def top() -> None:
    """Keep ``build`` a word of its own: with one command, typer would leave it out."""


@nano.command("build")
def build(
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write.  [default: out/nano-<language>]")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Optimiser steps.  [default: the recipe]")] = None,
    language: Annotated[str, typer.Option("--language", help="Language of the synthetic corpus.")] = "hi",
) -> None:
    """Train a nano Whisper from nothing on a synthetic corpus, and write it as the package ships it.

    Took 20 minutes on two cores with the recipe's own number of steps.
    """
    corpus = REGISTRY.get("corpus", f"synthetic-{language}")
    folder = _writable(out if out is not None else Path("out") / f"nano-{language}")

    from benchmark.harness import nano as recipe

    options = {"languages": (language,), **({} if steps is None else {"steps": steps})}
    spec = recipe.NanoSpec.parse(options, "nano build")
    split = corpus.load("train", spec.utterances)
    with _bar() as progress:
        model, processor = recipe.build(split, spec, progress)
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

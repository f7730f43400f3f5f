"""``prunebench profile DIR``: time artefacts on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.errors import StoreError
from benchmark.registry import REGISTRY
from benchmark.specs import ProfileSpec

_DEFAULTS = ProfileSpec()


def profile(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder, or the folder of one attempt.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder for the timing record; needed when DIR is none itself.")
    ] = None,
    utterances: Annotated[int, typer.Option("--utterances", min=1, help="Utterances a pass.")] = _DEFAULTS.utterances,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Windows at once.")] = _DEFAULTS.batch,
    repeats: Annotated[int, typer.Option("--repeats", min=3, help="Passes of each artefact.")] = _DEFAULTS.repeats,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Time each artefact, interleaved with dense in one process, and write a timing record for this device.

    The record merges back into the run: prunebench merge HERE THERE --into BOTH.
    """
    from benchmark.store.folders import MARKER, open_run, refuse_url

    refuse_url(folder)
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such folder; give a run folder, or the folder of one attempt")
    if out is None and not (folder / MARKER).exists():
        raise StoreError(f"{folder} is not a run folder; say with --out which run folder takes the timing record")
    into = open_run(out if out is not None else folder, create=True)

    from benchmark.harness.run import profile_folder

    settings = ProfileSpec(utterances=utterances, batch=batch, repeats=repeats)
    written = profile_folder(folder, into, settings, quiet=quiet)
    if not written:
        print(f"{folder}: there is no saved artefact to time")
    for path in written:
        print(f"written: {path}")


@REGISTRY.register("verb", "profile")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("profile")(profile)

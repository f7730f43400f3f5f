"""``prunebench compress MODEL --method M --keep K --to DIR``: a smaller Whisper, without training or data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from benchmark.errors import DataError, SpecError, StoreError
from benchmark.registry import REGISTRY

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor


def compress(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder with a Whisper, or the name of a model.")],
    method: Annotated[str, typer.Option("--method", help="A method that needs neither training nor data.")],
    keep: Annotated[float, typer.Option("--keep", help="Fraction of the weights to keep, of the groups that may go.")],
    to: Annotated[Path, typer.Option("--to", help="New folder for the smaller model.")],
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="Option of the method: scope=layer, groups=[head].")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="For methods that draw.")] = 0,
) -> None:
    """Write a physically smaller Whisper; it is opened and compared in a fresh process before it takes its name.

    Nothing is trained: fine-tune the result as you would any Whisper.
    """
    options = dict(map(_option, option or []))
    REGISTRY.get("method", method, **options)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise StoreError(f"{to}: exists and is not empty; give a new folder or remove it first")

    from benchmark.whisper.compress import compress as shrink_by
    from benchmark.whisper.compress import last_ones
    from benchmark.whisper.files import save

    whole, processor = _open(model)
    small = shrink_by(whole, method, keep, seed=seed, **options)
    save(small, to, processor)
    before, after = (sum(p.numel() for p in one.parameters()) for one in (whole, small))
    print(f"written: {to} ({after:,} of {before:,} parameters, checked in a fresh process)")
    if lone := last_ones(small):
        print(f"kept whatever the budget, because a layer needs one: the last {', the last '.join(lone)}")


def _option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    try:
        if name and sign:
            return name, yaml.safe_load(value)
    except yaml.YAMLError:
        pass  # said below, like every other text that is no option
    raise SpecError(f"--option {text!r}: write name=value, e.g. scope=layer or groups=[head]")


def _open(model: str) -> tuple[WhisperForConditionalGeneration, WhisperProcessor | None]:
    """Return a model and its processor: from a folder, which may have no processor, or from a model plug-in."""
    from benchmark.whisper.files import load
    from benchmark.whisper.states import UNREADABLE, said

    folder = Path(model)
    if not folder.is_dir():
        if folder.name != model and not folder.exists():
            raise DataError(f"{folder}: no such folder; give a folder with a Whisper, or the name of a model")
        whole, processor = REGISTRY.get("model", model).load()
        return whole, processor
    whole = load(folder)
    if not any((folder / name).is_file() for name in ("processor_config.json", "preprocessor_config.json")):
        return whole, None

    from transformers import WhisperProcessor

    try:
        return whole, WhisperProcessor.from_pretrained(folder, local_files_only=True)
    except UNREADABLE as error:
        raise DataError(f"{folder}: its processor does not open ({said(error)}); restore the folder") from error


@REGISTRY.register("verb", "compress")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("compress")(compress)

"""``prunebench compress MODEL --method M --keep K --to DIR``: a smaller Whisper, without training or data."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from benchmark.errors import DataError, SpecError
from benchmark.registry import REGISTRY
from benchmark.specs import MethodSpec
from benchmark.store.folders import check_new

if TYPE_CHECKING:
    from benchmark.harness.exporting import Source
    from benchmark.whisper.card import About


def compress(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder with a Whisper, or the name of a model.")],
    method: Annotated[str, typer.Option("--method", help="A method that needs neither training nor data.")],
    keep: Annotated[float, typer.Option("--keep", help="Fraction of the weights to keep, of the groups that may go.")],
    to: Annotated[Path, typer.Option("--to", help="New folder for the smaller model.")],
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="Option of the method: scope=layer, groups=\\[head].")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="For methods that draw.")] = 0,
) -> None:
    """Write a physically smaller Whisper; it is opened and compared in a fresh process before it takes its name.

    Nothing is trained: fine-tune the result as you would any Whisper.
    """
    options = dict(map(_option, option or []))
    named = MethodSpec.named(method)
    REGISTRY.get("method", named.name, **{**named.options, **options})
    check_new(to)

    from benchmark.whisper.compress import compress as shrink_by
    from benchmark.whisper.compress import last_ones
    from benchmark.whisper.files import save

    base = _open(model)
    small = shrink_by(base.model, method, keep, seed=seed, **options)
    before, after = (sum(p.numel() for p in one.parameters()) for one in (base.model, small))
    save(small, to, base.processor, about=_about(base, method, option or [], keep, to, seed, before))
    print(f"written: {to} ({after:,} of {before:,} parameters, checked in a fresh process)")
    if lone := last_ones(small):
        print(f"kept whatever the budget, because a layer needs one: the last {', the last '.join(lone)}")


def _option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if name in ("keep", "seed"):
        raise SpecError(f"--option {text!r}: that is no option of a method; use --{name}")
    try:
        if name and sign:
            return name, yaml.safe_load(value)
    except yaml.YAMLError:
        pass  # said below, like every other text that is no option
    raise SpecError(f"--option {text!r}: write name=value, e.g. scope=layer or groups=[head]")


def _open(model: str) -> Source:
    """Return a model and its processor: from a folder, which may have no processor, or from a model plug-in."""
    from benchmark.harness.exporting import open_folder, open_plugin

    folder = Path(model)
    if folder.is_dir():
        return open_folder(folder)
    if folder.name != model or folder.exists():
        raise DataError(f"{folder}: no such folder; give a folder with a Whisper, or the name of a model")
    return open_plugin(model)


def _about(base: Source, method: str, options: list[str], keep: float, to: Path, seed: int, dense: int) -> About:
    """Return what the card says of how it was made; folders by their names alone, because a card travels."""
    from benchmark.whisper.card import About, origin

    parts = [Path(base.name).name, "--method", method, "--keep", f"{keep:g}", "--to", to.name]
    parts += [part for text in options for part in ("-o", text)]
    command = shlex.join(["prunebench", "compress", *parts, *(["--seed", str(seed)] if seed else [])])
    made = f"Method `{method}`, one shot: no data was seen."
    return About(**{**origin(base.model), "base": base.name, "made": (made,), "command": command, "dense": dense})


@REGISTRY.register("verb", "compress")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("compress")(compress)

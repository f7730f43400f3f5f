"""``prunebench export SOURCE --to DIR --format F``: a model for transformers, onnxruntime or OpenVINO."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.registry import REGISTRY
from benchmark.store.folders import check_new
from benchmark.text.chosen import checked

if TYPE_CHECKING:
    from benchmark.store.records import Record


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CELL|DIR|MODEL", help="A cell (its id, or how that begins), a folder, or a model's name."
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="New folder.")],
    format_: Annotated[str, typer.Option("--format", metavar="hf|onnx|openvino", help="For which runtime.")] = "hf",
    runs: Annotated[
        list[Path] | None, typer.Option("--runs", help="Run folder that holds the cell; all of out/ when absent.")
    ] = None,
    normalizer: Annotated[
        str | None, typer.Option("--normalizer", help="For the card's error rates; the run's own when absent.")
    ] = None,
    utterances: Annotated[
        int | None,
        typer.Option("--utterances", min=1, help="Compare on the first so many of each split; all when absent."),
    ] = None,
) -> None:
    """Write a folder with model, processor, configs and a card; it takes its name once it was seen to agree with torch.

    hf is compared in a fresh process. onnx and openvino are compared on the evaluation splits of the cell's run (on
    seeded random features for a plain folder): a token or a logit that differs, and nothing is left.
    """
    if normalizer is not None:
        checked(normalizer)

    check_new(to)

    from benchmark.whisper.export import check_format

    check_format(format_)

    from benchmark.harness.describing import about
    from benchmark.harness.exporting import open_source, spoken
    from benchmark.whisper.export import export as write

    found = open_source(source, runs or ())
    record = found.record
    told = about(
        found, _command(source if record is None else record.cell, to, format_), _normalizer(record, normalizer)
    )
    material = None
    quantised = record is not None and record.data["plan"].get("quantised")  # refused below, whatever it says
    if record is not None and found.processor is not None and format_ != "hf" and not quantised:
        material = spoken(record, found.processor, utterances)
    parity = write(found.model, to, format_, found.processor, about=told, material=material)
    print(f"written: {to} ({found.name}; {'checked in a fresh process' if parity is None else 'compared with torch'})")
    if parity is not None:
        print(parity.sentence)
    print(f"how to run it: {to / 'README.md'}, or")
    print(_snippet(to, format_))


def _command(source: str, to: Path, format_: str) -> str:
    """Return the command for the card, which travels: folders by their names alone."""
    return shlex.join(["prunebench", "export", Path(source).name, "--to", to.name, "--format", format_])


def _snippet(to: Path, format_: str) -> str:
    if format_ == "hf":
        return f"  import benchmark; model = benchmark.load({str(to)!r})"
    return (
        "  from benchmark.whisper.runtimes import ExportedWhisper\n"
        f"  texts = ExportedWhisper.open({str(to)!r}).listen([waveform])  # mono float32 at 16 kHz"
    )


def _normalizer(record: Record | None, asked: str | None) -> str | None:
    """Return the normaliser for a record's scores; an attempt that lies outside its run needs it said."""
    if record is None:
        return None
    if asked is not None:
        return asked

    from benchmark.cli._flow import normalizer_of
    from benchmark.store.folders import MARKER

    run = record.path.parents[2]
    return normalizer_of([run]) if (run / MARKER).is_file() else None


@REGISTRY.register("verb", "export")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("export")(export)

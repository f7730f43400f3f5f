"""Options of ``prunebench recommend``."""

from __future__ import annotations

from typing import Annotated

import typer

MaxWer = Annotated[float | None, typer.Option("--max-wer", help="Word error rate, per cent.")]
MaxCer = Annotated[
    float | None, typer.Option("--max-cer", help="Character error rate, per cent, where the normaliser counts those.")
]
Margin = Annotated[
    float | None, typer.Option("--margin", help="Shown to be worse than dense by less than so many points.")
]
MaxMb = Annotated[float | None, typer.Option("--max-mb", help="File size, in 10^6 bytes.")]
MaxParams = Annotated[
    str | None, typer.Option("--max-params", metavar="N", help="Parameters as saved: 1500000 or 1.5M.")
]
MaxMacs = Annotated[
    str | None,
    typer.Option("--max-macs", metavar="N", help="Multiply-adds of a window up to its first token: 80M."),
]
MaxPeakMb = Annotated[float | None, typer.Option("--max-peak-mb", help="Peak memory on --device, in 10^6 bytes.")]
MinRtfx = Annotated[float | None, typer.Option("--min-rtfx", help="Seconds of audio a second, on --device.")]
MinSpeedup = Annotated[float | None, typer.Option("--min-speedup", help="Speed as a ratio to dense, on --device.")]
Device = Annotated[str | None, typer.Option("--device", help="Device of the timings; needed where there are several.")]
Prefer = Annotated[
    str | None,
    typer.Option(
        "--prefer",
        metavar="wer|size|speed|macs",
        help="What to choose by among those that fit.  \\[default: size where only the error is limited, else wer]",
    ),
]
Exportable = Annotated[bool, typer.Option("--exportable", help="Only what prunebench export writes: no int8 layers.")]
Normalizer = Annotated[
    str | None, typer.Option("--normalizer", help="Of the scores.  \\[default: that of the runs' specs]")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable.")]

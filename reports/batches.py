"""Report ``batches``: how fast the artefacts are at each batch size that was timed, against dense at the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api import Report
from benchmark.markdown import plain, table
from benchmark.registry import REGISTRY
from reports import _content as content
from reports._batches_data import WHOLE, Speeds, speeds
from reports._batches_picture import draw, left_out
from reports._files import write_all

if TYPE_CHECKING:
    import pandas as pd

_READING = (
    "**Speed-up**: how many times faster than dense, the model as it came, timed in turn with the artefact in one "
    "process at the same batch; so the dense that was trained here is near 1, not at 1. **RTFx**: seconds of audio per "
    "second. **Peak memory**: what decoding takes at most in a fresh process, beyond its libraries.",
    "Of several seeds, speeds are geometric means (they are ratios) and brackets the least and the most of the seeds; "
    "of one, brackets are the quartiles of its repeats. Peak memory is an arithmetic mean. Where the number of seeds "
    "differs between batches, it is given for each, in the order of the batches.",
    "The same recordings are decoded at every batch, each to its end: an artefact that says more takes longer.",
)


@REGISTRY.register("report", "batches")
class Batches(Report):
    """`batches.md`, `.csv`, `.png` and `.svg`: RTFx, speed-up and peak memory at several batch sizes of one device."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the files.

        Raises:
            NothingToReportError: fewer than two batch sizes are timed on the frame's device.
            StoreError: a timing record that cannot be used, or no scores in the frame.
        """
        found = speeds(frame)
        device = str(frame.attrs["device"])
        others = [one for one in frame.attrs.get("devices", ()) if one != device]
        said = "\n".join(markdown(found, device, others))
        return write_all(out, "batches", said, csv(found), lambda: draw(found, device))


def csv(found: Sequence[Speeds]) -> str:
    """Return one line an entry and batch, the mask block among them; plain ratios and bytes."""
    import pandas as pd

    return pd.concat([one.table for one in found]).to_csv(index=False, lineterminator="\n")


def markdown(found: Sequence[Speeds], device: str, others: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of ``batches.md``; ``others`` are the devices that were timed too."""
    yield "# Speed by batch size"
    yield ""
    yield f"Timed on {plain(device)}." + (f" Also timed: {plain(', '.join(others))} (--device)." if others else "")
    for one in found:
        yield from ("", f"## {plain(one.title)}", "", _table(one), "")
        yield from (f"- {line}" for line in _mask_block(one))
        if one.untimed:
            yield f"- {one.untimed} finished entries are not timed on this device and not shown."
    missing = left_out(found)
    yield from ("", *(f"- {line}" for line in _READING), *([f"- {missing}"] if missing else []), "")


def _table(one: Speeds) -> str:
    headings, *rows = ([plain(text) for text in row] for row in _texts(one))
    return table(headings, rows, words=range(3))


def _texts(one: Speeds) -> Iterator[list[str]]:
    """Yield headings and a row an entry: each quantity at all batches, side by side."""
    batches = sorted(one.shown["batch"].unique())
    what = {"speed-up": _speed, "RTFx": lambda row: content.number(row["rtfx"]).text, "peak memory": _memory}
    yield ["method", "block", "kept", "seeds", *(f"{name}, batch {batch}" for name in what for batch in batches)]
    entries: dict[str, dict[int, dict[str, Any]]] = {}
    for row in one.shown.to_dict("records"):
        entries.setdefault(row["entry"], {})[row["batch"]] = {str(name): value for name, value in row.items()}
    for rows in entries.values():
        first, seeds = next(iter(rows.values())), [str(rows[batch]["seeds"]) for batch in sorted(rows)]
        numbers = [fill(rows[at]) if at in rows else content.NOTHING for fill in what.values() for at in batches]
        kept = content.percent(first["keep"], 0).text
        yield [first["label"], first["block"], kept, ", ".join(seeds if len(set(seeds)) > 1 else seeds[:1]), *numbers]


def _speed(row: dict[str, Any]) -> str:
    ends = [row["speedup_from"], row["speedup_to"]]
    bounds = "" if any(map(content.absent, ends)) else f" [{ends[0]:.2f}, {ends[1]:.2f}]"
    return content.times(row["speedup"]).text + bounds


def _memory(row: dict[str, Any]) -> str:
    return content.si(row["peak_memory"], "B").text


def _mask_block(one: Speeds) -> Iterator[str]:
    """Yield what is to be said of the mask block as a whole: why it is not drawn, and what was measured."""
    masked = one.table[one.table["block"].eq("mask") & one.table["speedup"].notna()]
    if masked.empty:
        return
    whole = masked["params_stored"].astype("float64") >= WHOLE * masked["params_dense"].astype("float64")
    yield (
        f"The mask block ({masked['entry'].nunique()} entries) is neither listed nor drawn: a mask sets weights to "
        "zero in matrices that keep their shape, so its artefact computes what dense computes; only what a mask "
        "empties whole is taken away."
    )
    if whole.any():
        yield (
            f"Mask block, as large as dense ({100 * WHOLE:g} % or more as saved): {_range(masked[whole])}. What lies "
            "beside 1 comes from the machine and from hypotheses of another length."
        )
    if not whole.all():
        yield f"Mask block, smaller as saved: {_range(masked[~whole])}."


def _range(rows: pd.DataFrame) -> str:
    """Return geometric mean and range of speed-ups over entries, by batch."""
    import numpy as np

    texts = [
        f"batch {batch} {np.exp(np.log(speeds).mean()):.2f}× [{speeds.min():.2f}, {speeds.max():.2f}]"
        for batch, speeds in rows.groupby("batch")["speedup"]
    ]
    return f"{rows['entry'].nunique()} entries, speed-up (geometric mean, least and most) " + ", ".join(texts)

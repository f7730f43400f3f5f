"""Report ``normalizers``: the same transcripts under several normalisers, where a frame was scored by several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api import Report
from benchmark.markdown import plain
from benchmark.registry import REGISTRY
from reports import _transcripts as transcripts
from reports._files import write_all

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_READING = (
    "Every row is one set of stored transcripts; only the normaliser differs. Intervals are 95 %.",
    "**Kendall's tau** compares the order of all cells by error rate with that of the first normaliser. A **rank** "
    "counts a difference only where it is significant; a **place by rate alone** counts every one.",
)


@REGISTRY.register("report", "normalizers")
class Normalizers(Report):
    """`normalizers.md`, `.csv`, `.png` and `.svg`: error rates and ranks by normaliser; only with several of them."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the comparison; nothing where the frame was scored by one normaliser."""
        found = transcripts.same(frame)
        if not found:
            return []
        return write_all(out, "normalizers", "\n".join(markdown(found)), csv(found), lambda: draw(found))


def markdown(found: Sequence[transcripts.Same]) -> Iterator[str]:
    """Yield the lines of ``normalizers.md``."""

    yield "# The same transcripts, several normalisers"
    for one in found:
        yield from ("", f"## {plain(one.title)}", "", f"Error rate in % on {plain(one.split)}.", "")
        yield table(list(transcripts.texts(one, one.rates)))
        yield from ("", *(f"- {plain(moved)}" for moved in one.moved))
        yield from (f"- {plain(choice)}: {plain(signed)}" for choice, signed in one.made_with.items())
    choices = list(dict.fromkeys(choice for one in found for choice in one.choices))
    yield from ("", *(f"- {plain(line)}" for line in transcripts.told(choices)))
    yield from (*(f"- {line}" for line in _READING), "")


def table(rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Return rows, headings first, as a Markdown table; the first ``words`` columns are left-aligned."""
    import pandas as pd

    headings, *rest = ([plain(text) for text in row] for row in rows)
    align = ["left" if at < words else "right" for at in range(len(headings))]
    return str(pd.DataFrame(rest, columns=headings).to_markdown(index=False, colalign=align, disable_numparse=True))


def csv(found: Sequence[transcripts.Same]) -> str:
    """Return the error rates of all cells as fractions, a row a cell and normaliser."""
    import pandas as pd

    parts = [
        one.rates[["cell", choice, f"{choice}_lo", f"{choice}_hi"]]
        .set_axis(["cell", "error", "lo", "hi"], axis=1)
        .assign(board=one.title, split=one.split, normalizer=choice, signature=one.made_with[choice])
        for one in found
        for choice in one.choices
    ]
    return pd.concat(parts).to_csv(lineterminator="\n")


def draw(found: Sequence[transcripts.Same]) -> Figure:
    """Return the picture: a panel a board."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    widest = max(len(one.choices) for one in found)
    figure = Figure(figsize=(max(7.0, 1.6 * widest + 2.5), 4.6 * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, one in zip(figure.subplots(len(found), 1, squeeze=False)[:, 0], found, strict=True):
        transcripts.lines(one, axes)
        axes.set_title(one.title, loc="left", fontsize=11, fontweight="bold")
    return figure

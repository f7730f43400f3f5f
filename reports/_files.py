"""The four files of a comparison: a table for people, one for programs, a picture in both forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.figures import render
from benchmark.store.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_all(out: Path | str, stem: str, markdown: str, csv: str, draw: Callable[[], Figure]) -> list[Path]:
    """Write ``stem`` as ``.md``, ``.csv``, ``.png`` and ``.svg`` into the folder ``out`` and return the paths.

    Both pictures have one layout, which would else depend on what the figure was rendered as before.
    """
    figure = draw()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    return [
        write_atomically(out / f"{stem}.md", markdown),
        write_atomically(out / f"{stem}.csv", csv),
        *(write_atomically(out / f"{stem}.{kind}", render(figure, kind)) for kind in ("png", "svg")),
    ]

"""What all pictures share: inks, the common style, and how a figure becomes a file. matplotlib comes when one is drawn.

Reports and studies draw their own pictures, and know only the harness.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT = "#222222", "#8a8a8a"
"""Text and marks; axes and ticks."""
STYLE: Final[dict[Any, Any]] = {
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.labelsize": 10.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
"""Settings for ``matplotlib.rc_context``; a picture lays its own over them."""
_TALL = 15.0
"""Inches of height from which a picture has fewer dots an inch."""
_METADATA: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def render(figure: Figure, kind: str, dpi: float | None = None) -> bytes:
    """Return the figure as a file's content (``png``, ``svg`` or ``pdf``); the same figure gives the same bytes.

    ``dpi`` is 200 where nothing is said, or 150 for a tall picture.
    """
    import matplotlib as mpl
    from matplotlib.layout_engine import PlaceHolderLayoutEngine

    buffer = io.BytesIO()
    dpi = dpi or (200 if figure.get_figheight() < _TALL else 150)
    about = _METADATA.get(kind)
    with mpl.rc_context({"svg.hashsalt": "prunebench", "pdf.fonttype": 42}):
        if isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine | None):
            _print(figure, kind, buffer, dpi, about)
        else:
            figure.savefig(buffer, format=kind, dpi=dpi, metadata=about)
    return buffer.getvalue()


def _print(figure: Figure, kind: str, buffer: io.BytesIO, dpi: float, about: dict[str, None] | None) -> None:
    """Do what ``savefig`` does, but for drawing all once more before, which is for layouts that are not fixed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    canvases: dict[str, Any] = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG, "pdf": FigureCanvasPdf}
    canvas, before = figure.canvas, figure.dpi
    try:
        figure.dpi = dpi
        getattr(canvases[kind](figure), f"print_{kind}")(buffer, metadata=about)
    finally:
        figure.dpi = before
        figure.set_canvas(canvas)

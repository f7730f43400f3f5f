"""``benchmark.figures``: a figure as a file's content."""

from __future__ import annotations

import io
import subprocess
import sys

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchmark.figures import STYLE, render

STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def drawn(layout: str | None, height: float = 2.0) -> Figure:
    figure = Figure(figsize=(3, height), layout=layout)
    figure.subplots().plot([1, 2], [3, 4], label="a line")
    return figure


@pytest.mark.parametrize("layout", ["constrained", None])
@pytest.mark.parametrize("kind", STARTS)
def test_the_same_figure_gives_the_same_bytes_and_is_left_as_it_was(kind: str, layout: str | None) -> None:
    figure = drawn(layout)
    before = (figure.canvas, figure.dpi, dict(mpl.rcParams))
    content = render(figure, kind)
    assert content.startswith(STARTS[kind]) and content == render(drawn(layout), kind)
    assert (figure.canvas, figure.dpi, dict(mpl.rcParams)) == before
    assert b"Date" not in content if kind == "pdf" else b"<dc:date>" not in content


def test_a_fixed_layout_is_drawn_as_savefig_draws_it() -> None:
    figure, whole = drawn(None), io.BytesIO()
    figure.savefig(whole, format="png", dpi=90)
    ours, theirs = (Image.open(io.BytesIO(content)) for content in (render(figure, "png", 90), whole.getvalue()))
    assert ours.tobytes() == theirs.tobytes()


def test_a_tall_picture_has_fewer_dots() -> None:
    sizes = [Image.open(io.BytesIO(render(drawn(None, height), "png"))).size for height in (2.0, 16.0)]
    assert sizes == [(600, 400), (450, 2400)]


def test_a_kind_that_is_none_is_refused() -> None:
    for layout in ("constrained", None):
        with pytest.raises((KeyError, ValueError), match="nonsense"):
            render(drawn(layout), "nonsense")


def test_the_style_is_known_to_matplotlib_which_comes_only_with_a_picture() -> None:
    with mpl.rc_context(STYLE):
        assert mpl.rcParams["axes.spines.top"] is False
    code = "import sys, benchmark.figures; assert 'matplotlib' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

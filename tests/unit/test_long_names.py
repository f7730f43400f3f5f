"""Names that are too long for a picture keep both ends, whether there are spaces in them or not."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmark.figures import render
from benchmark.store.frame import frame
from reports import _content as content
from reports import density, errors
from reports._names import LONGEST, shortened
from tests.fake_runs import make

LONG = "sgl_adaptive(" + ",".join(f"option_{number}={number}$" for number in range(9)) + ",last_option=7)"


def texts(figure: Figure) -> list[str]:
    """Return the titles and names of rows."""
    found = [label.get_text() for ax in figure.axes for label in ax.get_yticklabels()]
    return found + [ax.get_title(loc="left") for ax in figure.axes]


def assert_told(said: list[str]) -> None:
    cut = [text for text in said if text.startswith("sgl_adaptive(opti")]
    assert cut and all("…" in text and len(text) <= 48 for text in cut)
    assert not any(text.strip() == "..." for text in said)


@pytest.mark.parametrize("longest", [12, LONGEST, 90])
def test_both_ends_stay(longest: int) -> None:
    name = "".join(chr(0x4E00 + at) for at in range(200))
    told = shortened(name, longest)
    head, tail = told.split("…")
    assert len(told) == longest and name.startswith(head) and name.endswith(tail) and len(head) > len(tail) > 0
    assert shortened(name[:longest], longest) == name[:longest]


def test_kinds_of_error_name_their_rows(tmp_path_factory: pytest.TempPathFactory) -> None:
    table = frame(make(tmp_path_factory.mktemp("long") / "run", keeps=(0.6,)), normalizer="identity")
    table.loc[table["method"].eq("sgl_adaptive"), "label"] = LONG
    found = [(board, errors.anatomy(board, errors.counts(table))) for board in content.boards(table)]
    figure = errors.draw(found)
    assert_told(texts(figure))
    assert any(text.endswith("last_option=7)") for text in texts(figure))
    assert render(figure, "png")


def test_heat_maps_name_their_entry() -> None:
    shares = pd.DataFrame({"stack": ["encoder"], "layer": [0], "part": ["fc1"], "nominal": [0.5], "stored": [1.0]})
    figure = density.draw([density.Panel("", "", LONG, "stored", 0.4, shares)])
    assert_told(texts(figure))
    assert any(text.endswith(", 40 % stored") for text in texts(figure))
    assert render(figure, "png")

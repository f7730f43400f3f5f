"""What reports do of large frames: a picture leaves out what it has no room for and says so; one is not drawn twice."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from benchmark.store.frame import frame
from reports import pareto
from reports.languages import MOST, _drawn
from tests.fake_runs import make


def errors(methods: int, keeps: tuple[float, ...]) -> pd.DataFrame:
    rows = [("reference", 1.0, "dense"), *(("stored", keep, f"m{n}") for keep, n in product(keeps, range(methods)))]
    return pd.DataFrame({"hi": 0.1}, index=pd.MultiIndex.from_tuples(rows, names=["block", "keep", "label"]))


def test_the_mildest_budgets_are_left_out_of_a_picture_that_is_too_long() -> None:
    drawn, said = _drawn(errors(30, (0.8, 0.6, 0.4, 0.2)))
    assert drawn.index.unique("keep").tolist() == [1.0, 0.4, 0.2] and len(drawn) == 61 and "60 more rows" in said
    whole = errors(19, (0.8, 0.6, 0.4, 0.2))
    assert _drawn(whole)[0].equals(whole) and _drawn(whole)[1] == ""
    drawn, said = _drawn(errors(2 * MOST, (0.8, 0.6)))
    assert len(drawn) == MOST and set(drawn.index.unique("keep")) == {1.0, 0.6} and f"{3 * MOST + 1} more" in said


def test_a_frame_has_its_picture_drawn_once_and_another_frame_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[pd.DataFrame] = []
    draw = pareto.draw
    monkeypatch.setattr(pareto, "draw", lambda table: drawn.append(table) or draw(table))  # type: ignore[func-returns-value]
    table = frame(make(tmp_path / "run", keeps=(0.6, 0.4)), normalizer="identity")
    first = pareto.still(table, "svg")
    assert pareto.still(table, "svg") == first and pareto.still(table, "png")[:4] == b"\x89PNG" and len(drawn) == 1
    other = table[table["method"] != "imp"]
    other.attrs = table.attrs
    assert pareto.still(other, "svg") != first and len(drawn) == 2
    assert pareto.still(table, "svg") == first

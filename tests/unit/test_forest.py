"""Table and forest plot of an ablation: what they say, and that nothing is lost on the way to the picture."""

from __future__ import annotations

import io
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from benchmark.figures import render
from studies._effect_table import HEADINGS, markdown, show
from studies._effects import Row
from studies._forest import draw, write

FAILED = "3 of 3 seeds: BudgetMissedError: reached 0.7 | too far"
NUMBERS: dict[str, Any] = {"seeds": 3, "rate": 0.03, "lowest": 0.02, "highest": 0.04, "nominal": 0.3, "stored": 0.9}
SIGNATURE = "wer|hindi:2|word|greedy,max=44|prunebench:0"


def row(what: str, factor: str, level: str, difference: float = float("nan"), half: float = 0.0, **more: Any) -> Row:
    made = {**NUMBERS, "macs": 2e8, "steps": 120.0, "normalizer": "hindi", "signature": SIGNATURE, **more}
    ends = {"difference": difference, "lo": difference - half, "hi": difference + half}
    return Row(
        what, "prunable_nominal@0.3", "prunable_nominal", 0.3, factor, level, f"{factor}: {level}", **made, **ends
    )


def table(design: str = "one_at_a_time", **changes: Any) -> pd.DataFrame:
    rows = [
        row("full", "", "full method"),
        row("arm", "penalty", "off", 0.012, 0.004, p_holm=0.001, worse=1.0),
        row("arm", "penalty", "L1 only", -0.002, 0.006, p_holm=0.6, worse=0.3),
        row("arm", "groups", "heads", status="failed", reason=FAILED, rate=float("nan")),
        row("arm", "normaliser", "identity", 0.01, 0.002, p_holm=0.01, normalizer="identity", signature="other"),
    ]
    if design == "factorial":
        rows.append(row("main", "penalty", "off", 0.011, 0.003, p_holm=0.002, worse=1.0))
    made = pd.DataFrame([{**asdict(one), **changes} for one in rows])
    made.attrs = {
        "name": "small",
        "method": "sgl_adaptive",
        "design": design,
        "model": "nano-hi",
        "corpus": "synthetic-hi",
        "split": "test",
        "utterances": 300,
        "seeds": [0, 1, 2],
        "steps": 120,
        "resamples": 10_000,
        "full": {"prunable_nominal@0.3": {"penalty": "both", "groups": "columns", "normaliser": "hindi"}},
    }
    return made


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts] + [text.get_text() for text in figure.texts]


def markers(figure: Figure) -> dict[float, Any]:
    """Return the line of each arm's marker by its place on the x axis."""
    lines = [line for ax in figure.axes for line in ax.lines if line.get_marker() in ("o", "D")]
    return {round(float(np.ravel(line.get_xdata())[0]), 6): line for line in lines}


def test_the_table_says_all_of_it() -> None:
    said = re.sub(" +", " ", markdown(table()))  # without what makes the columns straight
    lines = said.splitlines()
    assert "| **full method** | **3.00 [2.00, 4.00]** | – " in said
    assert (
        "| penalty | off | 3.00 [2.00, 4.00] | +1.20 [+0.80, +1.60] | 0.001 | 100 % | 30.0 | 90.0 | 200 | 120 |"
        in lines
    )
    assert (
        "| penalty | L1 only | 3.00 [2.00, 4.00] | −0.20 [−0.80, +0.40] | 0.600 | 30 % | 30.0 | 90.0 | 200 | 120 |"
        in lines
    )
    assert f"| groups | heads | failed: {FAILED.replace('|', chr(92) + '|')} |" in said
    for part in ("300 utterances", "seeds 0, 1, 2", "120 training steps", SIGNATURE, "10,000 resamples", "Holm"):
        assert part in said
    assert "Scored otherwise: other." in said
    assert "An arm without numbers says why" in said
    assert "main effect" not in said
    assert {line.replace("\\|", "").count("|") for line in lines if line.startswith("|")} == {len(HEADINGS) + 1}


def test_what_is_not_there_is_not_explained() -> None:
    plain = table().query("status == 'ok' and level != 'identity'")
    said = markdown(plain)
    assert "Scored otherwise" not in said
    assert "without numbers" not in said
    assert "A main effect is" in markdown(table("factorial"))


def test_one_seed_says_nothing_of_others() -> None:
    one = table()
    one.attrs |= {"seeds": [4]}
    assert "over utterances only, which says nothing of other seeds (10,000 resamples)" in markdown(one)
    assert "over utterances and seeds (10,000 resamples; so few seeds" in markdown(table())


def test_the_terminal_shows_every_arm() -> None:
    screen = Console(file=io.StringIO(), width=200)
    show(table("factorial"), screen)
    said = screen.file.getvalue()  # type: ignore[attr-defined]
    for level in ("full method", "off", "L1 only", "heads", "identity", "penalty (main effect)"):
        assert level in said
    assert "+1.20 [+0.80, +1.60]" in said


def test_the_figure_has_every_arm() -> None:
    figure = draw(table())
    said = texts(figure)
    assert {"off", "L1 only", "heads", "identity", "penalty  (full: both)", "groups  (full: columns)"} <= set(said)
    assert "+1.20 [+0.80, +1.60]" in said
    assert "×" in said
    assert any(text.startswith("failed, 3 of 3 seeds: reached 0.7") for text in said)
    assert any("300 utterances" in text and SIGNATURE in text for text in said)
    assert any("full method 3.00 %" in text for text in said)
    found = markers(figure)
    assert set(found) == {1.2, -0.2, 1.0}
    assert found[1.2].get_markerfacecolor() != "white"  # significant
    assert found[-0.2].get_markerfacecolor() == "white"
    assert (found[1.0].get_marker(), found[1.2].get_marker()) == ("D", "o")  # the scores differ, not the model
    bars = [line.get_xdata() for ax in figure.axes for line in ax.lines if len(np.ravel(line.get_xdata())) == 2]
    assert any(np.allclose(bar, [0.8, 1.6]) for bar in bars)


def test_main_effects_come_first_in_a_factorial_figure() -> None:
    said = texts(draw(table("factorial")))
    assert said.index("main effects") < said.index("combinations")
    assert 1.1 in markers(draw(table("factorial")))


@pytest.mark.parametrize(("far", "scale"), [(0.9, "symlog"), (0.15, "linear")])
def test_a_far_arm_does_not_press_the_others_together(far: float, scale: str) -> None:
    made = table()
    made.loc[1, ["difference", "lo", "hi"]] = [far, far - 0.01, far + 0.01]
    ax = draw(made).axes[0]
    assert ax.get_xscale() == scale
    low, high = ax.get_xlim()
    assert low < -0.8
    assert high > 100 * (far + 0.01)
    assert ("logarithmic" in ax.get_xlabel()) == (scale == "symlog")


def test_without_a_single_number_there_is_still_a_figure() -> None:
    none = {"status": "failed", "reason": FAILED}
    nan = dict.fromkeys(("rate", "difference", "lo", "hi", "p_holm", "worse", "nominal", "stored"), float("nan"))
    figure = draw(table(**none, **nan))
    assert texts(figure).count("×") == 4
    assert any("full method failed" in text for text in texts(figure))
    assert render(figure, "png")


def test_nothing_is_said_by_colour() -> None:
    picture = np.asarray(Image.open(io.BytesIO(render(draw(table()), "png"))).convert("RGB")).astype(int)
    assert (picture.max(axis=2) - picture.min(axis=2)).max() <= 8
    inks = {line.get_color() for ax in draw(table()).axes for line in ax.lines if line.get_marker() in ("o", "D")}
    assert all(max(to_rgb(ink)) < 0.2 for ink in inks)


def test_names_and_numbers_stay_inside_the_picture() -> None:
    made = table()
    made.loc[1, ["difference", "lo", "hi"]] = [2.3, -1.1, 4.1]  # as wide as it gets
    figure = draw(made)
    figure.canvas.draw()
    edge = figure.bbox
    for ax in figure.axes:
        for text in ax.texts:
            box = text.get_window_extent()
            assert edge.x0 <= box.x0, text
            assert box.x1 <= edge.x1, text
        names = [text.get_window_extent() for text in ax.texts if text.get_position()[0] < 0]
        titles = [text.get_window_extent() for text in ax.texts if "full method" in text.get_text()]
        assert all(box.x1 < ax.bbox.x0 for box in names if box.y1 < min(title.y0 for title in titles))


def test_four_files_are_written_and_written_alike(tmp_path: Path) -> None:
    first = write(table(), tmp_path)
    assert [path.name for path in first] == ["small.md", "small.csv", "small.png", "small.svg"]
    before = [path.read_bytes() for path in first]
    assert [path.read_bytes() for path in write(table(), tmp_path)] == before
    again = pd.read_csv(first[1])
    assert again["difference"].tolist()[1:3] == [0.012, -0.002]
    assert again["reason"][3] == FAILED

"""The report of a study: what it says in words, of the test above all, and that its files are all there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import yaml
from matplotlib.image import imread
from optuna.trial import TrialState

from benchmark.specs import Leaderboard
from studies._canvas import View
from studies._report import cost, summary, write_study
from tests.markdown import HOSTILE, tables, tokens
from tests.trials import LR, add, make_spec, make_study, several, usual


def told(name: str, mean: float, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "cells": [name], "failure": "", "rates": [mean - 0.01, mean + 0.01], "mean": mean,
        "metric": "wer", "signature": "wer|hindi:2|word", "utterances": 300, **more,
    }  # fmt: skip


def make_final(best: str | None, *entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"split": "test", "seeds": [0, 1], "resamples": 1000, "steps": 120, "entries": list(entries), "best": best}


def gain(difference: float, lo: float, hi: float) -> dict[str, float]:
    return {"difference": difference, "lo": lo, "hi": hi, "p": 0.01}


def test_report_of_a_study_where_everything_happened(tmp_path: Path) -> None:
    study, spec = usual()
    best = View.of(study, spec).best[0].number
    final = make_final(
        f"trial {best}",
        told("dense", 0.01, difference=gain(-0.05, -0.06, -0.04)),
        told("default", 0.06),
        told(f"trial {best}", 0.05, difference=gain(-0.01, -0.02, -0.005)),
    )
    before = dict(mpl.rcParams)
    written = write_study(study, spec, tmp_path / "studies" / "a-study", final=final)
    assert dict(mpl.rcParams) == before
    names = {path.name for path in written}
    stems = ("history", "looks", "importance", "slice", "contour")
    assert names == {"study.md", "trials.csv", *(f"{stem}.{form}" for stem in stems for form in ("png", "svg"))}
    assert all(path.is_file() for path in written)
    for path in written:
        if path.suffix == ".png":
            assert imread(path)[..., :3].std() > 0.02, f"{path.name} is empty"
    text = written[0].read_text()
    assert "synthetic-hi (synthetic speech)" in text
    assert "prunable_stored@0.5" in text and "dev, its first 200 utterances" in text
    assert "TPESampler" in text and "MedianPruner; looks every 20 steps" in text
    assert f"trial {best} has 5.00 % against 6.00 %: −1.00 [−2.00, −0.50] points, fewer errors" in text
    assert re.search(r"\| infeasible +\| 1 +\| missed \\\| by far", text)
    assert "Not drawn" not in text
    assert set(re.findall(r"\]\((\S+\.png)\)", text)) <= names


def test_snippet_is_the_grid_of_a_leaderboard(tmp_path: Path) -> None:
    study, spec = usual()
    best = View.of(study, spec).best[0]
    write_study(study, spec, tmp_path)
    snippet = yaml.safe_load(re.search(r"```yaml\n(.*?)```", (tmp_path / "study.md").read_text(), re.DOTALL).group(1))  # type: ignore[union-attr]
    board = Leaderboard.parse(snippet, "the report")
    (row,) = board.grid
    assert row.methods[0].options == {"alpha": best.params["alpha"], "rho": best.params["rho"]}
    assert (row.budget, row.keep, board.training.learning_rate) == ("prunable_stored", [0.5], best.params[LR])


def test_no_message_leaves_its_place(tmp_path: Path) -> None:
    study, spec = usual()
    add(study, state=TrialState.FAIL, attrs={"message": HOSTILE})
    one = told("trial 1", 0.05, difference=gain(0, -0.01, 0.01))
    failed = told("trial 3", 0.05) | {"failure": HOSTILE}
    write_study(study, spec, tmp_path, final=make_final("trial 3", told("default", 0.06), failed))
    assert not {token.type for token in tokens((tmp_path / "study.md").read_text())} & {"html_inline", "html_block"}
    final = make_final("trial 1", told("default", 0.06), one, failed)
    write_study(study, spec, tmp_path, final=final)
    found = tokens((tmp_path / "study.md").read_text())
    assert sum(token.type == "text" and token.content.startswith("a|b`c``") for token in found) == 2
    assert not {token.type for token in found} & {"html_inline", "html_block"}
    aims = [str(token.attrs.get("href", token.attrs.get("src", ""))) for token in found]
    assert any(aim.endswith(".png") for aim in aims) and not any(aim.startswith("http") for aim in aims)
    assert all(len(set(cells)) == 1 for cells in tables((tmp_path / "study.md").read_text()))


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((-0.02, -0.001), "fewer errors than the default"),
        ((0.001, 0.02), "more errors than the default"),
        ((-0.01, 0.02), "no difference to the default that could be told from chance"),
    ],
)
def test_summary_says_the_sign_of_the_test(interval: tuple[float, float], said: str) -> None:
    study, spec = usual()
    one = told("trial 3", 0.05, difference=gain(0.5 * sum(interval), *interval))
    text = summary(study, spec, make_final("trial 3", told("default", 0.06), one))
    assert text.splitlines()[0].startswith("study a-study: 15 of 12 trials (12 complete, 1 infeasible, 1 pruned")
    assert text.splitlines()[-1].endswith(f"{said}.")


def test_summary_of_a_failed_test_and_of_a_default_that_is_best() -> None:
    study, spec = usual()
    failed = told("trial 3", 0.05) | {"failure": "seed 1: out of memory"}
    text = summary(study, spec, make_final("trial 3", told("default", 0.06), failed))
    assert "cannot be compared with the default: trial 3 failed (seed 1: out of memory)" in text
    same = told("trial 0", 0.06, cells=["default"], difference=gain(0, 0, 0))
    assert "trial 0 is the default" in summary(study, spec, make_final("trial 0", told("default", 0.06), same))


def test_summary_of_a_front_counts_verdicts() -> None:
    study, spec = several()
    entries = [told("default", 0.06)]
    entries += [told(f"trial {n}", 0.05, difference=gain(0, lo, lo + 0.02)) for n, lo in ((1, -0.05), (2, 0.01))]
    text = summary(study, spec, make_final(None, *entries))
    assert "of 2 trials of the front, by their errors alone: 1 fewer errors than the default, 1 more errors" in text


def test_cost_says_what_sharing_saved() -> None:
    study = make_study(make_spec())
    add(study, 0.3)
    add(study, 0.3, attrs={"steps_trained": 0, "reused": True})
    assert "made: 60 of the 240" in cost(study.trials) and "75 % saved" in cost(study.trials)
    add(study, 0.3, attrs={"steps_trained": 0, "steps_program": 0})
    assert "made: 60 of the 240" in cost(study.trials)
    assert cost([]) == "No trial has an account of its training steps."

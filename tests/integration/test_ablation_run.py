"""A small ablation for real, on the embedded model: carried out once, compared, written, and nothing done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.reading import parse_as
from benchmark.store.records import latest, records
from studies._ablate import ablate, plan, planned
from studies._ablation import AblationSpec
from studies._effects import effects

DATA: dict[str, Any] = {
    "name": "little",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 16}},
    "method": "sgl_adaptive",
    "points": [
        {"budget": "prunable_nominal", "keep": 0.6},
        {"budget": "prunable_stored", "keep": 0.5},
    ],
    "factors": [
        {"name": "split", "full": "half", "levels": {"all before": {"split": 1.0}}},
        # heads are less than half of the model: this arm must fail, and stay
        {"name": "groups", "full": "all", "only": ["prunable_stored"], "levels": {"heads": {"groups": "head"}}},
        {"name": "batch", "full": "4", "only": ["prunable_nominal"], "levels": {"small": {"training.batch": 2}}},
        {"name": "normaliser", "full": "hindi", "levels": {"none": {"normalizer": "identity"}}},
    ],
    "seeds": [0, 1],
    "training": {"steps": 4, "batch": 4, "utterances": 32},
    "normalizer": "hindi",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_an_ablation_from_spec_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, out = parse_as(AblationSpec, DATA, "a test"), tmp_path / "run"
    plan(spec, out)
    said = capsys.readouterr().out
    assert "little: 8 arms (one_at_a_time), 12 cells in" in said
    assert "0 done, 12 missing, 0 failed" in said
    assert not out.exists()

    assert ablate(spec, out, workers=0, quiet=True) == 1
    said = capsys.readouterr().out
    assert "2 cell(s) failed" in said
    assert "BudgetMissedError" in said
    cells = {path.cell.id for paths in planned(spec).cells for path in paths}
    assert {record.cell for record in latest(out)} == cells
    assert not list(out.glob("runs/*/*/model.safetensors"))

    table = effects(planned(spec), out)
    assert table["status"].tolist() == ["ok", "ok", "ok", "ok", "ok", "ok", "failed", "ok"]
    done = table[(table["status"] == "ok") & (table["what"] == "arm")]
    assert done[["difference", "lo", "hi", "p", "p_holm"]].notna().all(axis=None)
    assert (done["lo"] <= done["difference"]).all()
    assert (done["difference"] <= done["hi"]).all()
    assert table["nominal"].iloc[:3].tolist() == pytest.approx([0.6] * 3, abs=0.005)
    assert table["steps"].dropna().eq(4).all()
    written = pd.read_csv(out / "little.csv")
    assert written["difference"].tolist() == pytest.approx(table["difference"].tolist(), nan_ok=True)
    assert all((out / f"little.{kind}").stat().st_size > 1000 for kind in ("md", "png", "svg"))
    assert "BudgetMissedError" in (out / "little.md").read_text()

    before = {record.attempt for record in records(out) if record.ok}
    assert ablate(spec, out, workers=0, quiet=True) == 1  # only what failed is tried again
    assert {record.attempt for record in records(out) if record.ok} == before
    capsys.readouterr()
    plan(spec, out)
    assert "10 done, 0 missing, 2 failed" in capsys.readouterr().out

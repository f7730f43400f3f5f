"""Densities by matrix add up to what a record counts, and heat maps show them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from benchmark.errors import NothingToReportError
from benchmark.registry import REGISTRY
from benchmark.store.frame import frame
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from reports._density import densities
from reports.density import Density
from tests.fake_runs import make


@pytest.fixture(scope="module")
def structure() -> Structure:
    return Structure.of(REGISTRY.get("model", "nano-hi").load()[0])


def row_of(run: Path, plan: Plan | None, model: str = "nano-hi") -> dict[str, str]:
    folder = run / "runs" / "c" / "a"
    folder.mkdir(parents=True, exist_ok=True)
    if plan is not None:
        plan.save(folder / "plan.safetensors")
    return {"run": str(run), "cell": "c", "attempt": "a", "model": model}


def test_every_matrix_says_what_is_left_of_it(tmp_path: Path, structure: Structure) -> None:
    first, second, *_ = structure.matrices
    heads = next(group for group in structure.groups if group.kind == "head" and group.stack == "decoder")
    mask = torch.rand(first.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    plan = Plan({heads.key: torch.tensor([0])}, {first.name: mask}, {}, {second.name: 4})
    table = densities(row_of(tmp_path / "run", plan))
    assert table is not None and len(table) == len(structure.matrices)
    sizes = [matrix.size for matrix in structure.matrices]
    assert (table["nominal"] * sizes).sum() == pytest.approx(plan.nonzero(structure))
    assert (table["stored"] * sizes).sum() == pytest.approx(plan.stored(structure))
    assert table.loc[0, "nominal"] == pytest.approx(float(mask.float().mean())) and table.loc[0, "stored"] == 1
    assert table.loc[1, "stored"] == pytest.approx(4 * sum(second.shape) / second.size)
    gone = table[(table["stack"] == "decoder") & (table["stored"] < 1)]
    assert gone["stored"].nunique() == 1 and gone["stored"].iloc[0] == pytest.approx(1 / heads.count)
    assert set(table["part"]) >= {"self q", "cross out", "fc1", "fc2"}


def test_where_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert densities(row_of(tmp_path / "none", None)) is None
    plan = Plan()
    assert densities(row_of(tmp_path / "far", plan, "fake-nano")) is None
    far = SimpleNamespace(embedded=False)
    monkeypatch.setattr(REGISTRY, "lookup", lambda kind, name: far)
    monkeypatch.setattr(REGISTRY, "get", lambda *a, **k: pytest.fail("a report fetched a checkpoint"))
    assert densities(row_of(tmp_path / "hub", plan, "whisper")) is None


def test_a_table_has_one_row_a_matrix(tmp_path: Path) -> None:
    table = densities(row_of(tmp_path / "run", Plan()))
    assert isinstance(table, pd.DataFrame) and table[["nominal", "stored"]].eq(1).all(axis=None)


def test_heat_maps_at_the_tightest_budget(tmp_path: Path, structure: Structure) -> None:
    run = make(tmp_path / "run", keeps=(0.8, 0.6))
    table = frame(run, normalizer="identity").assign(model="nano-hi")
    with pytest.raises(NothingToReportError, match="has a plan here"):
        Density().write(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for row in table[table["keep"].eq(0.6)].itertuples():
        first = structure.matrices[0]  # q of the encoder's first layer
        mask = torch.rand(first.shape, generator=torch.Generator().manual_seed(1)) < 0.5
        Plan({}, {first.name: mask}).save(run / "runs" / row.cell / row.attempt / "plan.safetensors")
    paths = {path.suffix: path for path in Density().write(table, tmp_path / "out")}
    told = pd.read_csv(paths[".csv"])
    assert set(told["entry"].str.split(", ").str[1]) == {"60 % mask", "60 % stored"}
    q = told[(told["stack"] == "encoder") & (told["layer"] == 0) & (told["part"] == "self q")]
    assert q["nominal"].unique() == pytest.approx([float(mask.float().mean())]) and q["stored"].eq(1).all()
    assert paths[".png"].read_bytes().startswith(b"\x89PNG") and "## imp, 60 % mask" in paths[".md"].read_text()

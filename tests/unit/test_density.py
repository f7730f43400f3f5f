"""Densities by matrix add up to what a record counts, and heat maps show them, where a model's shapes are known."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from benchmark.errors import NothingToReportError
from benchmark.registry import REGISTRY
from benchmark.store.entries import entries
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from benchmark.store.records import Record
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from reports import _density
from reports._density import Unknown, densities
from reports._page_details import details
from reports.density import MOST_PANELS, Density, Panel, drawn
from tests.fake_runs import commit, make, ok_data, spec
from tests.tiny import tiny_whisper

NANO = {"name": "nano-hi", "revision": "r", "options": {}}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def structure() -> Structure:
    return Structure.of(REGISTRY.get("model", "nano-hi").load()[0])


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse the network, and the reading of weights."""
    from transformers import PreTrainedModel

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked, or weights were read")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", refuse)
    _density._structure.cache_clear()
    yield
    _density._structure.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of tiny shapes without its weights."""
    path = tmp_path / "tiny"
    tiny_whisper(d=16, heads=2, ffn=24, layers=(1, 2)).config.save_pretrained(path)
    return path


def cell(
    run: Path,
    plan: Plan | None,
    model: dict[str, Any],
    prunable: int | None,
    budget: tuple[str, float] = ("prunable_nominal", 0.5),
) -> Record:
    """Write a finished cell with that plan."""
    kind, keep = budget
    data = ok_data(spec("imp" if kind == "prunable_nominal" else "l1_group", kind, keep, model=model), nominal=keep)
    data["counts"]["prunable"] = prunable
    record = commit(open_run(run, create=True), data, 0.1, {"test": 6})
    if plan is not None:
        plan.save(record.path / "plan.safetensors")
    return record


def row_of(record: Record) -> dict[str, str]:
    return {"run": str(record.path.parents[2]), "cell": record.cell, "attempt": record.attempt}


def test_every_matrix_says_what_is_left_of_it(tmp_path: Path, structure: Structure) -> None:
    first, second, *_ = structure.matrices
    heads = next(group for group in structure.groups if group.kind == "head" and group.stack == "decoder")
    mask = torch.rand(first.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    plan = Plan({heads.key: torch.tensor([0])}, {first.name: mask}, {}, {second.name: 4})
    table = densities(row_of(cell(tmp_path / "run", plan, NANO, structure.prunable)))
    assert isinstance(table, pd.DataFrame) and len(table) == len(structure.matrices)
    sizes = [matrix.size for matrix in structure.matrices]
    assert (table["nominal"] * sizes).sum() == pytest.approx(plan.nonzero(structure))
    assert (table["stored"] * sizes).sum() == pytest.approx(plan.stored(structure))
    assert table.loc[0, "nominal"] == pytest.approx(float(mask.float().mean())) and table.loc[0, "stored"] == 1
    assert table.loc[1, "stored"] == pytest.approx(4 * sum(second.shape) / second.size)
    gone = table[(table["stack"] == "decoder") & (table["stored"] < 1)]
    assert gone["stored"].nunique() == 1 and gone["stored"].iloc[0] == pytest.approx(1 / heads.count)
    assert set(table["part"]) >= {"self q", "cross out", "fc1", "fc2"}


# --- whose shapes are known -------------------------------------------------------------------------------------------


def test_a_configuration_says_what_weights_would_say(structure: Structure) -> None:
    before = torch.random.get_rng_state()
    for shape in ({}, {"d": 16, "heads": 2, "ffn": 24, "layers": (1, 3), "vocab": 57}):
        model = tiny_whisper(**shape)
        assert Structure.from_config(model.config) == Structure.of(model)
    assert REGISTRY.get("model", "nano-hi").structure() == structure
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_folder_is_known_by_its_configuration(tmp_path: Path, folder: Path) -> None:
    tiny = Structure.of(tiny_whisper(d=16, heads=2, ffn=24, layers=(1, 2)))
    mask = torch.zeros(tiny.matrices[0].shape, dtype=torch.bool)
    mask[0, :5] = True
    model = {"name": "whisper", "revision": "r", "options": {"source": str(folder)}}
    table = densities(row_of(cell(tmp_path / "run", Plan({}, {tiny.matrices[0].name: mask}), model, tiny.prunable)))
    assert isinstance(table, pd.DataFrame) and len(table) == len(tiny.matrices) == 6 + 2 * 10
    assert table.loc[0, "nominal"] == pytest.approx(5 / mask.numel()) and table.loc[1:, "nominal"].eq(1).all()


def test_a_name_on_the_hub_is_known_where_its_cache_holds_the_commit(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    model = REGISTRY.get("model", "whisper", source="some/one", revision=COMMIT)
    assert model.structure() is None
    snapshot = tmp_path / "cache" / "models--some--one" / "snapshots" / COMMIT
    shutil.copytree(folder, snapshot)
    assert model.structure() == Structure.of(tiny_whisper(d=16, heads=2, ffn=24, layers=(1, 2)))


def no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def no_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()


def change(**changes: Any) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return changed


def torn(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"model_type": "whisper", \xff')


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_folder, "is no folder here"),
        (no_configuration, "the configuration of the model whisper (source="),
        (torn, "cannot be used"),
        (change(model_type="bert"), "it is of type 'bert', and no Whisper"),
        (change(d_model=15), "cannot be used: embed_dim must be divisible by num_heads"),
        (change(encoder_layers=0), "cannot be used"),
        (change(encoder_ffn_dim=32), "has other matrices here than the one that was pruned"),
        (change(encoder_attention_heads=1), "has other matrices here than the one that was pruned"),
    ],
)
def test_where_the_shapes_are_not_known(tmp_path: Path, folder: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(folder)
    tiny = Structure.of(tiny_whisper(d=16, heads=2, ffn=24, layers=(1, 2)))
    plan = Plan({tiny.groups[0].key: torch.tensor([1])})  # the second head, which a model of one head has not
    model = {"name": "whisper", "revision": "r", "options": {"source": str(folder)}}
    found = densities(row_of(cell(tmp_path / "run", plan, model, tiny.prunable)))
    assert isinstance(found, Unknown) and said in found.why and "\n" not in found.why


def test_where_no_plan_or_no_plug_in_is_here(tmp_path: Path) -> None:
    found = densities(row_of(cell(tmp_path / "none", None, NANO, 1)))
    assert isinstance(found, Unknown) and found.why.startswith("no plan is kept")
    strange = {"name": "from-elsewhere", "revision": "r", "options": {}}
    found = densities(row_of(cell(tmp_path / "far", Plan(), strange, 1)))
    assert isinstance(found, Unknown) and "unknown model 'from-elsewhere'" in found.why


# --- the report -------------------------------------------------------------------------------------------------------


def test_every_budget_is_told_and_the_tightest_is_drawn(tmp_path: Path, structure: Structure, folder: Path) -> None:
    run, first = tmp_path / "run", structure.matrices[0]  # q of the encoder's first layer
    masks = {keep: torch.rand(first.shape, generator=torch.Generator().manual_seed(1)) < keep for keep in (0.7, 0.3)}
    for keep, mask in masks.items():
        cell(run, Plan({}, {first.name: mask}), NANO, structure.prunable, ("prunable_nominal", keep))
        heads = Plan({structure.groups[0].key: torch.tensor([0])})
        cell(run, heads, NANO, structure.prunable, ("prunable_stored", keep))
    cell(run, None, NANO, structure.prunable, ("prunable_nominal", 0.1))
    table = frame(run, normalizer="identity")
    paths = {path.suffix: path for path in Density().write(table, tmp_path / "out")}
    told = pd.read_csv(paths[".csv"])
    assert set(zip(told["block"], told["keep"], strict=True)) == {
        (block, keep) for block in ("mask", "stored") for keep in masks
    }
    q = told[(told["stack"] == "encoder") & (told["layer"] == 0) & (told["part"] == "self q")]
    for keep, mask in masks.items():
        one = q[q["block"].eq("mask") & q["keep"].eq(keep)].iloc[0]
        assert one["nominal"] == pytest.approx(float(mask.float().mean())) and one["stored"] == 1
    assert set(told["entry"]) <= set(table["entry"])
    assert paths[".png"].read_bytes().startswith(b"\x89PNG")
    text = paths[".md"].read_text()
    assert text.count("\n### imp, ") == text.count("\n### l1_group, ") == 2
    assert "2 of these 4 entries" in text and "1 of 5 entries are left out: no plan is kept" in text
    svg = paths[".svg"].read_text()
    assert "30 % mask" in svg and "30 % stored" in svg and "70 % mask" not in svg


def test_nothing_to_report_says_why(tmp_path: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    model = {"name": "whisper", "revision": "r", "options": {"source": str(folder)}}
    cell(tmp_path / "run", Plan(), model, 1)
    table = frame(tmp_path / "run", normalizer="identity")
    with pytest.raises(NothingToReportError, match=r"1 of 1 entries are left out: .* is no folder here"):
        Density().write(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (told,) = details(entries(table), table)["entries"].values()
    assert "density" not in told and "is no folder here" in told["no_density"]


def test_without_any_plan(tmp_path: Path) -> None:
    table = frame(make(tmp_path / "run", keeps=(0.6,)), normalizer="identity")
    with pytest.raises(NothingToReportError, match=r"has a plan here to read: 7 of 7 entries .* no plan is kept"):
        Density().write(table, tmp_path / "out")


def panel(layers: int, keep: float, block: str = "mask") -> Panel:
    table = pd.DataFrame({"stack": "encoder", "layer": range(layers), "part": "fc1", "nominal": 0.5, "stored": 1.0})
    return Panel("board", "e", "imp", block, keep, table)


def test_the_picture_stays_of_a_size_to_look_at() -> None:
    found = [panel(6, keep, block) for block in ("mask", "stored") for keep in (0.6, 0.4) for _ in range(30)]
    shown = drawn(found)
    assert len(shown) == MOST_PANELS and {one.keep for one in shown} == {0.4}
    assert 4 <= len(drawn([panel(200, 0.4) for _ in range(30)])) <= 8

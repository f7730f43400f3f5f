"""``whisper``: any checkpoint, from a folder or by its name and commit on the hub; nothing here needs a network."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import benchmark
from benchmark.errors import DataError, SpecError, StoreError
from benchmark.harness.tree import grow
from benchmark.registry import REGISTRY
from benchmark.reproduce import of_cell
from benchmark.specs import Leaderboard
from benchmark.store.folders import keep_spec
from benchmark.store.records import Record, latest
from benchmark.whisper.models.nano import HERE

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / "nano_hi", tmp_path / "model"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def model(**options: Any) -> Any:
    return REGISTRY.get("model", "whisper", **options)


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_is_loaded_as_it_is(folder: Path) -> None:
    loaded, processor = model(source=str(folder)).load()
    nano, _ = REGISTRY.get("model", "nano-hi").load()
    assert not loaded.training and {p.dtype for p in loaded.parameters()} == {torch.float32}
    ours, theirs = loaded.state_dict(), nano.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert processor.tokenizer.decode(processor.tokenizer("नमक").input_ids, skip_special_tokens=True) == "नमक"


def test_half_precision_on_disk_is_single_in_memory(folder: Path) -> None:
    weights = folder / "model.safetensors"
    save_file({key: value.half() for key, value in load_file(weights).items()}, weights, {"format": "pt"})
    loaded, _ = model(source=str(folder)).load()
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_the_revision_of_a_folder_follows_its_weights_and_not_its_place_or_card(folder: Path) -> None:
    before = model(source=str(folder)).revision
    assert len(before) == 16
    (folder / "README.md").write_text("changed")
    moved = folder.rename(folder.with_name("elsewhere"))
    assert model(source=str(moved)).revision == before
    weights = load_file(moved / "model.safetensors")
    weights["model.encoder.conv1.bias"][0] += 1
    save_file(weights, moved / "model.safetensors", {"format": "pt"})
    assert model(source=str(moved)).revision != before


def test_all_files_of_weights_count(folder: Path) -> None:
    before = model(source=str(folder)).revision
    shutil.copy(folder / "model.safetensors", folder / "model-00002-of-00002.safetensors")
    assert model(source=str(folder)).revision != before


@pytest.mark.parametrize("commit", [None, "main", "", COMMIT[:-1], COMMIT.replace("a", "g"), COMMIT.upper()])
def test_a_name_on_the_hub_needs_its_commit(commit: str | None) -> None:
    with pytest.raises(SpecError) as error:
        _ = model(source="openai/whisper-tiny", revision=commit).revision
    said = one_line(error)
    assert "'openai/whisper-tiny' is no folder here" in said and repr(commit) in said


def test_a_name_with_a_commit_can_be_planned_without_the_hub() -> None:
    asked = {
        "model": {"name": "whisper", "options": {"source": "openai/whisper-small", "revision": COMMIT}},
        "grid": [{"methods": ["dense"]}],
    }
    (path,) = grow(Leaderboard.parse(asked, "a test")).cells
    assert path.cell.model["revision"] == COMMIT


def test_a_folder_that_is_not_there_is_taken_for_a_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        _ = model(source=str(tmp_path / "nowhere")).revision
    assert f"{str(tmp_path / 'nowhere')!r} is no folder here" in one_line(error)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        _ = model(source=str(tmp_path)).revision
    assert one_line(error).startswith(f"{tmp_path}: no *.safetensors there")


def test_a_commit_beside_a_folder_pins_nothing_and_is_refused(folder: Path) -> None:
    with pytest.raises(SpecError, match="is a folder here, whose weights are its revision; leave revision out"):
        _ = model(source=str(folder), revision=COMMIT).revision


def without(folder: Path, key: str) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[key]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def wider(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"encoder_ffn_dim": 2 * config["encoder_ffn_dim"]}))


SPOILS: dict[str, Callable[[Path], Any]] = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "broken config": lambda folder: (folder / "config.json").write_text("{"),
    "another model": lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'),
    "broken weights": lambda folder: (folder / "model.safetensors").write_bytes(b"nothing"),
    "a weight less": lambda folder: without(folder, "model.encoder.conv1.weight"),
    "another size": wider,
    "broken tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{"),
    "broken processor": lambda folder: (folder / "processor_config.json").write_text("{"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_no_whisper_is_one_line(folder: Path, spoil: str) -> None:
    """Also where transformers would go on, with random weights."""
    SPOILS[spoil](folder)
    with pytest.raises(DataError) as error:
        model(source=str(folder)).load()
    assert one_line(error).startswith(f"model 'whisper': {folder} cannot be opened: ")


# --- what a cell's id is made of --------------------------------------------------------------------------------------


def cell_of(**options: Any) -> Any:
    asked = {"model": {"name": "whisper", "options": options}, "grid": [{"methods": ["dense"]}]}
    (path,) = grow(Leaderboard.parse(asked, "a test")).cells
    return path.cell


def test_golden_ids_of_names_on_the_hub() -> None:
    assert cell_of(source="openai/whisper-small", revision=COMMIT).id == "61a1ce1c5f437467"
    assert cell_of(revision=COMMIT).id == "8f962d40bc7e4aef"


def test_where_a_folder_lies_is_no_part_of_an_id_and_what_is_in_it_is(folder: Path) -> None:
    before = cell_of(source=str(folder))
    assert "source" not in before.model["options"] and str(folder.parent) not in str(before.identity())
    moved = folder.rename(folder.with_name("elsewhere"))
    assert cell_of(source=str(moved)).id == before.id
    config = json.loads((moved / "generation_config.json").read_text())
    (moved / "generation_config.json").write_text(json.dumps(config | {"suppress_tokens": [5]}))
    assert cell_of(source=str(moved)).id != before.id


def test_precision_and_attention_are_part_of_an_id_unless_they_are_the_usual(folder: Path) -> None:
    plain = {"source": str(folder)}
    options = [{}, {"dtype": "bf16"}, {"dtype": "fp16"}, {"attention": "eager"}]
    assert len({cell_of(**plain, **some).id for some in options}) == len(options)
    assert cell_of(**plain, dtype="fp32", attention="sdpa").id == cell_of(**plain).id


def run_in_half(folder: Path, out: Path) -> Record:
    spec = {
        "model": {"name": "whisper", "options": {"source": str(folder), "dtype": "bf16"}},
        "corpus": {"name": "synthetic-hi", "evaluate": {"test": 4}},
        "grid": [{"methods": ["shipped"]}],
        "profile": None,
    }
    benchmark.run(Leaderboard.parse(spec, "a test"), out=out, workers=0, quiet=True)
    (record,) = latest(out)
    assert record.ok
    return record


@pytest.mark.usefixtures("one_thread")
def test_a_run_of_a_folder_in_half_precision(folder: Path, tmp_path: Path) -> None:
    """Its model is opened again by the path in the run's spec; where that is gone, one line says so."""
    record = run_in_half(folder, tmp_path / "run")
    asked = record.data["spec"]["model"]
    assert asked == {"name": "whisper", "options": {"dtype": "bf16"}, "revision": model(source=str(folder)).revision}
    opened = benchmark.load(record.path)
    assert opened.dtype == torch.bfloat16
    assert record.data["counts"]["bytes"] < 2.2 * record.data["counts"]["params_stored"]
    recipe = of_cell(record)
    assert recipe.fill_in == ("model.options.source",) and str(folder) not in str(recipe.spec)
    moved = folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(StoreError) as error:
        benchmark.load(record.path)
    assert f"looked at {folder}" in one_line(error) and asked["revision"] in one_line(error)
    keep_spec(
        tmp_path / "run", {"normalizer": "auto", "model": {"name": "whisper", "options": {"source": str(moved)}}}, []
    )
    assert benchmark.load(record.path).dtype == torch.bfloat16

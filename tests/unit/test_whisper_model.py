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

from benchmark.errors import DataError, SpecError
from benchmark.harness.tree import grow
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard
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


def test_the_revision_of_a_folder_follows_its_weights_and_nothing_else(folder: Path) -> None:
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

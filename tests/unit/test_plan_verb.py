"""What ``prunebench plan`` says of a checkpoint that nobody has opened yet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.cli.main import invoke
from tests.real_whispers import checkpoint, smaller, whisper


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("whisper") / "model", smaller("tiny"))


def spec(folder: Path, source: Path, corpus: str = "synthetic-hi") -> str:
    said: dict[str, Any] = {
        "name": "planned",
        "model": {"name": "whisper", "options": {"source": str(source)}},
        "corpus": {"name": corpus, "evaluate": {"test": 4}},
        "grid": [{"methods": ["dense"]}],
        "profile": None,
    }
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(said))
    return str(path)


@pytest.mark.parametrize("parts", [1, 2])
def test_the_disk_is_that_of_the_weights(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: int
) -> None:
    model = whisper(smaller("tiny"))
    size = 4 * sum(weight.numel() for weight in model.parameters())
    if parts == 2:
        source = checkpoint(tmp_path / "model", smaller("tiny"))
        (source / "model.safetensors").unlink()
        model.save_pretrained(source, max_shard_size=f"{size * 2 // 3000}KB")
        assert len(list(source.glob("*.safetensors"))) == parts
    assert invoke(["plan", spec(tmp_path, source)]) == 0
    (told,) = re.findall(r"artefacts: at most ([\d,]+) MB of disk", capsys.readouterr().out)
    assert int(told.replace(",", "")) == pytest.approx(size / 1e6, abs=1)


def test_a_language_that_the_model_does_not_know_ends_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    english = checkpoint(tmp_path / "english", smaller("tiny.en"))
    assert invoke(["plan", spec(tmp_path, english)]) == 2
    said = capsys.readouterr().err
    assert "knows English (en) alone" in said and "Traceback" not in said

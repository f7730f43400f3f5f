"""docs/real-data.md, walked: a Common Voice archive and a checkpoint in, a leaderboard and an exported model out."""

from __future__ import annotations

import csv
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from benchmark.cli.main import invoke
from benchmark.store.records import records
from tests import real_whispers

PAGE = Path(__file__).parents[2] / "docs" / "real-data.md"
COLUMNS = ("client_id", "path", "sentence_id", "sentence", "up_votes", "down_votes", "accents", "locale", "segment")
WORDS = ["राम", "घर", "जाता", "है", "पानी", "लाओ", "वह", "आया", "मैं", "ठीक", "हूँ"]


def archive(folder: Path) -> Path:
    """Write a made-up release of Hindi with tones for speech: eight speakers in test, and one clip of nothing."""
    home = folder / "cv-corpus-17.0-2024-03-15" / "hi"
    (home / "clips").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for split, count in {"train": 12, "dev": 4, "test": 8}.items():
        with (home / f"{split}.tsv").open("w", encoding="utf-8") as file:
            table = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
            table.writerow(COLUMNS)
            for number in range(count):
                name = f"common_voice_hi_{split}{number}.mp3"
                said = {"path": name, "sentence": " ".join(draw.choice(WORDS, 4)), "locale": "hi"}
                table.writerow([(said | {"client_id": f"{number % 8}" * 64}).get(column, "") for column in COLUMNS])
                tone = 0.3 * np.sin(2 * np.pi * (200 + 40 * number) * np.arange(44_100) / 44_100)
                soundfile.write(home / "clips" / name, np.stack([tone, tone], axis=1), 44_100, format="MP3")
    (home / "clips" / "common_voice_hi_train3.mp3").write_bytes(b"")
    packed = folder / "cv.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(home.parent, arcname=home.parent.name)
    return packed


def spec_of_the_page() -> dict[str, Any]:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.slow
def test_the_page_can_be_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    real_whispers.checkpoint(tmp_path / "model", real_whispers.smaller("tiny"))
    spec = spec_of_the_page()
    spec["model"]["options"]["source"] = "model"
    spec["corpus"]["options"]["path"] = str(archive(tmp_path))
    spec["training"] |= {"steps": 4, "batch": 4, "precision": "fp32", "checkpoint_every": 2}
    spec |= {"decoding": {"max_new_tokens": 6}, "profile": None}  # timings take minutes, and have tests of their own
    Path("hindi.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    few = ["--methods", "magnitude,l1_group", "--budgets", "0.6"]
    assert invoke(["plan", "hindi.yaml", *few]) == 0
    said = capsys.readouterr().out
    assert "magnitude" in said and "l1_group" in said
    assert invoke(["run", "hindi.yaml", *few, "--out", "out/hindi", "--workers", "0", "--quiet"]) == 0
    done = [record for record in records("out/hindi") if record.ok]
    assert {record.data["spec"]["method"]["name"] for record in done} >= {"dense", "magnitude", "l1_group"}
    for record in done:
        assert record.data["data"]["test"]["utterances"] == 8
        assert str(tmp_path) not in str(record.data["spec"])
    assert invoke(["report", "out/hindi", "--out", "report", "--normalizer", "hindi,whisper_basic", "--quiet"]) == 0
    table = Path("report/leaderboard.md").read_text(encoding="utf-8")
    assert "8 speakers" in table and "whisper_basic" in table
    cell = next(record.cell for record in done if record.data["spec"]["method"]["name"] == "l1_group")
    capsys.readouterr()
    assert invoke(["export", cell, "--runs", "out/hindi", "--to", "small"]) == 0
    assert (Path("small") / "config.json").is_file()

"""A transcript that is longer than a model can say: left out of training and counted, or fatal, as the spec says."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmark.errors import DataError
from benchmark.harness.bench import Bench
from benchmark.specs import Leaderboard

LONG = "राम घर में है " * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))


def bench(folder: Path, texts: list[str], **options: Any) -> Bench:
    """A bench of the embedded model over a manifest with so many tones."""
    for number in range(len(texts)):
        tone = 0.3 * np.sin(np.arange(8000) * (0.1 + 0.01 * number))
        soundfile.write(folder / f"{number}.wav", tone, 16_000)
    for split in ("train", "test"):
        said = texts if split == "train" else [texts[0]]
        rows = [f"{number}.wav\t{text.strip()}" for number, text in enumerate(said)]
        (folder / f"{split}.tsv").write_text("\n".join(["audio\ttext", *rows]) + "\n", encoding="utf-8")
    where = {"path": str(folder), "language": "hi", **options}
    corpus = {"name": "manifest", "options": where, "evaluate": {"test": 1}}
    spec = {"name": "long", "corpus": corpus, "grid": [{"methods": ["dense"]}], "profile": None}
    return Bench(Leaderboard.parse(spec, "a test"))


def test_it_is_left_out_counted_and_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    full = bench(tmp_path, ["राम है", "राम", "घर है", "घर"])
    labels, features = full.material.labels, np.array(full.material.features)
    cut = bench(tmp_path, ["राम है", LONG, "घर है", LONG], faulty="exclude")
    with caplog.at_level(logging.WARNING):
        cut.prepare()
    assert cut.material.labels == [labels[0], labels[2]]
    assert np.array_equal(cut.material.features, features[[0, 2]])
    assert "left out 2 of 4 utterances (2 text too long)" in caplog.text
    (report,) = (tmp_path / "cache" / "exclusions").rglob("*-training-texts.csv")
    rows = list(csv.reader(report.read_text(encoding="utf-8").splitlines()))[1:]
    assert [row[2] for row in rows] == ["text too long"] * 2
    assert all("tokens long, and the model has room for 64" in row[3] for row in rows)


def test_it_is_fatal_by_name_where_faults_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"its transcript is \d+ tokens long, and the model has room for 64; repair it"):
        bench(tmp_path, ["राम है", LONG]).prepare()
    assert not list((tmp_path / "cache").rglob("features/*"))  # told before features are made


def test_where_all_are_too_long_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of the 2 utterances of 'train' can be used \(2 text too long\)"):
        bench(tmp_path, [LONG, LONG], faulty="exclude").prepare()

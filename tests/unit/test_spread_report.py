"""The report of seed spread: numbers are those of the seeds, gaps are seen, one seed is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pandas as pd
import pytest

from benchmark.cli.main import invoke
from benchmark.errors import NothingToReportError, StoreError
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from benchmark.store.records import latest
from reports import _room
from reports._spread_data import spreads
from reports._spread_picture import draw
from reports.spread import SeedSpread
from tests.fake_runs import Plain, commit, fail, make, ok_data, spec

SPLITS = {"test": 30}
IMP = ("imp", "prunable_nominal", 0.5)
EVIL = "<script>alert('x')</script> | $\\frac{1}$"


def fill(run: Path, seeds: tuple[int, ...] = (0, 1, 2), **changes: Any) -> Path:
    """Write dense, shipped and imp with these seeds."""
    open_run(run, create=True)
    for seed in seeds:
        commit(run, ok_data(spec(seed=seed, **changes)), 0.05, SPLITS)
        commit(run, ok_data(spec("shipped", seed=seed, **{**changes, "training": None})), 0.06, SPLITS)
        commit(run, ok_data(spec(*IMP, seed=seed, **changes), nominal=0.5), 0.2 + 0.1 * seed, SPLITS)
    return run


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, dict[str, Path]]:
    """Three seeds of most, two of three of magnitude, none of random, one of l1_group; the report's files."""
    folder = tmp_path_factory.mktemp("spread")
    run = fill(folder / "run")
    for seed in (0, 1):
        commit(run, ok_data(spec("magnitude", *IMP[1:], seed=seed), nominal=0.5), 1.8, SPLITS)
    fail(run, spec("magnitude", *IMP[1:], seed=2), f"too far {EVIL}")
    for seed in (0, 1, 2):
        fail(run, spec("random", *IMP[1:], seed=seed), "lost")
    odd = spec("l1_group", "prunable_stored", 0.5)
    odd["method"]["options"] = {"name": EVIL}
    commit(run, ok_data(odd, stored=0.5), 0.3, SPLITS)
    gap = {"cell": "e" * 16} | spec("wanda", *IMP[1:])
    identity = {part: value for part, value in gap.items() if part != "cell"}
    asked = {str(gap["cell"]): identity}
    table = frame(run, normalizer=Plain(), asked=asked)
    paths = {path.suffix: path for path in SeedSpread().write(table, folder / "out")}
    return run, table, paths


def test_numbers_are_those_of_the_seeds(written: tuple[Path, pd.DataFrame, dict[str, Path]]) -> None:
    run, table, paths = written
    told = pd.read_csv(paths[".csv"])
    assert len(told) == len(table)  # a line a seed of an entry, whatever became of it
    own: dict[str, list[float]] = {}
    entries = dict(zip(table["cell"], table["entry"], strict=True))
    for record in latest(run):
        if record.ok:
            texts = record.transcripts("test")
            rate = jiwer.wer(texts["reference"].tolist(), texts["hypothesis"].tolist())
            own.setdefault(entries[record.cell], []).append(rate)
            one = told[told["entry"].eq(entries[record.cell]) & told["seed"].eq(record.data["spec"]["seed"])]
            assert one["rate"].item() == pytest.approx(rate) and one["status"].item() == "ok"
    for entry, rates in own.items():
        one = told[told["entry"] == entry].iloc[0]
        assert one["mean"] == pytest.approx(np.mean(rates)) and one["mean_lo"] <= one["mean"] <= one["mean_hi"]
        assert (one["min"], one["max"], one["seeds"]) == pytest.approx((min(rates), max(rates), len(rates)))
        expected = np.std(rates, ddof=1) if len(rates) > 1 else np.nan
        assert one["sd"] == pytest.approx(expected, nan_ok=True)
    assert paths[".png"].read_bytes().startswith(b"\x89PNG") and set(paths) == {".md", ".csv", ".png", ".svg"}


def test_what_lacks_is_seen(written: tuple[Path, pd.DataFrame, dict[str, Path]]) -> None:
    _, table, paths = written
    text = paths[".md"].read_text()
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert "| 2 of 3 |" in " ".join(rows["magnitude"].split()) and "2: FAILED" in rows["magnitude"]
    assert "0: FAILED, 1: FAILED, 2: FAILED" in rows["random"] and "0 of 3" in rows["random"]
    assert "0: MISSING" in rows["wanda"] and "0 of 1" in rows["wanda"]
    assert "between trainings" in text and "could have been tested" in text
    (found,), alone = spreads(table)
    assert not alone
    drawn = " ".join(label.get_text() for ax in draw([found]).axes for label in [*ax.texts, *ax.get_yticklabels()])
    for said in ("2 of 3 seeds", "0 of 3 seeds", "0 of 1 seed", "1 seed", "lost", "MISSING", "l1_group[name=<script>"):
        assert said in drawn
    told = pd.read_csv(paths[".csv"])
    assert told.loc[told["label"] == "wanda", "status"].tolist() == ["missing"]


def test_labels_are_shown_as_text(written: tuple[Path, pd.DataFrame, dict[str, Path]]) -> None:
    _, _, paths = written
    text = paths[".md"].read_text()
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "<script>" not in paths[".svg"].read_text()
    assert len({line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_rings_stand_where_the_seeds_are(written: tuple[Path, pd.DataFrame, dict[str, Path]]) -> None:
    _, table, _ = written
    (found,), _ = spreads(table)
    panel = next(ax for ax in draw([found]).axes if ax.get_title(loc="left") == "mask block, 50 % kept")
    rings = panel.collections[-1].get_offsets().data
    imp = table[table["label"] == "imp"].sort_values("seed")
    row = [label.get_text() for label in panel.get_yticklabels()].index("imp")
    mine = rings[np.abs(rings[:, 1] - row) < 0.5]
    assert mine[:, 0] == pytest.approx(100 * imp["test_error"].to_numpy()) and len(set(mine[:, 1])) == 3
    worst = 100 * table["test_error"].max()
    assert worst > 150 and panel.get_xlim()[1] > worst  # nothing above 100 % is cut off


def test_one_seed_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path / "run", keeps=(0.6,))
    with pytest.raises(NothingToReportError, match="run with --seeds 0,1,2"):
        SeedSpread().write(frame(run, normalizer=Plain()), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_seed_by_name_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path / "run", keeps=(0.6,))
    out = tmp_path / "out"
    code = invoke(["report", str(run), "--out", str(out), "--normalizer", "identity", "-q", "--only", "spread"])
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2 and "one has no spread; run with --seeds 0,1,2" in line
    assert not out.exists() or not list(out.iterdir())


def test_an_empty_frame_and_nothing_finished(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    with pytest.raises(StoreError, match="nothing to report"):
        SeedSpread().write(frame(run, normalizer=Plain()), tmp_path / "out")
    for seed in (0, 1):
        fail(run, spec(*IMP, seed=seed), "too far")
    with pytest.raises(NothingToReportError):
        SeedSpread().write(frame(run, normalizer=Plain()), tmp_path / "out")


def test_many_boards_are_all_in_the_table_and_few_in_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_room, "MOST_PANELS", 5)
    run = tmp_path / "run"
    for steps in (100, 200, 300):
        training = {"steps": steps, "batch": 16, "learning_rate": 2e-4}
        fill(run, (0, 1), training=training)
    last = {"steps": 400, "batch": 16, "learning_rate": 2e-4}
    for method in ("dense", "imp"):  # one seed each, but the shipped model joins their board with two
        commit(run, ok_data(spec(method, training=last)), 0.1, SPLITS)
    table = frame(run, normalizer=Plain())
    assert [len(found) for found in spreads(table)] == [3, 1]
    paths = {path.suffix: path for path in SeedSpread().write(table, tmp_path / "out")}
    text = paths[".md"].read_text()
    assert text.count("## ") == 3 and pd.read_csv(paths[".csv"])["entry"].nunique() == 3 * 2 + 1
    assert "the first 2 of 3 boards" in text and text.count("No spread, one seed only") == 1


def test_a_picture_shows_the_tightest_budgets_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_room, "MOST_PANELS", 3)
    run = fill(tmp_path / "run", (0, 1))
    for keep in (0.3, 0.7, 0.9):
        commit(run, ok_data(spec("imp", IMP[1], keep), nominal=keep), 0.2, SPLITS)
    paths = {path.suffix: path for path in SeedSpread().write(frame(run, normalizer=Plain()), tmp_path / "out")}
    picture, text = paths[".svg"].read_text(), paths[".md"].read_text()
    drawn = [f"{keep} % kept" in picture for keep in (30, 50, 70, 90)]
    assert drawn == [True, True, False, False] and "no budget" in picture and "tightest budgets only" in text
    assert all(f"| {keep} % |" in " ".join(text.split()) for keep in (30, 50, 70, 90))

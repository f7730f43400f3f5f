"""The report of all pairs says what the pairwise functions say, and counts what ranks count."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmark.errors import NothingToReportError
from benchmark.measure.bootstrap import paired
from benchmark.measure.mapsswe import edits, mapsswe, over_seeds, segments
from benchmark.measure.multiple import holm
from benchmark.measure.scores import Normalised, scored
from benchmark.store.entries import entries
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from benchmark.store.records import latest
from reports import _significance
from reports._content import boards
from reports.significance import Significance
from tests.fake_runs import commit, fail, make, ok_data, spec


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("pairs") / "run", keeps=(0.6,))


@pytest.fixture(scope="module")
def table(run: Path) -> pd.DataFrame:
    return frame(run, normalizer="identity")


@pytest.fixture(scope="module")
def rows(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    paths = Significance().write(table, tmp_path_factory.mktemp("out"))
    assert [path.name for path in paths] == ["significance.md", "significance.csv"]
    text = paths[0].read_text()
    assert "MAPSSWE" in text and "Resampled: 80 utterances, 10,000 times." in text and "margin 1 points" in text
    return pd.read_csv(paths[1])


def test_both_tests_are_the_pairwise_functions(run: Path, table: pd.DataFrame, rows: pd.DataFrame) -> None:
    normalised = Normalised("identity")
    records = {record.cell: record for record in latest(run)}
    cell = table.set_index("entry")["cell"]
    for row in rows.itertuples():
        a, b = records[cell[row.entry_a]], records[cell[row.entry_b]]
        one, other = (scored(record, "test", normalised).main for record in (a, b))
        expected = paired(one.errors, other.errors, one.lengths)
        assert (row.difference, row.lo, row.hi, row.p) == pytest.approx(
            (expected.difference, expected.lo, expected.hi, expected.p)
        )
        said, heard = a.transcripts("test"), b.transcripts("test")["hypothesis"]
        texts = (said["reference"], said["hypothesis"], heard)
        nist = mapsswe(*segments(*([" ".join(text.split()) for text in some] for some in texts)))
        assert (row.mapsswe_segments, row.mapsswe_p) == (nist.segments, pytest.approx(nist.p))


def test_what_is_told_apart_is_what_ranks_count(table: pd.DataFrame, rows: pd.DataFrame) -> None:
    ranks = entries(table).set_index("entry")["rank"]
    pairs = rows[rows["told_apart"].notna()]
    for _, race in pairs.groupby(["block", "keep"]):
        assert race["p_holm"].tolist() == pytest.approx(holm(race["p"]).tolist())
        names = set(race["entry_a"]) | set(race["entry_b"])
        sure = race[race["told_apart"].astype(bool)]
        better = pd.concat([sure.loc[sure["difference"] > 0, "entry_a"], sure.loc[sure["difference"] < 0, "entry_b"]])
        assert {name: 1 + int((better == name).sum()) for name in names} == ranks[list(names)].to_dict()
    against = rows[rows["told_apart"].isna()]
    assert set(against["b"]) == {"dense"} and "shipped" in set(against["a"])
    fine = against["non_inferior"].map({"True": True, "False": False, True: True, False: False})
    assert (fine == (against["hi"] < 0.01)).all()


def test_what_trains_nothing_runs_in_the_race_of_every_recipe(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    budget = ("prunable_nominal", 0.4)
    for steps, errors in ((120, (0.05, 0.3)), (240, (0.02, 0.5))):
        training = {"steps": steps, "batch": 16, "learning_rate": 2e-4}
        commit(run, ok_data(spec(training=training)), 0.03)
        for method, error in zip(("magnitude", "imp"), errors, strict=True):
            data = ok_data(spec(method, *budget, training=training), nominal=0.4)
            commit(run, {**data, "training": {**data["training"], "steps": steps}}, error)
    for method, error in (("wanda", 0.4), ("sparsegpt", 0.05)):
        commit(run, ok_data(spec(method, *budget, training=None), nominal=0.4), error)
    fail(run, spec("imp", *budget, training={"steps": 360}), "too far")
    table = frame(run, normalizer="identity")
    ranks = {board.title: board.rows.dropna(subset="keep").set_index("method")["rank"] for board in boards(table)}
    assert {title.split(", ")[1]: found.dropna().to_dict() for title, found in ranks.items()} == {
        "120 training steps": {"magnitude": 1, "sparsegpt": 1, "imp": 3, "wanda": 4},
        "240 training steps": {"magnitude": 1, "sparsegpt": 2, "wanda": 3, "imp": 4},
        "0 training steps": {"sparsegpt": 1, "wanda": 2},
    }
    untrained = table[table["recipe"].eq("")].set_index("method")
    assert untrained["rank"].isna().all() and untrained["ranks"].str.count(",").tolist() == [2, 2]

    races = [race for race in _significance.races(table) if race.pairs]
    assert sorted(len(race.pairs) for race in races) == [1, 6, 6]
    for race in races:
        expected = ranks[race.board]
        found = dict.fromkeys(expected.dropna().index, 1)
        for pair in race.pairs:
            if pair["told_apart"]:
                found[pair["a"] if pair["difference"] > 0 else pair["b"]] += 1
        assert found == expected.dropna().to_dict()


def test_mapsswe_counts_utterances_once_however_many_seeds(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    for seed in range(3):
        commit(run, ok_data(spec(seed=seed)), 0.047, {"test": 40})
        for method, error in (("imp", 0.1), ("magnitude", 0.12)):
            commit(run, ok_data(spec(method, "prunable_nominal", 0.4, seed=seed), nominal=0.4), error, {"test": 40})
    table = frame(run, normalizer="identity")
    found = {record.cell: record.transcripts("test") for record in latest(run)}
    errs = {cell: edits(texts["reference"], texts["hypothesis"]) for cell, texts in found.items()}
    paths = Significance().write(table, tmp_path)
    rows = pd.read_csv(paths[1])
    assert len(rows) == 3 and set(rows["seeds"]) == {3}
    for row in rows.itertuples():
        sides = [
            [errs[cell] for cell in table.loc[table["entry"] == name, "cell"]] for name in (row.entry_a, row.entry_b)
        ]
        nist = over_seeds(*sides)
        assert (row.mapsswe_segments, row.mapsswe_p) == (nist.segments, pytest.approx(nist.p))
    assert "utterances still count once" in paths[0].read_text()


def test_nothing_to_compare(tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec()), 0.1, {"test": 5})
    with pytest.raises(NothingToReportError, match="two finished entries"):
        Significance().write(frame(run, normalizer="identity"), tmp_path)
    monkeypatch.setattr("reports.significance.MOST_CELLS", 3)
    with pytest.raises(NothingToReportError, match="--method"):
        Significance().write(table, tmp_path)
    monkeypatch.setattr(_significance, "MOST_ENTRIES", 2)
    (mask, stored) = (race for race in _significance.races(table) if race.block != "reference")
    assert mask.left_out == 4 and not mask.pairs and len(mask.to_dense) == 4 and stored.left_out == 3

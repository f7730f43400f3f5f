"""A leaderboard of several languages: what it unfolds into, what is refused, and the report language x method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import SpecError
from benchmark.harness.run import corpus_of
from benchmark.harness.tree import grown
from benchmark.registry import REGISTRY
from benchmark.spec_files import parse, validate
from benchmark.specs import CorpusSpec, Leaderboard
from benchmark.store.folders import keep_spec, open_run
from benchmark.store.frame import frame
from benchmark.store.records import latest
from reports.languages import Languages, csv, grids, markdown
from tests import fake_runs

GRID = [{"methods": ["dense"]}, {"methods": ["magnitude", "random"], "budget": "prunable_nominal", "keep": [0.5]}]


def board(**changes: Any) -> Leaderboard:
    data = {
        "grid": GRID,
        "languages": ["hi", "tr"],
        "corpus": {"name": "synthetic-{language}"},
        "normalizer": "default",
    }
    return parse({**data, **changes}, "a test")


# --- specs --------------------------------------------------------------------------------------------------------


def test_one_leaderboard_a_language() -> None:
    ones = board(corpus={"name": "synthetic-{language}", "options": {"root": "x/{language}", "n": 3}}).per_language()
    assert [one.corpus.name for one in ones] == ["synthetic-hi", "synthetic-tr"]
    assert [one.corpus.options for one in ones] == [{"root": "x/hi", "n": 3}, {"root": "x/tr", "n": 3}]
    assert not any(one.languages for one in ones)
    alone = board(languages=[], corpus={"name": "synthetic-hi"})
    assert alone.per_language() == [alone]


def test_each_language_has_the_cells_of_its_own_leaderboard() -> None:
    trees = grown(validate(board()))
    assert [tree.spec.corpus.name for tree in trees] == ["synthetic-hi", "synthetic-tr"]
    ids = [[path.cell.id for path in tree.cells] for tree in trees]
    (alone,) = grown(board(languages=[], corpus={"name": "synthetic-tr"}))
    assert ids[1] == [path.cell.id for path in alone.cells]
    assert not set(ids[0]) & set(ids[1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus": {"name": "synthetic-hi"}}, "is the same in all; write {language}"),
        ({"languages": []}, "no languages are named"),
        ({"languages": ["hi", "xx"]}, "unknown corpus 'synthetic-xx'"),
        ({"languages": ["hi", "hi"]}, "language 'hi' is named twice"),
        ({"normalizer": "defualt"}, "did you mean 'default'"),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        validate(board(**changes))
    assert said in str(caught.value)


def test_a_language_without_a_normaliser_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    hindi = REGISTRY.lookup("normalizer", "hindi")
    monkeypatch.setattr(hindi, "languages", ())
    with pytest.raises(SpecError, match=r"no normalizer for language 'hi'.*default.*add-a-language"):
        validate(board(normalizer="auto"))


def test_the_corpus_of_a_record_is_that_of_its_language(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    for language in ("hi", "tr"):
        corpus = {"name": "one", "options": {"code": language, "path": f"/data/{language}"}}
        keep_spec(run, {"normalizer": "default", "corpus": corpus}, [language])
    spec = fake_runs.spec(corpus={"name": "one", "version": "1", "language": "tr", "options": {"code": "tr"}})
    fake_runs.commit(run, fake_runs.ok_data(spec), 0.1)
    assert corpus_of(run, latest(run)) == CorpusSpec(name="one", options={"code": "tr", "path": "/data/tr"})


def test_the_corpus_of_a_cell_is_that_of_the_spec_that_names_it(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    records = []
    for number, path in enumerate(("/a", "/b", "/c")):
        spec = fake_runs.spec(corpus={"name": "folder", "version": "1", "language": "hi", "options": {}}, seed=number)
        records.append(fake_runs.commit(run, fake_runs.ok_data(spec), 0.1))
        corpus = {"name": "folder", "options": {"path": path}}
        keep_spec(run, {"normalizer": "default", "corpus": corpus}, [records[-1].cell])
    assert [corpus_of(run, [record]).options["path"] for record in records] == ["/a", "/b", "/c"]


# --- the report ---------------------------------------------------------------------------------------------------

ERRORS = {("dense", None): 0.05, ("magnitude", 0.6): 0.1, ("random", 0.6): 0.9}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = open_run(tmp_path / "run", create=True)
    for language in ("hi", "en"):
        for (method, keep), error in ERRORS.items():
            if (language, method) == ("en", "random"):
                continue  # a gap in the grid
            kind = "none" if keep is None else "prunable_nominal"
            corpus = {"name": f"fake-{language}", "version": "1", "language": language, "options": {}}
            spec = fake_runs.spec(method, kind, keep, corpus=corpus)
            fake_runs.commit(folder, fake_runs.ok_data(spec, nominal=keep or 1.0), error)
    return folder


def test_the_grid_holds_each_language_by_its_own_normaliser(run: Path) -> None:
    table = frame([run], normalizer="auto")
    (grid,) = grids(table)
    assert sorted(grid.languages) == ["en WER", "hi WER"]
    assert [key[2] for key in grid.errors.index] == ["dense", "magnitude", "random"]
    rows = table.set_index(["language", "method"])
    assert grid.errors.loc[("mask", 0.6, "magnitude"), "hi WER"] == rows.loc[("hi", "magnitude"), "test_wer"]
    delta = rows.loc[("en", "magnitude"), "test_wer_delta"]
    assert grid.differences.loc[("mask", 0.6, "magnitude"), "en WER"] == delta
    assert any("hindi:" in note for note in grid.notes)
    assert any("whisper_english:" in note for note in grid.notes)


def test_a_gap_is_shown_as_a_gap_and_has_no_mean_rank(run: Path) -> None:
    (grid,) = grids(frame([run], normalizer="auto"))
    gap = ("mask", 0.6, "random")
    assert grid.texts.loc[gap, "en WER"] == "–"
    assert np.isnan(grid.errors.loc[gap, "en WER"])
    assert np.isnan(grid.ranks[gap])
    assert grid.ranks[("mask", 0.6, "magnitude")] == 1.0


def test_a_failed_cell_says_so(run: Path) -> None:
    corpus = {"name": "fake-en", "version": "1", "language": "en", "options": {}}
    fake_runs.fail(run, fake_runs.spec("random", "prunable_nominal", 0.6, corpus=corpus), "it broke")
    (grid,) = grids(frame([run], normalizer="auto"))
    assert grid.texts.loc[("mask", 0.6, "random"), "en WER"] == "FAILED"


def test_seeds_become_their_mean_with_its_interval(run: Path) -> None:
    corpus = {"name": "fake-hi", "version": "1", "language": "hi", "options": {}}
    spec = fake_runs.spec("magnitude", "prunable_nominal", 0.6, corpus=corpus, seed=1)
    fake_runs.commit(run, fake_runs.ok_data(spec, nominal=0.6), 0.3)
    table = frame([run], normalizer="auto")
    (grid,) = grids(table)
    values = table[(table["method"] == "magnitude") & (table["language"] == "hi")]["test_wer"]
    assert grid.texts.loc[("mask", 0.6, "magnitude"), "hi WER"].startswith(f"{100 * values.mean():.1f} [")
    assert grid.errors.loc[("mask", 0.6, "magnitude"), "hi WER"] == pytest.approx(values.mean())


def test_files_and_screen(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    table = frame([run], normalizer="auto")
    written = Languages().write(table, tmp_path / "out")
    assert [path.name for path in written] == [f"languages.{kind}" for kind in ("md", "csv", "png", "svg")]
    assert all(path.stat().st_size > 100 for path in written)
    found = grids(table)
    assert "| en WER" in "\n".join(markdown(found))
    again = pd.read_csv(tmp_path / "out" / "languages.csv")
    assert len(again) == 6
    assert again["error"].notna().sum() == 5  # the gap is a line without a number
    assert csv(found) == (tmp_path / "out" / "languages.csv").read_text()
    Languages().show(table, Console(width=120))
    assert "magnitude" in capsys.readouterr().out


def test_one_language_has_no_grid(tmp_path: Path) -> None:
    table = frame([fake_runs.make(tmp_path / "run")], normalizer="default")
    assert grids(table) == []
    assert Languages().write(table, tmp_path / "out") == []


def test_another_decoding_is_a_grid_of_its_own_and_no_second_seed(run: Path) -> None:
    for language in ("hi", "en"):
        corpus = {"name": f"fake-{language}", "version": "1", "language": language, "options": {}}
        data = fake_runs.ok_data(fake_runs.spec(corpus=corpus, decoding={"beams": 5}))
        fake_runs.commit(run, {**data, "decoding": {"signature": "beams=5"}}, 0.5)
    found = grids(frame([run], normalizer="auto"))
    assert len(found) == 2
    assert {"decoding beams=5" in grid.title for grid in found} == {True, False}


def test_another_version_of_a_corpus_is_a_column_of_its_own(run: Path) -> None:
    corpus = {"name": "fake-hi", "version": "2", "language": "hi", "options": {}}
    fake_runs.commit(run, fake_runs.ok_data(fake_runs.spec(corpus=corpus)), 0.5)
    (grid,) = grids(frame([run], normalizer="auto"))
    assert len(grid.languages) == 3


def test_only_auto_is_called_each_languages_own(run: Path) -> None:
    for choice, own in (("auto", True), ("default", False)):
        (grid,) = grids(frame([run], normalizer=choice))
        assert any("its own normaliser" in note for note in grid.notes) == own


def test_a_run_in_which_all_failed_is_reported(tmp_path: Path) -> None:
    folder = open_run(tmp_path / "run", create=True)
    for language in ("hi", "en"):
        corpus = {"name": f"fake-{language}", "version": "1", "language": language, "options": {}}
        fake_runs.fail(folder, fake_runs.spec(corpus=corpus), "it broke")
    table = frame([folder], normalizer="auto")
    (grid,) = grids(table)
    assert set(grid.texts.to_numpy().ravel()) == {"FAILED"}
    assert len(Languages().write(table, tmp_path / "out")) == 4


# --- the command line ---------------------------------------------------------------------------------------------


def test_plan_shows_every_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from benchmark.cli.main import invoke

    monkeypatch.chdir(tmp_path)
    spec = board(model={"name": "nano-multi"})
    (tmp_path / "spec.yaml").write_text(json.dumps(spec.model_dump(mode="json", exclude_unset=True)))
    assert invoke(["plan", "spec.yaml", "--languages", "tr,bn,mr", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [row["language"] for row in plan["cells"]] == ["tr"] * 3 + ["bn"] * 3 + ["mr"] * 3
    assert plan["shared"] == 3 * 240  # each language: 60 steps that all three share, and 60 of each

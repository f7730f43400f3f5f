"""The card of a leaderboard: read by huggingface_hub, the best of each budget, and nothing that breaks out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from huggingface_hub import DatasetCard

from benchmark.errors import StoreError
from benchmark.registry import REGISTRY
from benchmark.store.folders import keep_spec, open_run
from benchmark.store.frame import frame
from tests.fake_runs import DEVICE, Plain, commit, fail, make, ok_data, spec
from tests.markdown import HOSTILE, kinds, tables

NAME = "leaderboard-card.md"


def written(table: pd.DataFrame, out: Path) -> DatasetCard:
    paths = REGISTRY.get("report", "card").write(table, out)
    assert paths[0] == out / NAME and sorted(paths) == sorted(out.iterdir())
    return DatasetCard.load(out / NAME)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return frame(make(tmp_path_factory.mktemp("fake") / "run"), normalizer=Plain())


@pytest.fixture(scope="module")
def card(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> DatasetCard:
    return written(table, tmp_path_factory.mktemp("out") / "new")


def rows_of(card: DatasetCard) -> list[list[str]]:
    """Return the cells of the first table's rows."""
    lines = card.text[card.text.index("| block") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def test_the_front_matter_says_what_is_known_and_no_licence(card: DatasetCard) -> None:
    assert card.data.to_dict() == {
        "language": ["hi"],
        "task_categories": ["automatic-speech-recognition"],
        "pretty_name": "Compression of fake-nano on fake-hi",
        "tags": ["leaderboard", "prunebench", "whisper", "pruning"],  # not known to be synthetic: it is not installed
    }
    again = DatasetCard(card.content)
    assert again.data.to_dict() == card.data.to_dict() and again.text == card.text


def test_the_best_of_each_budget_has_rank_one_and_the_lowest_error(card: DatasetCard, table: pd.DataFrame) -> None:
    shown = {(row[0], row[1]): row for row in rows_of(card)}
    ranked = table[table["rank"].eq(1)].sort_values("test_error").drop_duplicates(["block", "keep"])
    assert len(shown) == len(ranked) + 1 == 7  # and dense
    for _, row in ranked.iterrows():
        cells = shown[row["block"], f"{100 * row['keep']:.0f} %"]
        assert cells[2] == f"`{row['label']}`" and cells[-1] == f"`{row['cell']}`"
        assert cells[3].startswith(f"{100 * row['test_error']:.1f} [")
        assert cells[4].startswith(f"{100 * row['test_error_delta']:+.1f} [".replace("-", "−"))
        assert cells[-2] == f"{row['speedup']:.2f}×"
        same = table[(table["block"] == row["block"]) & (table["keep"] == row["keep"]) & table["rank"].notna()]
        assert f"{same['rank'].eq(1).sum()} of {len(same)}" in cells
    assert shown["reference", "–"][2] == "`dense`"


def test_it_tells_data_failures_versions_and_limits(card: DatasetCard, table: pd.DataFrame) -> None:
    text = card.text
    for split, count in (("test", 80), ("test-unseen-voice", 40)):
        found = table[f"{split.replace('-', '_')}_hash"].dropna().iloc[0]
        assert f"| fake-hi | 1 | hi | {split} | {count} | `{found}` |" in text
    assert f"1 of {len(table)} cells failed" in text
    assert "| commit | `0000000` |" in text and f"Timed on `{DEVICE}`" in text
    assert table["signature"].dropna().iloc[0] in text and "- Seeds: 0." in text
    assert "`fake-hi`: not installed here" in text and "synthetic" not in text
    assert "One seed an entry" in text and "Masks are not speed" in text
    assert "`leaderboard-spec.yaml`" not in text and f"Of {len(table)} of {len(table)} cells no spec was kept" in text
    assert "prunebench export" in text and "--runs RUNS --to model" in text


def synthetic(
    run: Path, seeds: tuple[int, ...] = (0,), language: str = "hi", keeps: tuple[float, ...] = (0.6,)
) -> None:
    """Write dense and one method on a corpus that is installed."""
    corpus = {"name": f"synthetic-{language}", "version": "1", "language": language, "options": {}}
    for seed in seeds:
        commit(run, ok_data(spec(corpus=corpus, seed=seed)), 0.05)
        cell = spec("l1_group", "prunable_stored", 0.6, corpus=corpus, seed=seed)
        commit(run, ok_data(cell, stored=0.6), 0.2)


def test_several_languages_without_timings_are_boards_of_their_own(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    synthetic(run, language="hi")
    synthetic(run, language="ta", seeds=(0, 1))
    card = written(frame(run, normalizer="identity"), tmp_path / "out")
    assert card.data.language == ["hi", "ta"] and "synthetic" in (card.data.tags or [])
    assert card.text.count("| block |") == 2 and "Seeds: 0, 1." in card.text
    assert "`synthetic-hi`, `synthetic-ta`: **synthetic** speech" in card.text
    assert "Nothing was timed" in card.text and "At most 2 seeds an entry" in card.text
    assert "Nothing: all 6 cells have a result." in card.text


def test_models_that_were_not_kept_are_not_promised(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    synthetic(run)
    for path in run.glob("runs/*/*/model.safetensors"):
        path.unlink()
    card = written(frame(run, normalizer="identity"), tmp_path / "out")
    assert "models of the table were not kept" in card.text and "--to model" not in card.text


def test_the_command_is_that_of_the_spec_that_was_kept(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    synthetic(run)
    table = frame(run, normalizer="identity")
    kept: dict[str, Any] = {"name": "mine", "normalizer": "hindi", "grid": [{"methods": ["dense"]}]}
    keep_spec(run, kept, list(table["cell"]))
    card = written(table, tmp_path / "out")
    assert "```sh\nprunebench run leaderboard-spec.yaml\n```" in card.text
    assert "--runs out/mine --to model" in card.text and "no spec was kept" not in card.text
    assert "name: mine" in (tmp_path / "out" / "leaderboard-spec.yaml").read_text()


def test_a_board_without_a_result_says_so(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    fail(run, spec("l1_group", "prunable_stored", 0.6), "no")
    card = written(frame(run, normalizer="identity"), tmp_path / "out")
    assert "No entry of this board has a result and a rank." in card.text and "1 of 1 cells failed" in card.text
    assert "stored block, 60 % kept: no entry has a result and a rank." in card.text


def test_what_was_left_out_is_said(table: pd.DataFrame, tmp_path: Path) -> None:
    table = table.copy()
    table.attrs = table.attrs | {"problems": [f"{HOSTILE}: broken"], "faults": ["normalizer 'x' raised"]}
    card = written(table, tmp_path / "out")
    assert (
        "1 broken or unreadable, left out: a\\|b" in card.text and "Scores left out: normalizer 'x' raised" in card.text
    )


def test_no_text_of_a_record_leaves_its_place(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    corpus = {"name": HOSTILE, "version": HOSTILE, "language": HOSTILE, "options": {}}
    model = {"name": HOSTILE, "revision": "x", "options": {}}
    dense = ok_data(spec(corpus=corpus, model=model))
    dense["decoding"]["signature"] = HOSTILE
    commit(run, dense, 0.05)
    data = ok_data(spec("l1_group", "prunable_stored", 0.6, corpus=corpus, model=model), stored=0.6)
    data["spec"]["method"] = {"name": HOSTILE, "options": {HOSTILE: HOSTILE}}
    data["environment"] |= {"commit": HOSTILE, "device": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    data["decoding"]["signature"] = HOSTILE
    commit(run, data, 0.2)
    fail(run, spec(HOSTILE, HOSTILE, 0.6, corpus=corpus, model=model), HOSTILE)
    card = written(frame(run, normalizer="identity"), tmp_path / "out")
    assert not kinds(card.text) & {"html_inline", "html_block", "image", "link_open", "hr"}
    assert all(len(set(cells)) == 1 for cells in tables(card.text)) and len(tables(card.text)) == 3
    assert set(card.data.to_dict()) == {"language", "task_categories", "pretty_name", "tags"}
    assert "\u202e" not in card.content


def test_nothing_to_report_writes_nothing(table: pd.DataFrame, tmp_path: Path) -> None:
    for nothing in (table.iloc[:0], table.drop(columns="rank")):
        with pytest.raises(StoreError):
            REGISTRY.get("report", "card").write(nothing, tmp_path / "out")
    assert not (tmp_path / "out").exists()

"""What reports write: right order, failures in sight, nothing unescaped, nothing half-written."""

from __future__ import annotations

import csv
import io
import re
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from benchmark.errors import NothingToReportError, StoreError
from benchmark.figures import render
from benchmark.registry import REGISTRY
from benchmark.store.files import write_atomically
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from reports import _content as content
from reports.pareto import draw
from reports.significance import Significance
from tests import fake_normalizers as fakes
from tests.fake_runs import Plain, commit, fail, make, ok_data, spec


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return frame(make(tmp_path_factory.mktemp("fake") / "run"), normalizer=Plain())


@pytest.fixture(scope="module")
def written(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("out") / "new"
    paths = [path for name in ("table", "page", "pareto") for path in REGISTRY.get("report", name).write(table, out)]
    assert sorted(paths) == sorted(out.iterdir())
    return {path.name: path for path in paths}


# --- order and content --------------------------------------------------------------------------------------------


def test_reports_are_plug_ins() -> None:
    assert {"table", "page", "pareto"} <= set(REGISTRY.names("report"))
    assert not [failure for failure in REGISTRY.failures if failure.source.startswith("reports")]


def test_blocks_come_in_order_and_rank_within_a_kept_fraction(table: pd.DataFrame) -> None:
    (board,) = content.boards(table)
    assert [section.block for section in board.sections] == ["reference", "mask", "stored"]
    assert board.sections[0].rows["method"].tolist() == ["dense", "shipped"]
    for section in board.sections[1:]:
        assert section.rows["keep"].is_monotonic_decreasing
        for _, race in section.rows.groupby("keep"):
            done = race[race["status"] == "ok"]
            assert done["rank"].is_monotonic_increasing
            assert race["status"].tolist() == sorted(race["status"], reverse=True)  # failed cells end their group


def test_a_run_in_which_everything_failed_says_why(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    for method in ("dense", "imp"):
        fail(run, spec(method), f"{method}: no such language")
    table = frame(run, normalizer=Plain())
    for name in REGISTRY.names("report"):
        with suppress(NothingToReportError):
            REGISTRY.get("report", name).write(table, tmp_path / "out")
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "FAILED: BudgetMissedError: dense: no such language" in text and "imp: no such language" in text
    console = Console(width=250, file=io.StringIO(), force_terminal=False)
    REGISTRY.get("report", "table").show(table, console)
    assert "imp: no such language" in console.file.getvalue()  # type: ignore[attr-defined]


def test_another_kind_of_budget_is_a_block_of_its_own(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec("imp", "macs", 0.5)), 0.1, {"test": 5})
    (board,) = content.boards(frame(run, normalizer=Plain()))
    assert [section.title for section in board.sections] == ["Budget in macs"]


def test_each_recipe_is_a_board_and_the_untrained_model_is_on_all(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    for one in (spec(), spec(training={"steps": 240}), spec("shipped", training=None)):
        commit(run, ok_data(one), 0.1, {"test": 5})
    boards = content.boards(frame(run, normalizer=Plain()))
    assert [board.rows["method"].tolist() for board in boards] == [["dense", "shipped"]] * 2
    assert len(draw(frame(run, normalizer=Plain())).subfigs) == 2


def test_seeds_are_one_row_with_their_number_and_spread(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    for seed in (0, 1):
        commit(run, ok_data(spec(seed=seed)), 0.1, {"test": 5})
        commit(run, ok_data(spec("imp", "prunable_nominal", 0.5, seed=seed)), 0.1, {"test": 5})
    fail(run, spec("imp", "prunable_nominal", 0.5, seed=2), "too far")
    table = frame(run, normalizer=Plain())
    (board,) = content.boards(table)
    imp = board.rows[board.rows["method"] == "imp"].squeeze()
    told = {column.name: column.fill(imp).text for column in board.columns}
    assert told["seeds"] == "2 of 3" and told["rank"] == "1"
    rates = table.loc[table["method"].eq("imp"), "test_wer"].dropna()
    assert told["±"] == f"{100 * rates.std():.2f}"
    assert "too far" in imp["error"] and len(board.rows) == 2
    render(draw(table), "svg")


def test_a_difference_over_fewer_seeds_than_the_rate_says_so(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    for seed in range(3):
        commit(run, ok_data(spec("imp", "prunable_nominal", 0.5, seed=seed)), 0.1, {"test": 20})
        if seed:
            commit(run, ok_data(spec(seed=seed)), 0.1, {"test": 20})
    commit(run, ok_data(spec("magnitude", "prunable_nominal", 0.5, seed=2)), 0.1, {"test": 20})
    table = frame(run, normalizer="identity")
    (board,) = content.boards(table)
    rows = board.rows.set_index("method")
    assert rows["test_delta_seeds"].to_dict() == {"dense": 0, "imp": 2, "magnitude": 1}
    assert rows.loc["imp", "test_error_delta"] == pytest.approx(
        table[table["method"].eq("imp") & table["seed"].gt(0)]["test_error_delta"].mean()
    )
    (seeds,) = (column for column in board.columns if column.name == "seeds")
    assert {name: seeds.fill(row).text for name, row in rows.iterrows()} == {
        **{"dense": "2", "imp": "3 (2 with dense)", "magnitude": "1"}
    }
    assert [note for note in board.notes if note.startswith("Dense lacks seeds: for 1 entry Δ")]
    paths = Significance().write(table, tmp_path)
    pairs = [line.split("|")[1:4] for line in paths[0].read_text().splitlines() if line.startswith("| ")]
    told = {frozenset(part.strip() for part in pair) for pair in pairs}
    assert told >= {frozenset(pair) for pair in (("imp", "magnitude", "1"), ("imp", "dense", "2"))}


def test_settings_of_two_metrics_are_reported_each_in_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.only(monkeypatch, fakes.Words, fakes.Letters, fakes.Broken)
    run = open_run(tmp_path / "run", create=True)
    for code in ("xa", "xb", "xc"):
        corpus = {"name": f"fake-{code}", "version": "1", "language": code, "options": {}}
        commit(run, ok_data(spec(corpus=corpus)), 0.05, {"test": 20})
        commit(run, ok_data(spec("imp", "prunable_nominal", 0.5, corpus=corpus)), 0.2, {"test": 20})
    table = frame(run, normalizer="auto", faults=[])
    by_code = {board.rows["language"].iloc[0]: board for board in content.boards(table)}
    headings = {code: [column.name for column in board.columns] for code, board in by_code.items()}
    assert "WER test % [95 %]" in headings["xa"] and "CER % [95 %]" in headings["xa"]
    assert "CER test % [95 %]" in headings["xb"] and "WER % [95 %]" in headings["xb"]
    assert by_code["xa"].notes[0].startswith("Normaliser auto; signature wer|words:1|word|greedy")
    assert by_code["xb"].notes[0].startswith("Normaliser auto; signature cer|letters:1|char|greedy")
    assert by_code["xc"].notes[0] == "Normaliser auto; no scores."
    assert any("Scores left out: normalizer 'broken'" in note for note in by_code["xc"].notes)
    for name in ("table", "page", "pareto"):
        REGISTRY.get("report", name).write(table, tmp_path / "out")
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert text.count("CER test % [95 %]") == 2  # two blocks
    figure = draw(table)
    assert sorted(part.axes[0].get_ylabel()[:3] for part in figure.subfigs) == ["CER", "WER", "WER"]


def test_several_normalisers_stand_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.only(monkeypatch, fakes.Words, fakes.Letters)
    table = frame(make(tmp_path / "run", keeps=(0.8, 0.4)), normalizer="words,letters")
    (board,) = content.boards(table)
    headings = [column.name for column in board.columns]
    beside = headings.index("CER test % by letters [95 %]")
    assert headings[beside + 1] == "rank by letters"
    assert [note for note in board.notes if note.startswith("Beside it: normaliser letters; signature cer|letters:1|")]
    row = board.rows.iloc[0]
    assert board.columns[beside].fill(row).sort == pytest.approx(row["test_cer"])
    for name in ("table", "page", "pareto"):
        REGISTRY.get("report", name).write(table, tmp_path / "out")
    assert "cer|letters:1|" in (tmp_path / "out" / "leaderboard.html").read_text()
    assert "letters__test_error" in (tmp_path / "out" / "leaderboard.csv").read_text()


def test_boards_of_two_decoders_say_which(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec()), 0.1, {"test": 5})
    commit(run, ok_data(spec(decoding={"beams": 5})) | {"decoding": {"signature": "beam=5"}}, 0.1, {"test": 5})
    titles = [board.title for board in content.boards(frame(run, normalizer=Plain()))]
    assert sorted(title.rpartition(", decoding ")[2] for title in titles) == ["beam=5", "greedy,max=44"]


def test_emptied_references_are_said(tmp_path: Path) -> None:
    class Nothing(Plain):
        def __call__(self, text: str) -> str:
            return ""

    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec()), 0.1, {"test": 5})
    (board,) = content.boards(frame(run, normalizer=Nothing()))
    assert any("5 with a reference of which the normaliser leaves nothing" in note for note in board.notes)


def test_a_report_without_scores_or_rows_says_so(table: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("table", "page", "pareto"):
        with pytest.raises(StoreError, match="needs scores"):
            REGISTRY.get("report", name).write(table.drop(columns="rank"), tmp_path / "out")
        with pytest.raises(StoreError, match="nothing to report"):
            REGISTRY.get("report", name).write(table[:0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [(1_480_704, "1.48 M"), (773_000, "773 k"), (999_600, "1 M"), (0, "0"), (93.1e6, "93.1 M"), (2e15, "2000 T")],
)
def test_large_numbers_read_well(value: float, text: str) -> None:
    assert content.si(value).text == text
    assert content.si(None).text == content.NOTHING


# --- files --------------------------------------------------------------------------------------------------------


def test_markdown_shows_every_cell_and_escapes(written: dict[str, Path]) -> None:
    text = written["leaderboard.md"].read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 23 + 3 * 2  # a heading and a ruler a block
    assert all(len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"(?<!\\)\|", rows[0])) for row in rows)
    assert "<script" not in text
    failed = next(row for row in rows if "FAILED" in row)
    assert "l1_group" in failed
    assert "too far" in failed
    for said in ("Nominal", "Stored", "Realised", "1,179,648 prunable weights", "Normaliser plain", "position 24"):
        assert said in text


def test_csv_holds_every_column_of_every_entry_and_cell(written: dict[str, Path], table: pd.DataFrame) -> None:
    rows = list(csv.DictReader(io.StringIO(written["leaderboard.csv"].read_text())))
    assert len(rows) == 23
    assert {name for name in table if "_mean" not in name} < set(rows[0])
    assert rows[0]["method"] == "dense"
    assert float(rows[0]["test_wer"]) == pytest.approx(float(table.query("method == 'dense'")["test_wer"].iloc[0]))
    assert [row["status"] for row in rows].count("failed") == 1
    cells = list(csv.DictReader(io.StringIO(written["cells.csv"].read_text())))
    assert len(cells) == 23 and set(cells[0]) == set(table.columns)
    assert cells[0]["params_stored"].isdigit()


def test_latex_marks_the_best_and_what_is_dominated(written: dict[str, Path], table: pd.DataFrame) -> None:
    text = written["leaderboard.tex"].read_text()
    for rule in ("\\toprule", "\\midrule", "\\bottomrule"):
        assert text.count(rule) == 3  # one table a block
    (board,) = content.boards(table)
    body = [line for line in text.splitlines() if line.endswith("\\\\") and "method" not in line]
    assert len(body) == len(board.rows)
    mask = board.rows[board.rows["block"] == "mask"]
    best = mask.loc[mask.groupby("keep")["test_error"].idxmin()]
    bold = [line for line in body if line.startswith("\\textbf")]
    assert {(row["label"], row["keep"]) for _, row in best.iterrows()} <= {
        (label, keep) for label in mask["label"] for keep in mask["keep"]
        if any(f"{{{label.replace('_', chr(92) + '_')}}}" in line and f"{{{100 * keep:.0f} " in line for line in bold)
    }  # fmt: skip
    assert any(line.startswith("\\color{gray}") for line in body)
    assert "script" not in text and "FAILED" in text


def test_latex_keeps_colons_but_for_the_reason_of_a_failure(table: pd.DataFrame, tmp_path: Path) -> None:
    label = "imp(note=a: b<c, path=x:y)"
    named = table.assign(label=table["label"].mask(table["method"].isin(["imp", "l1_group"]), label))
    REGISTRY.get("report", "table").write(named, tmp_path)
    lines = (tmp_path / "leaderboard.tex").read_text().splitlines()
    told = [line for line in lines if "imp(note" in line]
    assert len(told) == 6 and all("imp(note=a: b$<$c, path=x:y)" in line for line in told)
    (failed,) = [line for line in told if "FAILED" in line]
    assert [cell.strip() for cell in failed.removesuffix(r"\\\\").split("&")][:6] == [
        "--", "imp(note=a: b$<$c, path=x:y)", r"40 \%", "FAILED", "--", "--"
    ]  # fmt: skip


def test_pictures_are_whole_and_the_same_each_time(written: dict[str, Path], table: pd.DataFrame) -> None:
    assert written["pareto.png"].read_bytes().startswith(b"\x89PNG")
    svg = written["pareto.svg"].read_text()
    assert svg.rstrip().endswith("</svg>")
    assert render(draw(table), "svg").decode() == svg


def test_a_picture_of_failures_only_is_drawn(table: pd.DataFrame) -> None:
    failed = table[table["status"] == "failed"]
    failed.attrs = table.attrs
    assert render(draw(failed), "png").startswith(b"\x89PNG")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    path = write_atomically(tmp_path / "leaderboard.md", "old")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "replace", full)
        write_atomically(path, "new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("width", [70, 100, 250])
def test_the_terminal_shows_what_fits(table: pd.DataFrame, width: int) -> None:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    REGISTRY.get("report", "table").show(table, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert all(name in text for name in table["label"])
    assert text.count("FAILED") == 3  # the cell, its reason, the note
    assert ("train s" in text) == (width == 250)
    assert "<script>" in text

"""``prunebench score`` and the normalisers of ``prunebench report``: choices, faults, exit codes, and no torch."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli import _flow
from benchmark.cli.main import invoke
from benchmark.harness.executors.local import Local
from benchmark.store.folders import MARKER, keep_spec, open_run
from benchmark.store.score import score
from tests import fake_normalizers as fakes
from tests import fake_runs
from tests.fake_runs import commit, ok_data, spec

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run one command in an empty folder; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = invoke([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def refused(call: Call) -> Callable[..., str]:
    """Run a command that cannot be carried out: one line and code 2; return the line."""

    def run(*arguments: str | Path) -> str:
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("prunebench: error: ") and err.count("\n") == 1
        return err

    return run


@pytest.fixture(scope="module")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_runs.make(tmp_path_factory.mktemp("fake") / "run", keeps=(0.4,))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec()), 0.2, {"test": 6})
    return run


# --- what it prints -----------------------------------------------------------------------------------------------


def test_a_row_a_cell_split_and_normaliser(call: Call, fake_run: Path) -> None:
    code, out, err = call("score", fake_run, "--normalizer", "hindi[nasal=off],whisper_basic")
    assert (code, err) == (0, "")
    table = score(fake_run, "hindi[nasal=off],whisper_basic")
    lines = out.splitlines()[1:]
    assert len(lines) == len(table) == 2 * 2 * 8
    for line, row in zip(lines, table.itertuples(), strict=True):
        assert line.startswith(row.cell) and row.split in line and row.signature in line
        assert f" {100 * row.wer:.2f} " in line and f" {100 * row.cer:.2f} " in line
        assert f"[{100 * row.lo:.2f}, {100 * row.hi:.2f}]" in line


def test_a_narrow_window_keeps_numbers_and_signatures(
    call: Call, fake_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    out = call("score", fake_run, "--normalizer", "identity")[1]
    assert "…" not in out


def test_json_and_csv_hold_every_count(call: Call, fake_run: Path, tmp_path: Path) -> None:
    table = score(fake_run, "identity,auto")
    rows = json.loads(call("score", fake_run, "--normalizer", "identity,auto", "--json")[1])
    assert [list(row) for row in rows] == [table.columns.tolist()] * len(table)
    assert [row["signature"] for row in rows] == table["signature"].tolist()
    assert [row["keep"] for row in rows if row["method"] == "dense"] == [None] * 4
    code, out, _ = call("score", fake_run, "--normalizer", "identity,auto", "--csv", tmp_path / "scores.csv")
    assert code == 0 and str(tmp_path / "scores.csv") in out
    read = list(csv.DictReader((tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()))
    assert [float(row["wer"]) for row in read] == table["wer"].tolist()


def test_cells_are_chosen_by_how_their_id_begins(call: Call, fake_run: Path) -> None:
    cells = sorted(set(score(fake_run, "identity", resamples=1)["cell"]))
    asked = ("score", fake_run, "--normalizer", "identity", "--json")
    rows = json.loads(call(*asked, "--cell", cells[0][:6], "--cell", cells[2])[1])
    assert sorted({row["cell"] for row in rows}) == [cells[0], cells[2]]


def test_without_a_choice_it_is_that_of_the_runs(call: Call, refused: Callable[..., str], small: Path) -> None:
    assert "say no normaliser; choose one with --normalizer" in refused("score", small)
    keep_spec(small, {"normalizer": "whisper_basic"}, [])
    assert "wer|whisper_basic:" in call("score", small)[1]


def test_empty_references_are_counted_apart(call: Call, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hides(fakes.Words):
        """Leaves nothing of every reference that begins as this one does."""

        name = "hides"

        def __call__(self, text: str) -> str:
            return "" if text.startswith("नमस्ते") else text

    fakes.only(monkeypatch, Hides)
    row = score(small, "hides").iloc[0]
    assert row["emptied"] == row["empty_references"] > 0
    out = call("score", small, "--normalizer", "hides")[1]
    made = f"{row['empty_references']} (+{row['empty_reference_insertions']}, {row['emptied']} made)"
    assert made in out and "empty: references without a word" in out


# --- what it refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["score", "report"])
@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("hidni", "unknown normalizer 'hidni'; did you mean 'hindi'?"),
        ("hindi[nasl=off]", "'hindi' has no option 'nasl'; did you mean 'nasal'?"),
        ("identity,hidni", "unknown normalizer 'hidni'"),
        ("hindi[nasal=off", "cannot be read"),
        ("identity,", "an empty name"),
        ("identity,identity", "named twice"),
    ],
)
def test_a_wrong_choice_is_one_line(
    refused: Callable[..., str], fake_run: Path, verb: str, choice: str, said: str
) -> None:
    out = ["--out", "report"] if verb == "report" else []
    assert said in refused(verb, fake_run, *out, "--normalizer", choice)


def test_what_cannot_be_scored_is_one_line(refused: Callable[..., str], small: Path, tmp_path: Path) -> None:
    asked = ("score", small, "--normalizer", "identity")
    assert "no finished cell begins with 'zz'" in refused(*asked, "--cell", "zz")
    assert "give one of them" in refused(*asked, "--json", "--csv", "x.csv")
    assert "cannot be written" in refused(*asked, "--csv", tmp_path / "nowhere" / "x.csv")
    assert "is not a run folder" in refused("score", tmp_path, "--normalizer", "identity")
    assert "no finished cell to score" in refused(
        "score", open_run(tmp_path / "empty", create=True), "--normalizer", "identity"
    )


@pytest.mark.parametrize("verb", ["score", "report"])
def test_a_language_without_a_normaliser_is_one_line(refused: Callable[..., str], small: Path, verb: str) -> None:
    corpus = {"name": "fake-qq", "version": "1", "language": "qq", "options": {}}
    commit(small, ok_data(spec(corpus=corpus)), 0.2, {"test": 6})
    out = ["--out", "report"] if verb == "report" else []
    line = refused(verb, small, *out, "--normalizer", "auto")
    assert all(part in line for part in ("'qq'", "default", "docs/add-a-language.md", "prunebench new normalizer"))


@pytest.mark.parametrize("verb", ["score", "report"])
def test_transcripts_of_two_decoders_in_one_table_are_one_line(
    refused: Callable[..., str], small: Path, verb: str
) -> None:
    other = ok_data(spec("imp", "prunable_nominal", 0.5)) | {"decoding": {"signature": "beam=5"}}
    cell = commit(small, other, 0.2, {"test": 6}).cell
    out = ["--out", "report"] if verb == "report" else []
    line = refused(verb, small, *out, "--normalizer", "identity")
    assert all(part in line for part in (cell, "beam=5", "greedy,max=44"))


# --- a normaliser that is broken ----------------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> str:
    fakes.only(monkeypatch, fakes.Words, fakes.Broken)
    return "normalizer 'broken' failed on utterance test-0: KeyError"


def test_score_shows_the_others(call: Call, small: Path, broken: str) -> None:
    code, out, err = call("score", small, "--normalizer", "broken,words")
    assert code == 1 and "wer|words:1" in out
    assert broken in err and "tests.fake_normalizers.Broken" in err and err.count("\n") == 1


def test_score_by_nothing_else_is_an_error(refused: Callable[..., str], small: Path, broken: str) -> None:
    assert broken in refused("score", small, "--normalizer", "broken")


@pytest.mark.parametrize(("choice", "shown"), [("broken,words", "words:1"), ("broken", "no scores")])
def test_report_leaves_its_scores_out_and_writes_all_the_rest(
    call: Call, small: Path, broken: str, choice: str, shown: str
) -> None:
    code, out, err = call("report", small, "--out", "report", "--normalizer", choice)
    assert code == 1
    assert broken in err and err.count("\n") == 1
    text = Path("report/leaderboard.md").read_text(encoding="utf-8")
    assert "dense" in text and shown in text and "Scores left out: normalizer 'broken'" in text
    assert "dense" in out and "report/leaderboard.html" in out
    assert (small / MARKER).exists() and len(list(small.glob("runs/*/*/record.json"))) == 1


def test_a_run_ends_with_its_records_and_without_scores(
    small: Path, broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``carry_out`` scores after all cells are done: a broken normaliser is code 1, and nothing is deleted."""
    from types import SimpleNamespace

    from benchmark.harness import run as harness
    from benchmark.harness import tree

    cell = next(small.glob("runs/*")).name
    path = SimpleNamespace(cell=SimpleNamespace(id=cell))
    monkeypatch.setattr(tree, "grown", lambda spec: [SimpleNamespace(cells=[path])])
    monkeypatch.setattr(harness, "run", lambda spec, **how: SimpleNamespace(failed=[]))
    asked = SimpleNamespace(profile=None, normalizer="broken", keep_artefacts="front")
    assert _flow.carry_out(asked, small, Local(), True) == 1  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert broken in said.err and "leaderboard.md" in said.out
    assert len(list(small.glob("runs/*/*/model.safetensors"))) == 1


# --- light --------------------------------------------------------------------------------------------------------


def test_scoring_never_imports_torch(fake_run: Path) -> None:
    code = (
        "import sys; from benchmark.cli.main import invoke; import benchmark\n"
        f"assert invoke(['score', {str(fake_run)!r}, '--normalizer', 'auto,default']) == 0\n"
        f"benchmark.frame({str(fake_run)!r}, normalizer='auto')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

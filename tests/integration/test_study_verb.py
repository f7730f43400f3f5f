"""``prunebench study`` from the command line on the preset ``tiny``: run, status, report, rebuild, go on, refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from benchmark.cli.main import invoke
from benchmark.harness.tree import grow
from benchmark.measure.scores import Normalised, compare, scored
from benchmark.store.records import finished, records
from studies._final import boards, dense_entry, entry
from studies._run import checked, opened, plain_board
from studies._space import trial_board
from studies._spec import StudySpec, load_study

TINY = load_study("tiny")
POINT = TINY.points()[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    assert invoke(["study", "run", "tiny", "--workers", "0", "--quiet", "--out", str(out)]) == 0
    return out


def study_of(spec: StudySpec, run: Path):
    return opened(spec, spec.points()[0], run, checked(spec, spec.points()[0]), create=False)


def written(tmp_path: Path, **changes: object) -> str:
    """Write the tiny preset with changes and return the file's name."""
    data = TINY.model_dump(mode="json", exclude_unset=True) | changes
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return str(path)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err.strip()
    assert said.startswith("prunebench: error: ") and "\n" not in said
    return said


def test_trial_0_is_the_very_cell_of_the_method_as_it_is(run: Path) -> None:
    trial = study_of(TINY, run).trials[0]
    (path,) = grow(plain_board(TINY, POINT, {"dev": 8})).cells
    assert trial.user_attrs["default"] and trial.user_attrs["cell"] == path.cell.id


def test_every_trial_has_its_record_and_its_values_are_those_of_the_transcripts(run: Path) -> None:
    study, normalised = study_of(TINY, run), Normalised("hindi")
    ended = [trial for trial in study.trials if trial.state.is_finished()]
    assert len(ended) == TINY.trials
    by_cell = {record.cell: record for record in records(run)}
    for trial in ended:
        record = by_cell[trial.user_attrs["cell"]]
        assert record.data["spec"]["corpus"]["evaluate"] == {"dev": 8}  # no trial has seen the test split
        if trial.state.name == "COMPLETE":
            assert trial.values == [scored(record, "dev", normalised).main.rate]
        else:
            assert (trial.state.name, record.data["status"]) == ("PRUNED", "pruned")
            assert [list(seen) for seen in trial.intermediate_values.items()] == record.data["watched"]["values"]


def test_the_report_says_what_best_against_default_came_to_on_test(run: Path) -> None:
    study, found = study_of(TINY, run), checked(TINY, POINT)
    text = (POINT.folder(run) / "study.md").read_text(encoding="utf-8")
    default = {one.name: one.default for one in found}
    best = study.best_trial
    assert best.number != 0  # else there is nothing to compare, and this test wants another seed
    cells = [entry(TINY, POINT, name, found, values).cells for name, values in (("d", default), ("b", best.params))]
    rates = [
        [scored(finished(run, cell), "test", Normalised("hindi")).main.rate for cell in ours.values()]  # type: ignore[arg-type]
        for ours in cells
    ]
    difference = 100 * (sum(rates[1]) - sum(rates[0])) / len(rates[0])
    assert f"{difference:+.1f}".replace("-", "−") in text or f"{difference:+.2f}".replace("-", "−") in text
    one = [scored(finished(run, ours[1]), "test", Normalised("hindi")) for ours in cells]  # type: ignore[arg-type]
    assert compare(one[1], one[0]).difference == pytest.approx(rates[1][0] - rates[0][0])
    assert len(boards([dense_entry(TINY, POINT), *(entry(TINY, POINT, "x", found, default),)])) == 1


def test_the_same_again_computes_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {record.path for record in records(run)}
    assert invoke(["study", "run", "tiny", "--workers", "0", "--quiet", "--out", str(run)]) == 0
    assert invoke(["study", "report", "tiny", "--workers", "0", "--quiet", "--out", str(run)]) == 0
    assert {record.path for record in records(run)} == before
    assert len(study_of(TINY, run).trials) == TINY.trials
    capsys.readouterr()


def test_status_counts(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["study", "status", "tiny", "--out", str(run), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["done"] == TINY.trials and told["running"] == 0
    assert invoke(["study", "status", "tiny", "--out", str(run)]) == 0
    assert "tiny-study" in capsys.readouterr().out


def test_a_lost_storage_is_rebuilt_from_records(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = study_of(TINY, run)
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    assert invoke(["study", "rebuild", "tiny", "--out", str(copy)]) == 2  # it is there
    assert "already" in one_line(capsys)
    (copy / "studies" / "journal.log").unlink()
    assert invoke(["study", "rebuild", "tiny", "--out", str(copy)]) == 0
    new = study_of(TINY, copy)
    assert [(t.params, t.values, t.state, t.intermediate_values) for t in new.trials] == [
        (t.params, t.values, t.state, t.intermediate_values) for t in old.trials
    ]


def test_another_study_in_the_same_folder_pays_for_no_cell_twice(run: Path, tmp_path: Path) -> None:
    source = written(tmp_path, name="again", trials=1, test=None)
    assert invoke(["study", "run", source, "--workers", "0", "--quiet", "--out", str(run)]) == 0
    (trial,) = study_of(load_study(source), run).trials
    assert trial.user_attrs["reused"] and trial.user_attrs["steps_trained"] == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives": ["error", "bytes"], "pruner": None}, "directions"),
        ({"search": ["alpha", "rho"]}, "space"),
        ({"tune": {"split": "dev", "utterances": 9}}, "spec"),
    ],
)
def test_a_study_of_that_name_that_means_something_else_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], said: str
) -> None:
    before = sorted(run.rglob("*"))
    code = invoke(["study", "run", written(tmp_path, **changes), "--workers", "0", "--quiet", "--out", str(run)])
    assert code == 2 and said in one_line(capsys) and sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"search": ["alpa"]}, "did you mean 'alpha'?"),
        ({"search": {"alpha": {"low": 0.5, "high": 0.5}}}, "empty"),
        ({"objectives": ["eror"], "pruner": None}, "did you mean 'error'?"),
        ({"storage": {"url": "mongodb://somewhere"}}, "known are"),
        ({"tune": {"split": "test", "utterances": 8}}, "never sees a test split"),
        ({"sampler": {"name": "TPESamler"}}, "did you mean 'TPESampler'?"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], said: str
) -> None:
    out = tmp_path / "out"
    code = invoke(["study", "run", written(tmp_path, **changes), "--workers", "0", "--quiet", "--out", str(out)])
    assert code == 2 and said in one_line(capsys) and not out.exists()


def test_thresholds_alone_train_the_regularised_model_once(tmp_path: Path) -> None:
    """With all training before the pruning, later trials train nothing; with some after it, only that."""
    for split, after in ((1.0, 0), (0.5, 3)):
        method = {"name": "sgl_adaptive", "options": {"split": split}}
        changes = {"name": f"s{after}", "methods": [method], "budget": "none", "keep": [], "search": ["alpha", "rho"]}
        source = written(tmp_path, **changes, pruner=None, test=None)
        out = tmp_path / f"out{after}"
        assert invoke(["study", "run", source, "--workers", "0", "--quiet", "--out", str(out)]) == 0
        spec = load_study(source)
        spent = [trial.user_attrs["steps_trained"] for trial in study_of(spec, out).trials]
        assert spent == [6, after, after]
        cells = {trial.user_attrs["cell"] for trial in study_of(spec, out).trials}
        assert len(cells) == 3
    values = {one.name: one.default for one in checked(TINY, POINT)}
    assert trial_board(TINY, POINT, checked(TINY, POINT), values).seeds == [0]


def test_tune_all_puts_the_best_of_each_on_one_leaderboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"name": "all", "methods": ["l1_group", "random_structured"], "search": None, "trials": 2}
    source, out = written(tmp_path, **changes, pruner=None), tmp_path / "out"
    assert invoke(["study", "run", source, "--out", str(out)]) == 2
    assert "tune-all" in one_line(capsys) and not out.exists()
    assert invoke(["study", "tune-all", source, "--workers", "0", "--quiet", "--out", str(out)]) == 0
    board = (out / "tuned" / "leaderboard.md").read_text(encoding="utf-8")
    assert board.count("l1_group, tuned") == board.count("random_structured, tuned") == 1  # one row over both seeds
    assert "| seeds |" in board
    assert "dense" in board and board.count("\n## nano-hi") == 1  # one board, though learning rates differ
    table = (out / "tuned" / "comparison.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 3 and "tuned % on test" in table[0]
    for name in ("l1_group", "random_structured"):
        assert (out / "studies" / f"all.{name}.stored-0.6" / "study.md").is_file()

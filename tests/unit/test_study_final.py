"""What is tested at the end of a study, what a test can be compared with, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from benchmark.errors import StoreError
from benchmark.harness.tree import grow
from benchmark.measure.scores import Normalised
from benchmark.reading import parse_as
from benchmark.store.folders import open_run
from benchmark.store.records import Attempt, Record
from studies import _final
from studies._final import FRONT, TESTED, best_trials, dense_entry, difference, entry, outcome, remember
from studies._report import write_study
from studies._space import default_values, space
from studies._spec import Point, StudySpec
from studies._tune_all import Winner, comparison, title, told
from tests.fake_runs import sentences, spoil

N = 40
DONE: dict[str, Any] = {"status": "ok", "error": None, "plan": {"nominal": 0.5}, "counts": {"bytes": 1}, "budget": {}}
ALPHA = FloatDistribution(0.0, 1.0)


def spec(**changes: Any) -> StudySpec:
    data: dict[str, Any] = {
        "name": "tried",
        "methods": ["sgl_adaptive"],
        "budget": "prunable_stored",
        "keep": [0.5],
        "search": ["alpha"],
        "pruner": None,
        "trials": 3,
        "test": {"splits": {"test": N}, "seeds": [1, 2]},
        "normalizer": "identity",
    }
    return parse_as(StudySpec, {**data, **changes}, "a test")


def of_one_seed(**changes: Any) -> StudySpec:
    return spec(test={"splits": {"test": N}, "seeds": [1]}, **changes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return open_run(tmp_path / "run", create=True)


def put(run: Path, one: _final.Entry, error: float, digest: str = "x") -> list[Record]:
    """Commit results of an entry, with transcripts of about that error."""
    found = []
    for path in grow(one.board).cells:
        about = path.cell.identity()
        attempt = Attempt.create(run, path.cell.id, about)
        texts = sentences("test", N)
        columns = {
            "id": [str(number) for number in range(N)],
            "reference": texts,
            "hypothesis": spoil(texts, error, np.random.default_rng(path.cell.seed)),
        }
        name = attempt.write_transcripts("synthetic-hi", "hi", "test", columns)
        data = {"test": {"hash": digest, "utterances": N, "transcripts": name}}
        found.append(attempt.commit({**DONE, "spec": about, "data": data}))
    return found


def entries(asked: StudySpec, alphas: Sequence[float]) -> list[_final.Entry]:
    """Return dense, the default, and a configuration an alpha."""
    point = asked.points()[0]
    found = space(asked, point)
    default = default_values(found)
    assert default is not None
    some = [entry(asked, point, f"trial {n}", found, default | {"alpha": alpha}) for n, alpha in enumerate(alphas, 1)]
    return [dense_entry(asked, point), entry(asked, point, "default", found, default), *some]


def made(run: Path, asked: StudySpec, errors: Sequence[float]) -> list[_final.Tested]:
    """Return entries that were tested and came to about these errors."""
    some = entries(asked, [0.3 + 0.05 * n for n in range(len(errors) - 2)])
    return [
        _final.Tested(one, {record.data["spec"]["seed"]: record for record in put(run, one, error)}, "")
        for one, error in zip(some, errors, strict=True)
    ]


def study_of(asked: StudySpec, values: Sequence[Sequence[float]], **more: Any) -> optuna.Study:
    study = optuna.create_study(study_name=asked.points()[0].name, directions=asked.directions)
    add(study, values, **more)
    return study


def add(study: optuna.Study, values: Sequence[Sequence[float]], **more: Any) -> None:
    for number, told_values in enumerate(values):
        params: Any = {"params": {"alpha": 0.1 + number / 100}, "distributions": {"alpha": ALPHA}}
        study.add_trial(create_trial(values=list(told_values), **params, **more))


def report(study: optuna.Study, asked: StudySpec, folder: Path, final: Mapping[str, Any] | None) -> str:
    write_study(study, asked, folder, final=final)
    return (folder / "study.md").read_text(encoding="utf-8")


# --- what can be compared ---------------------------------------------------------------------------------------------


def test_a_seed_without_a_record_is_a_failure(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = entries(spec(), [])
    records = [record for one in some for record in put(run, one, 0.2)]
    lost = records.pop()
    monkeypatch.setattr("benchmark.harness.run.run", lambda *_, **__: SimpleNamespace(records=records))
    dense, default = _final.test(some, run, workers=0, quiet=True)
    assert dense.ok and set(dense.records) == {1, 2}
    assert not default.ok and default.failure == f"seed {lost.data['spec']['seed']}: no record"


def test_tests_on_different_data_are_not_compared(run: Path) -> None:
    dense, default = entries(spec(), [])
    a, b = (
        _final.Tested(one, {record.data["spec"]["seed"]: record for record in put(run, one, 0.2, digest)}, "")
        for one, digest in ((dense, "first"), (default, "other"))
    )
    assert difference(a, a, "test", Normalised("identity")).difference == 0
    with pytest.raises(StoreError, match=r"cannot be paired: their 'test' data differ \(hash first and other\)"):
        difference(a, b, "test", Normalised("identity"))


# --- what is chosen ---------------------------------------------------------------------------------------------------


def test_what_is_tested_is_what_is_reported(tmp_path: Path) -> None:
    asked = spec()
    study = study_of(asked, [[0.3], [0.2], [0.2], [0.4]])
    study.add_trial(
        create_trial(values=[0.1], params={"alpha": 0.5}, distributions={"alpha": ALPHA}, constraints={"bytes": 1.0})
    )
    study.add_trial(
        create_trial(state=TrialState.PRUNED, values=[0.0], params={"alpha": 0.5}, distributions={"alpha": ALPHA})
    )
    assert [trial.number for trial in best_trials(study)] == [1]  # the earlier of equal ones
    assert "Best trial 1:" in report(study, asked, tmp_path, None)
    assert best_trials(study_of(asked, [])) == []


def test_of_a_long_front_some_are_tested_with_both_ends() -> None:
    asked = spec(objectives=["error", "bytes"])
    study = study_of(asked, [[number / 100, 100.0 - number] for number in range(20)])
    numbers = [trial.number for trial in best_trials(study)]
    assert len(numbers) == FRONT and (numbers[0], numbers[-1]) == (0, 19)


# --- when it was tested -----------------------------------------------------------------------------------------------


def test_a_study_remembers_its_tests_by_its_finished_trials_and_says_so(run: Path, tmp_path: Path) -> None:
    asked = spec()
    study = study_of(asked, [[0.3], [0.2], [0.4]])
    final = outcome(asked, made(run, asked, [0.05, 0.3, 0.2]), "trial 1")
    study.add_trial(create_trial(state=TrialState.FAIL, params={"alpha": 0.5}, distributions={"alpha": ALPHA}))  # lost
    assert remember(study) == remember(study) == study.user_attrs[TESTED] == [3]  # a report made again is no new test
    assert "The test was made once, after the last trial." in report(study, asked, tmp_path, final)
    add(study, [[0.5], [0.6]])
    said = "It was tested before, after 3 trials, and went on: that test was seen."
    assert f"No test: it has not been made yet. {said}" in report(study, asked, tmp_path, None)
    assert remember(study) == [3, 5]
    text = report(study, asked, tmp_path, final)
    assert said in text and "made once" not in text


def test_what_was_rebuilt_does_not_know_of_earlier_tests(run: Path, tmp_path: Path) -> None:
    asked = spec()
    study = study_of(asked, [[0.3], [0.2]], user_attrs={"rebuilt": True})
    final = outcome(asked, made(run, asked, [0.05, 0.3, 0.2]), "trial 1")
    remember(study)
    text = report(study, asked, tmp_path, final)
    assert "Whether it was tested before is not known" in text and "made once" not in text


# --- what is said of it -----------------------------------------------------------------------------------------------


def test_one_seed_says_nothing_of_others(run: Path, tmp_path: Path) -> None:
    for asked, said in (
        (of_one_seed(), "paired resamples of utterances only, which says nothing of other seeds."),
        (spec(), "paired resamples of utterances and seeds, crossed."),
    ):
        study = study_of(asked, [[0.3], [0.2]])
        final = outcome(asked, made(run, asked, [0.05, 0.3, 0.2]), "trial 1")
        assert said in report(study, asked, tmp_path, final)


def test_a_front_is_corrected_for_the_number_of_its_trials(run: Path, tmp_path: Path) -> None:
    asked = spec(objectives=["error", "bytes"])
    final = outcome(asked, made(run, asked, [0.05, 0.3, 0.1, 0.5, 0.3]), None)
    _, default, *trials = final["entries"]
    assert "difference" not in default and "p_holm" not in final["entries"][0]["difference"]
    gains = [one["difference"] for one in trials]
    raw = [gain["p"] for gain in gains]
    assert min(raw) < 0.05 and [gain["p_holm"] for gain in gains] == _final.holm(raw).tolist()
    assert any(gain["p_holm"] > gain["p"] for gain in gains)
    study = study_of(asked, [[0.1, 2.0]])
    assert "p corrected for 3 trials of the front (Holm)" in report(study, asked, tmp_path, final)
    gains[0]["p_holm"] = 0.06  # an interval beside zero does not do
    text = report(study, asked, tmp_path, final)
    assert "of 3 trials of the front, by their errors alone: 1 more errors than the default, 2 no difference" in text


def winner(run: Path, asked: StudySpec, point: Point, errors: tuple[float, float], before: list[int]) -> Winner:
    _, default, tuned = made(run, asked, [0.05, *errors])
    (best,) = best_trials(study_of(asked, [[0.2]]))
    return Winner(point, 3, best, default, tuned, before)


def test_equal_tuning_is_corrected_and_says_what_it_is(run: Path) -> None:
    asked = spec()
    (point,) = asked.points()
    wins = [winner(run, asked, point, errors, []) for errors in ((0.3, 0.1), (0.3, 0.25), (0.3, 0.3))]
    failed = Winner(point, 3, wins[0].best, _final.Tested(wins[0].default.entry, {}, "no memory"), wins[0].tuned, [])
    table = comparison(asked, [*wins, failed])
    done = table[table["p"].notna()]
    assert len(done) == 3 and done["p corrected"].tolist() == _final.holm(done["p"]).tolist()
    assert [row["p"] for row in told(table, "test")].count("–") == 1
    said = title(asked, table)
    assert "utterances and seeds), p corrected over the rows (Holm), intervals not. Dense is not tuned" in said
    assert "tested before" not in said
    again = comparison(asked, [winner(run, asked, point, (0.3, 0.1), [3, 4])])
    assert title(asked, again).endswith("tried was tested before, after 3 and 4 trials, and went on.")
    one = of_one_seed()
    assert "which says nothing of other seeds" in title(one, comparison(one, [winner(run, one, point, (0.3, 0.1), [])]))

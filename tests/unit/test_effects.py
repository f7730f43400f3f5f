"""Effects of an ablation against naive loops over resamples, seeds and utterances; failures keep their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import StoreError
from benchmark.harness.tree import CellPath
from benchmark.measure.bootstrap import indices
from benchmark.reading import parse_as
from benchmark.store.folders import open_run
from benchmark.store.records import Attempt
from benchmark.text.chosen import chosen
from studies._ablate import Planned, planned
from studies._ablation import AblationSpec
from studies._effects import effects, holm
from tests.fake_runs import ok_data, sentences, spoil

COUNT, RESAMPLES = 30, 120
SPLIT = "test"
Texts = list[str]


def plan(**changes: Any) -> Planned:
    data = {
        "method": "sgl_adaptive",
        "points": [{"budget": "prunable_stored", "keep": 0.5}],
        "factors": [
            {"name": "penalty", "full": "on", "levels": {"off": {"strength": 0}, "ten times": {"strength": 3e-4}}},
            {"name": "score", "full": "hindi", "levels": {"as it is": {"normalizer": "identity"}}},
        ],
        "normalizer": "hindi",
        **changes,
    }
    return planned(parse_as(AblationSpec, data, "a test"))


def put(run: Path, path: CellPath, error: float, salt: str = "") -> tuple[Texts, Texts]:
    """Commit a result of about that error rate; return references and hypotheses."""
    spec = path.cell.identity()
    data = ok_data(spec, stored=0.5 + path.cell.seed / 100, nominal=0.4)
    attempt = Attempt.create(run, path.cell.id, spec)
    texts = [f"पांच {text} ।" for text in sentences(SPLIT, COUNT)]  # hindi: the word is पाँच, and a danda none
    said = spoil(texts, error, np.random.default_rng(int(path.cell.id[:8], 16)))
    said = [text.replace("पांच", "पाँच") if number % 3 else text for number, text in enumerate(said)]
    columns = {"id": [str(number) for number in range(COUNT)], "reference": texts, "hypothesis": said}
    name = attempt.write_transcripts("fake", "hi", SPLIT, columns)
    data["data"][SPLIT] = {"hash": f"data{salt}", "utterances": COUNT, "transcripts": name}
    attempt.commit(data)
    return texts, said


def fail(run: Path, path: CellPath, message: str) -> None:
    spec = path.cell.identity()
    error = {"type": "BudgetMissedError", "message": message}
    Attempt.create(run, path.cell.id, spec).commit({"status": "failed", "error": error, "spec": spec})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return open_run(tmp_path / "run", create=True)


def edits(reference: str, hypothesis: str) -> int:
    """Word errors by the textbook's table."""
    left, right = reference.split(), hypothesis.split()
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        above, row = row, [i]
        for j, b in enumerate(right, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
    return row[-1]


def counted(texts: list[tuple[Texts, Texts]], normalizer: str) -> list[list[tuple[int, int]]]:
    """Return, for each seed and utterance, its errors and its reference's words."""
    normalise = chosen(normalizer)
    return [
        [(edits(normalise(a), normalise(b)), len(normalise(a).split())) for a, b in zip(*one, strict=True)]
        for one in texts
    ]


def naive_rate(counts: list[list[tuple[int, int]]], seeds: Any, utterances: Any) -> float:
    errors = words = 0
    for seed in seeds:
        for n in utterances:
            errors, words = errors + counts[seed][n][0], words + counts[seed][n][1]
    return errors / words


def draws(seeds: int) -> Iterator[tuple[Any, Any]]:
    of_seeds = np.concatenate(list(indices(seeds, RESAMPLES, (0, seeds))))
    yield from zip(of_seeds, np.concatenate(list(indices(COUNT, RESAMPLES, 0))), strict=True)


def check(row: pd.Series, difference: Callable[[Any, Any], float], seeds: int = 3) -> None:
    """Compare a row's difference, interval, p and share with those of a naive function of a resample."""
    observed = difference(range(seeds), range(COUNT))
    values = np.array([difference(*drawn) for drawn in draws(seeds)])
    assert row["difference"] == pytest.approx(observed, abs=1e-12)
    assert (row["lo"], row["hi"]) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=1e-12)
    assert row["p"] == pytest.approx((sum(abs(values - observed) >= abs(observed) - 1e-12) + 1) / (RESAMPLES + 1))
    assert row["worse"] == pytest.approx(np.mean(values > 1e-12))


def test_one_at_a_time_equals_naive_loops(run: Path) -> None:
    made = plan()
    texts = [
        [put(run, path, error + 0.02 * path.cell.seed) for path in paths]
        for paths, error in zip(made.cells[:3], (0.2, 0.3, 0.25), strict=True)
    ]
    full, *others = (counted(one, "hindi") for one in texts)
    as_it_is = counted(texts[0], "identity")
    found = effects(made, run, resamples=RESAMPLES)
    assert found["what"].tolist() == ["full", "arm", "arm", "arm"]
    assert found["arm"].tolist() == ["full method", "penalty: off", "penalty: ten times", "score: as it is"]
    assert found["status"].eq("ok").all()
    for place, arm in enumerate(others, 1):
        row = found.iloc[place]
        check(row, lambda s, n, arm=arm: naive_rate(arm, s, n) - naive_rate(full, s, n))
        rates = [naive_rate(arm, [seed], range(COUNT)) for seed in range(3)]
        assert (row["rate"], row["lowest"], row["highest"]) == pytest.approx((np.mean(rates), min(rates), max(rates)))
        assert row["signature"] == found["signature"][0]
    other = found[found["arm"] == "score: as it is"].iloc[0]
    check(other, lambda s, n: naive_rate(as_it_is, s, n) - naive_rate(full, s, n))
    assert other["difference"] > 0
    assert "identity" in other["signature"]
    assert found["p_holm"].tolist()[1:] == holm(found["p"].tolist()[1:]).tolist()
    assert found["stored"].tolist() == pytest.approx([0.51] * 4)
    assert found["nominal"].tolist() == pytest.approx([0.4] * 4)
    assert found["steps"].tolist() == [120] * 4
    assert found["macs"].notna().all()
    assert np.isnan(found["difference"][0])
    about = found.attrs
    assert (about["split"], about["utterances"], about["seeds"], about["resamples"]) == (SPLIT, COUNT, [0, 1, 2], 120)


FACTORS = [
    {"name": "penalty", "full": "on", "levels": {"off": {"strength": 0}}},
    {"name": "split", "full": "half", "levels": {"early": {"split": 0.3}, "late": {"split": 0.7}}},
]


def test_main_effects_equal_naive_loops(run: Path) -> None:
    made = plan(design="factorial", factors=FACTORS, seeds=[0, 1])
    errors = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
    counts = {
        arm.changed: counted([put(run, path, error) for path in paths], "hindi")
        for arm, paths, error in zip(made.arms, made.cells, errors, strict=True)
    }
    found = effects(made, run, resamples=RESAMPLES)
    assert found["what"].tolist() == ["full", *["arm"] * 5, *["main"] * 3]
    main = found[found["what"] == "main"].set_index("arm")
    assert set(main.index) == {"split: early", "split: late", "penalty: off"}

    def mean_of(pairs: list[tuple[Any, Any]], s: Any, n: Any) -> float:
        each = [naive_rate(counts[a], s, n) - naive_rate(counts[b], s, n) for a, b in pairs]
        return sum(each) / len(each)

    off, early, late = ("penalty", "off"), ("split", "early"), ("split", "late")
    pairs = {
        "penalty: off": [((off,), ()), ((off, early), (early,)), ((off, late), (late,))],
        "split: early": [((early,), ()), ((off, early), (off,))],
        "split: late": [((late,), ()), ((off, late), (off,))],
    }
    for name, some in pairs.items():
        check(main.loc[name], lambda s, n, some=some: mean_of(some, s, n), seeds=2)
    assert main["p_holm"].tolist() == holm(main["p"]).tolist()


def test_a_failed_arm_stays_with_its_reason(run: Path) -> None:
    made = plan()
    for path in made.cells[0]:
        put(run, path, 0.1)
    for path in made.cells[1][:2]:
        put(run, path, 0.2)
    fail(run, made.cells[1][2], "reached 0.7")
    found = effects(made, run, resamples=50)
    assert found["status"].tolist() == ["ok", "failed", "missing", "ok"]
    assert found["reason"][1] == "1 of 3 seeds: BudgetMissedError: reached 0.7"
    assert found["reason"][2] == "3 of 3 seeds: not carried out yet"
    assert found.loc[[1, 2], ["rate", "difference", "lo", "hi", "p", "p_holm", "stored"]].isna().all(axis=None)
    assert found["p_holm"][3] == found["p"][3]  # one arm was tested: nothing to correct


def test_without_the_full_method_there_are_rates_and_no_differences(run: Path) -> None:
    made = plan()
    for path in made.cells[1]:
        put(run, path, 0.2)
    fail(run, made.cells[0][0], "no luck")
    found = effects(made, run, resamples=50)
    assert found["status"].tolist() == ["failed", "ok", "missing", "failed"]
    assert found["rate"].notna().tolist() == [False, True, False, False]
    assert found["difference"].isna().all()
    assert "nothing to compare with: the full method failed (1 of 3 seeds: " in found["reason"][1]


def test_a_main_effect_without_all_its_arms_has_no_number(run: Path) -> None:
    made = plan(design="factorial", factors=FACTORS, seeds=[0])
    for arm, paths in zip(made.arms, made.cells, strict=True):
        if arm.changed == (("penalty", "off"), ("split", "late")):
            fail(run, paths[0], "no luck")
        else:
            put(run, paths[0], 0.2)
    found = effects(made, run, resamples=50).set_index(["what", "arm"])
    states = found.loc["main", "status"].to_dict()
    assert states == {"penalty: off": "failed", "split: early": "ok", "split: late": "failed"}
    said = found.loc[("main", "split: late"), "reason"]
    assert said == "arm penalty: off + split: late failed: 1 of 1 seeds: BudgetMissedError: no luck"
    assert np.isfinite(found.loc[("main", "split: early"), "difference"])


def test_other_test_data_are_refused(run: Path) -> None:
    made = plan(seeds=[0])
    put(run, made.cells[0][0], 0.1)
    put(run, made.cells[1][0], 0.1, salt="x")
    with pytest.raises(StoreError, match="cannot be paired: their 'test' data differ"):
        effects(made, run, resamples=50)


def test_holm_is_the_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]).tolist() == [1.0, 1.0]
    assert holm([]).size == 0


def test_what_was_not_tested_does_not_count_in_holm() -> None:
    nan = float("nan")
    corrected = holm([0.01, nan, 0.04, nan])
    assert [corrected[0], corrected[2]] == pytest.approx([0.02, 0.04]) and np.isnan([corrected[1], corrected[3]]).all()


def test_holm_is_never_below_and_keeps_the_order() -> None:
    p = np.random.default_rng(3).random(20) ** 3
    corrected = holm(p.tolist())
    assert all(c >= raw for c, raw in zip(corrected, p, strict=True))
    assert all(a <= b for a, b in pairwise(np.array(corrected)[p.argsort()]))


def test_holm_rejects_what_stepping_down_rejects() -> None:
    p = np.random.default_rng(3).random(20) ** 3
    corrected = np.array(holm(p.tolist()))
    found = []
    for level in (0.01, 0.05, 0.3, 0.8):  # from none to most of them
        rejected = 0
        for at, value in enumerate(sorted(p)):
            if value > level / (20 - at):
                break
            rejected += 1
        found.append(rejected)
        assert set(p[corrected <= level]) == set(sorted(p)[:rejected])
    assert len(set(found)) > 2

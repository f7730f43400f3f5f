"""Entries over seeds and speakers, their ranks, filters and gaps, against naive loops."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import StoreError
from benchmark.harness.gaps import asked
from benchmark.measure.alignment import Distances
from benchmark.measure.bootstrap import grouped, paired_over_seeds, rates_over_seeds, speakers_to_draw
from benchmark.measure.multiple import holm
from benchmark.store.comparing import RESAMPLES, Entries, Rates, bounds
from benchmark.store.entries import entries
from benchmark.store.filters import Filter
from benchmark.store.folders import keep_spec, open_run
from benchmark.store.frame import frame
from benchmark.store.front import non_dominated
from tests.fake_runs import Plain, commit, fail, ok_data, spec

SEEDS, UTTERANCES = 3, 60
SHARES = {"a": 0.1, "b": 0.13, "c": 0.3, "d": 0.31}


@pytest.fixture(scope="module")
def counted() -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Errors (seeds, utterances) by entry, lengths, speakers."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(3, 12, UTTERANCES)
    errors = {name: rng.binomial(lengths, share, (SEEDS, UTTERANCES)) for name, share in SHARES.items()}
    return errors, lengths, [f"s{number % 7}" for number in range(UTTERANCES)]


def made(errors: dict[str, np.ndarray], lengths: np.ndarray, speakers: list[str] | None) -> Entries:
    cells = [f"{name}{seed}" for name in errors for seed in range(SEEDS)]
    rates = Rates.of(cells, [Distances(row, lengths) for some in errors.values() for row in some], speakers)
    return Entries(rates, {name: {seed: f"{name}{seed}" for seed in range(SEEDS)} for name in errors})


@pytest.mark.parametrize("by_speaker", [False, True])
def test_differences_and_ranks_are_those_of_the_pairwise_functions(
    counted: tuple[dict[str, np.ndarray], np.ndarray, list[str]], by_speaker: bool
) -> None:
    errors, lengths, speakers = counted
    found = made(errors, lengths, speakers if by_speaker else None)
    if by_speaker:
        stacked, lengths = grouped(np.stack(list(errors.values())), lengths, speakers)
        errors = dict(zip(errors, stacked, strict=True))
    pairs = list(combinations(errors, 2))
    naive = [paired_over_seeds(errors[b], errors[a], lengths, RESAMPLES) for a, b in pairs]
    for (a, b), one in zip(pairs, naive, strict=True):
        (difference,), (p,) = found.differences(a, [b])
        assert (difference, p) == pytest.approx((one.difference, one.p))
    corrected = holm([one.p for one in naive])
    ranks = dict.fromkeys(errors, 1)
    for (a, b), one, p in zip(pairs, naive, corrected, strict=True):
        if p < 0.05:
            ranks[b if one.difference > 0 else a] += 1
    assert found.ranks(list(errors)) == ranks
    assert ranks["d"] > 1 and ranks["a"] == 1
    resampled = rates_over_seeds(errors["c"][None], lengths, RESAMPLES, 0)[0]
    assert bounds(found.mean("c")[1]) == pytest.approx(np.quantile(resampled, (0.025, 0.975)))


def test_entries_are_compared_over_the_seeds_that_both_have(
    counted: tuple[dict[str, np.ndarray], np.ndarray, list[str]],
) -> None:
    errors, lengths, _ = counted
    whole = made(errors, lengths, None)
    few = Entries(whole.rates, whole.members | {"b": {2: "b2"}, "c": {7: "c1"}})
    (difference, alone), (p, none) = few.differences("a", ["b", "c"])
    expected = paired_over_seeds(errors["b"][2:], errors["a"][2:], lengths, RESAMPLES)
    assert (difference, p) == pytest.approx((expected.difference, expected.p))
    assert np.isnan([alone, none]).all()
    assert few.ranks(["c", "b"]) == {"c": 1, "b": 1}  # nothing to compare over


def test_what_is_equally_good_is_equal_whatever_the_order_of_seeds() -> None:
    lengths = np.array([5000, 286])
    totals = {"a": (17, 12, 40), "b": (12, 40, 17), "c": (40, 17, 12), "d": (23, 23, 23), "e": (17, 12, 41)}
    assert len({np.mean(np.array(some) / 5286) for some in totals.values()}) > 2  # the mean of fractions
    errors = {name: np.array([some, (0, 0, 0)]).T for name, some in totals.items()}
    found = made(errors, lengths, None)
    means = {name: found.mean(name)[0] for name in errors}
    assert means == pytest.approx({name: sum(some) / 3 / 5286 for name, some in totals.items()})
    assert means["a"] == means["b"] == means["c"] == means["d"] < means["e"]
    assert found.mean("d", (1,))[0] == means["d"]
    assert non_dominated(np.ones(5), np.array(list(means.values()))).tolist() == [True] * 4 + [False]
    dense = {f"a{seed}": f"b{seed}" for seed in range(SEEDS)}
    delta = found.to_dense("a", dense)
    assert delta is not None and delta[0] == 0


def test_speakers_are_summed_whole() -> None:
    errors, lengths = np.arange(12).reshape(2, 6), np.array([1, 2, 3, 4, 5, 6])
    names = ["b", "a", "b", "c", "a", "a"]
    sums, whole = grouped(errors, lengths, names)
    for at, name in enumerate("abc"):
        ours = [number for number, one in enumerate(names) if one == name]
        assert sums[:, at].tolist() == errors[:, ours].sum(axis=1).tolist()
        assert whole[at] == lengths[ours].sum()
    with pytest.raises(ValueError, match="5 groups for 6"):
        grouped(errors, lengths, names[:5])
    assert speakers_to_draw(list("abcdab")) is None and speakers_to_draw(None) is None
    assert speakers_to_draw(list("abcde")) == list("abcde")


# --- frames -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = open_run(tmp_path_factory.mktemp("seeds") / "run", create=True)
    for seed in (0, 1, 2):
        commit(run, ok_data(spec(seed=seed)), 0.05, {"test": 40})
        commit(run, ok_data(spec("imp", "prunable_nominal", 0.5, seed=seed)), 0.06, {"test": 40})
        if seed < 2:
            commit(run, ok_data(spec("random", "prunable_nominal", 0.5, seed=seed)), 0.9, {"test": 40})
    fail(run, spec("random", "prunable_nominal", 0.5, seed=2), "too far")
    return run


@pytest.fixture(scope="module")
def table(run: Path) -> pd.DataFrame:
    return frame(run, normalizer=Plain())


def test_an_entry_is_the_mean_of_its_cells(table: pd.DataFrame) -> None:
    whole = entries(table).set_index("method")
    assert len(whole) == 3 and not any("_mean" in str(name) for name in whole)
    for method, rows in table[table["status"] == "ok"].groupby("method"):
        one = whole.loc[method]
        assert one["test_wer"] == pytest.approx(rows["test_wer"].mean())
        assert one["test_wer_sd"] == pytest.approx(rows["test_wer"].std())
        assert (one["test_wer_min"], one["test_wer_max"]) == (rows["test_wer"].min(), rows["test_wer"].max())
        assert one["test_wer_lo"] <= one["test_wer"] <= one["test_wer_hi"]
        assert one["cells"].split(",") == rows["cell"].tolist()
        assert one["params_nominal"] == pytest.approx(rows["params_nominal"].mean())
    assert whole.loc["random", ["seeds", "failed", "missing"]].tolist() == [2, 1, 0]
    assert whole.loc["random", "status"] == "ok" and "too far" in whole.loc["random", "error"]
    assert whole["rank"].dropna().to_dict() == {"imp": 1, "random": 2}
    assert whole.loc["dense", "seed_list"] == "0,1,2"


def test_worse_by_less_than_a_margin(run: Path) -> None:
    delta = entries(frame(run, normalizer=Plain())).set_index("method")["test_wer_delta_hi"]["imp"]
    for margin, shown in ((delta + 1e-6, True), (delta - 1e-6, False)):
        found = entries(frame(run, normalizer=Plain(), margin=margin)).set_index("method")
        assert bool(found.loc["imp", "non_inferior"]) is shown
        assert pd.isna(found.loc["dense", "non_inferior"])


def test_filters_keep_what_they_mean(run: Path) -> None:
    assert set(frame(run, where=Filter(methods=("imp",), seeds=(0, 2)))["seed"]) == {0, 2}
    assert len(frame(run, where=Filter(models=("fake-nano",), corpora=("fake-hi",), languages=("hi",)))) == 9
    digest = frame(run)["test_hash"].dropna().iloc[0]
    assert len(frame(run, where=Filter(data=(digest[:6],)))) == 9  # what failed has no data, and is not lost
    with pytest.raises(StoreError, match=r"of method 'impp'; there are: dense, imp, random"):
        frame(run, where=Filter(methods=("impp",)))
    with pytest.raises(StoreError, match="of seed 7; there are: 0, 1, 2"):
        frame(run, where=Filter(seeds=(7,)))


def test_dense_stays_beside_the_methods_that_are_asked_for(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    other = {"model": {"name": "other", "revision": "1", "options": {}}}
    for cell in (
        *(spec(), spec("imp", "prunable_nominal", 0.5), spec("random", "prunable_nominal", 0.5)),
        *(spec(method={"name": "dense", "options": {"decay": 0.1}}), spec("dense", "prunable_nominal", 0.5)),
        *(spec(**other), spec("random", "prunable_nominal", 0.5, **other), spec(seed=1), spec("random", seed=1)),
    ):
        commit(run, ok_data(cell), 0.2)

    def kept(**asked: Any) -> list[tuple[Any, ...]]:
        rows = frame(run, where=Filter(**asked)).fillna({"keep": 1})
        return sorted(zip(rows["label"], rows["keep"], rows["model"], rows["seed"], strict=True))

    nano = "fake-nano"
    assert kept(methods=("imp",), yardstick=False) == [("imp", 0.5, nano, 0)]
    assert kept(methods=("imp",)) == [("dense", 1, nano, 0), ("dense", 1, nano, 1), ("imp", 0.5, nano, 0)]
    assert kept(methods=("imp",), seeds=(0,)) == [("dense", 1, nano, 0), ("imp", 0.5, nano, 0)]
    assert kept(methods=("random",), models=("other",)) == [("dense", 1, "other", 0), ("random", 0.5, "other", 0)]
    with pytest.raises(StoreError, match="of method 'imp'; there are: dense, random"):
        kept(methods=("imp",), seeds=(1,))  # dense alone is not what was asked for
    rows = frame(run, Plain(), where=Filter(methods=("imp",), seeds=(0,))).set_index("label")["test_wer"]
    delta = frame(run, Plain(), where=Filter(methods=("imp",))).set_index("label")["test_wer_delta"]
    assert delta["imp"] == pytest.approx(rows["imp"] - rows["dense"])


def test_cells_that_were_asked_for_and_are_not_there_are_gaps(run: Path) -> None:
    wanted = {"0" * 16: spec("imp", "prunable_nominal", 0.25), "f" * 16: spec("imp", "prunable_nominal", 0.5, seed=5)}
    found = frame(run, normalizer=Plain(), asked=wanted)
    assert found["status"].value_counts().to_dict() == {"ok": 8, "failed": 1, "missing": 2}
    whole = entries(found)
    gap = whole[whole["keep"] == 0.25].squeeze()
    assert gap["status"] == "missing" and gap["seeds"] == 0 and gap["missing"] == 1
    half = whole[whole["label"].eq("imp") & whole["keep"].eq(0.5)].squeeze()
    assert half["status"] == "ok" and half["missing"] == 1 and half["seeds"] == 3


def test_gaps_come_from_the_specs_of_a_run(tmp_path: Path) -> None:
    from benchmark.harness.tree import grown
    from benchmark.spec_files import load_spec

    run = open_run(tmp_path / "run", create=True)
    tiny = load_spec("tiny")
    ids = [path.cell.id for tree in grown(tiny) for path in tree.cells]
    keep_spec(run, tiny.model_dump(mode="json"), [*ids, "0" * 16])
    problems: list[str] = []
    assert asked([run], problems).keys() == set(ids)
    assert len(problems) == 1 and "1 cell(s) that the leaderboard" in problems[0]

"""What ``prunebench recommend`` chooses and how sure that is, against naive loops; what a limit is."""

from __future__ import annotations

from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.measure import bootstrap
from benchmark.store.frame import frame
from benchmark.store.records import latest
from reports import _recommend_limits as limiting
from reports._recommend import Advice, advise, choose
from reports._recommend_entries import candidates
from reports._recommend_text import loosened, share

KNOWN = limiting.quantities("wer", "test", "test_error")
pytest_plugins = ["tests.recommending"]


# --- the choice ---------------------------------------------------------------------------------------------------


def naive_choice(feasible: list[bool], rates: list[float], costs: list[float] | None, ties: float) -> int:
    fit = [k for k, fits in enumerate(feasible) if fits and (costs is None or costs[k] < np.inf)]
    if costs is not None and fit:
        least = min(costs[k] for k in fit)
        fit = [k for k in fit if costs[k] <= least * (1 + ties)]
    return min(fit, key=lambda k: (rates[k], k)) if fit else -1


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_each_resample_chooses_as_a_naive_loop_does(data: st.DataObject) -> None:
    entries, resamples = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    seed = data.draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    feasible = rng.random((entries, resamples)) < 0.6
    rates = rng.integers(0, 4, (entries, resamples)) / 10
    costs = rng.choice([1.0, 1.005, 1.02, 2.0, np.inf], entries) if data.draw(st.booleans()) else None
    ties = data.draw(st.sampled_from([0.0, 0.01]))
    expected = [
        naive_choice(list(feasible[:, r]), list(rates[:, r]), None if costs is None else list(costs), ties)
        for r in range(resamples)
    ]
    assert choose(feasible, rates, costs, ties).tolist() == expected


def advice(run: Path, asked: dict[str, float], prefer: str | None = None) -> tuple[Advice, pd.DataFrame]:
    table = frame(run, "identity")
    limits = limiting.limits(asked, KNOWN)
    return advise(table, candidates(table), limits, limiting.aim(limits, prefer, "wer")), table


def naive_rates(run: Path, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return each entry's rate in each resample, counted by jiwer, utterance by utterance and seed by seed."""
    records = {record.cell: record.transcripts("test") for record in latest(run)}
    counted = {}
    for cell, texts in records.items():
        pairs = zip(texts["reference"], texts["hypothesis"], strict=True)
        errors = [(jiwer.process_words(said, heard), len(said.split())) for said, heard in pairs]
        counted[cell] = np.array([[o.substitutions + o.deletions + o.insertions, n] for o, n in errors])
    size = len(next(iter(counted.values())))
    drawn = np.concatenate(list(bootstrap.indices(size, 10_000, 0)))
    rates = {}
    for entry, rows in table.groupby("entry"):
        cells = rows.sort_values("seed")["cell"]
        weights = bootstrap.seed_draws(len(cells), 10_000, 0)
        found = np.zeros(10_000)
        for number, cell in enumerate(cells):
            sums = np.array([counted[cell][some].sum(axis=0) for some in drawn])
            found += weights[number] * sums[:, 0] / sums[:, 1] / len(cells)
        rates[str(entry)] = found.round(12)  # equal rates are equal, in whatever order they were summed
    return rates


@pytest.mark.parametrize(
    ("asked", "prefer"),
    [({"error": 14.0}, None), ({"size": 5.3}, None), ({"error": 14.5, "size": 5.3}, None), ({"error": 14.0}, "macs")],
)
def test_how_sure_against_a_naive_bootstrap(seeded: Path, asked: dict[str, float], prefer: str | None) -> None:
    found, table = advice(seeded, asked, prefer)
    rates = naive_rates(seeded, table)
    entries, limit = found.table, asked.get("error", 1e9) / 100
    fits = [size <= asked.get("size", 1e9) * 1e6 for size in entries["bytes"]]
    column = {"size": "bytes", "macs": "macs_first_token", "error": None}[found.aim.key]
    costs = None if column is None else [float(value) for value in entries[column]]
    wins = [
        naive_choice(
            [fit and rates[entry][r] <= limit for fit, entry in zip(fits, entries.index, strict=True)],
            [rates[entry][r] for entry in entries.index],
            costs,
            0.01,
        )
        for r in range(10_000)
    ]
    sure = found.sureness
    assert (sure.resamples, sure.resampled) == (10_000, "40 utterances")
    assert sure.best == pytest.approx(wins.count(found.first or 0) / 10_000)
    assert sure.nothing == pytest.approx(wins.count(-1) / 10_000)
    places = {title: place for place, title in enumerate(entries["title"])}
    assert {places[title]: part for title, part in sure.others.items()} == {
        place: wins.count(place) / 10_000 for place in set(wins) - {found.first, -1}
    }
    assert 0 < sure.best < 1  # else this test would tell little
    ours = rates[found.shipped.name]
    assert sure.meets == ({"error": pytest.approx((ours <= limit).mean())} if "error" in asked else {})


def test_the_difference_to_the_runner_up_is_paired_over_common_seeds(seeded: Path) -> None:
    found, table = advice(seeded, {"error": 16.0}, "wer")
    assert found.second is not None
    first, second = found.table.index[[found.first or 0, found.second]]
    assert {found.table["method"].iloc[place] for place in (found.first or 0, found.second)} == {"dense", "l1_group"}
    rates = naive_rates(seeded, table)
    apart = rates[second] - rates[first]
    observed = found.table.loc[second, "test_error"] - found.table.loc[first, "test_error"]
    assert found.sureness.difference == pytest.approx((observed, *np.quantile(apart, (0.025, 0.975))))
    assert found.sureness.common_seeds == 3


def test_seeds_that_only_one_has_are_in_no_difference(seeded: Path) -> None:
    table = frame(seeded, "identity")
    entries = candidates(table)
    only = entries[entries["method"].isin(["taylor", "dense"])]
    found = advise(table, only, [], limiting.aim([], "wer", "wer"))
    assert found.sureness.common_seeds == 2
    cells = table[table["seed"] > 0].groupby("method")["test_error"].mean()
    assert found.sureness.difference is not None
    assert abs(found.sureness.difference[0]) == pytest.approx(abs(cells["taylor"] - cells["dense"]))


def test_a_margin_is_a_test_and_dense_is_no_worse_than_itself(seeded: Path) -> None:
    found, table = advice(seeded, {"margin": 4.5})
    entries, dense = found.table, table[table["method"] == "dense"]["entry"].iloc[0]
    rates = naive_rates(seeded, table)
    taylor = entries.index[entries["method"] == "taylor"][0]
    shares = {}
    for entry in entries.index.drop(taylor):  # of which the yardstick has another set of seeds
        apart = rates[entry] - rates[dense]
        high = np.quantile(apart, 0.975)
        if entry != dense:
            assert entries.loc[entry, "test_error_delta_hi"] == pytest.approx(high)
        observed = entries.loc[entry, "test_error"] - entries.loc[dense, "test_error"]
        shares[entry] = float((apart + (high - observed) < 0.045).mean())
        met = found.met[0][entries.index.get_loc(entry)]
        assert met == (high < 0.045)
    assert shares[dense] == 1
    assert found.sureness.meets["margin"] == pytest.approx(shares[found.shipped.name])
    assert set(found.met[0]) == {True, False}


# --- limits -------------------------------------------------------------------------------------------------------


def test_a_limit_is_met_by_what_is_measured_and_inside_it() -> None:
    most, least = limiting.Limit(KNOWN["size"], 100.0), limiting.Limit(KNOWN["rtfx"], 10.0)
    values = np.array([50.0, 100.0, 150.0, np.nan])
    assert most.met(values).tolist() == [True, True, False, False]
    assert most.excess(values).tolist() == [0, 0, 0.5, np.inf]
    assert least.met(values / 10).tolist() == [False, True, True, False]
    assert least.excess(values / 10).tolist() == [1, 0, 0, np.inf]
    zero = limiting.Limit(KNOWN["error"], 0.0)
    assert zero.met(np.array([0.0, 0.02])).tolist() == [True, False]
    assert zero.excess(np.array([0.0, 0.02])).tolist() == [0, 2]  # in points
    assert limiting.Limit(KNOWN["margin"], 0.01).met(np.array([0.0099, 0.01, np.nan])).tolist() == [True, False, False]


def test_what_is_minimised() -> None:
    def key(asked: dict[str, float], prefer: str | None = None) -> str:
        return limiting.aim(limiting.limits(asked, KNOWN), prefer, "wer").key

    assert key({"error": 5}) == key({"margin": 1}) == key({"error": 5, "margin": 1}) == "size"
    assert key({"size": 5}) == key({"speedup": 2, "params": 1}) == key({"error": 5, "size": 5}) == "error"
    assert [key({"error": 5}, prefer) for prefer in ("wer", "size", "speed", "macs")] == [
        "error",
        "size",
        "speed",
        "macs",
    ]


@pytest.mark.parametrize(("text", "value"), [("1.5M", 1.5e6), ("80m", 8e7), ("2e9", 2e9), ("700k", 7e5), ("3", 3.0)])
def test_amounts(text: str, value: float) -> None:
    assert limiting.amount("--max-macs", text) == pytest.approx(value)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-3, 1e9))
def test_a_loosened_limit_is_met_and_hardly_looser(value: float) -> None:
    for quantity in (KNOWN["size"], KNOWN["speedup"], KNOWN["error"]):
        flag, text = loosened(limiting.Limit(quantity, 1.0), value).split()
        bound = float(text) * quantity.unit
        assert flag == quantity.flag and abs(bound / value - 1) < 0.0101
        assert limiting.Limit(quantity, bound).met(np.array([value]))[0]


def test_a_share_is_rounded_to_all_or_nothing_only_where_it_is() -> None:
    assert [share(part) for part in (0, 1e-4, 0.42, 0.9999, 1)] == ["0 %", "< 1 %", "42 %", "> 99 %", "100 %"]

"""``prunebench recommend``: the choice and how sure it is, against naive loops; limits, refusals, what is told."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.cli.main import invoke
from benchmark.measure import bootstrap
from benchmark.specs import Leaderboard
from benchmark.store.folders import keep_spec, open_run
from benchmark.store.frame import frame
from benchmark.store.records import MODEL, latest
from benchmark.store.timings import write_timing
from reports import _recommend_limits as limiting
from reports._content import score_column
from reports._recommend import Advice, advise, choose
from reports._recommend_entries import candidates
from reports._recommend_text import loosened, share
from tests import fake_normalizers as fakes
from tests import fake_runs
from tests.fake_runs import commit, ok_data, spec

Call = Callable[..., tuple[int, str, str]]
KNOWN = limiting.quantities("wer", "test", "test_error")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run one command in an empty folder; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str | Path | float) -> tuple[int, str, str]:
        code = invoke(["recommend", *(str(argument) for argument in arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def told(call: Call) -> Callable[..., dict[str, Any]]:
    """Run one command with --json; return what it tells."""

    def run(*arguments: str | Path | float, code: int = 0) -> dict[str, Any]:
        found, out, err = call(*arguments, "--normalizer", "identity", "--json")
        assert (found, err) == (code, "")
        data: dict[str, Any] = json.loads(out)
        return data

    return run


@pytest.fixture
def refused(call: Call) -> Callable[..., str]:
    """Run a command that cannot be carried out: one line and code 2; return the line."""

    def run(*arguments: str | Path | float) -> str:
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("prunebench: error: ") and err.count("\n") == 1
        return err

    return run


@pytest.fixture(scope="module")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_runs.make(tmp_path_factory.mktemp("fake") / "run")


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three entries and dense, two or three seeds, errors close to each other; sizes differ from seed to seed."""
    run = open_run(tmp_path_factory.mktemp("seeded") / "run", create=True)
    entries = (("dense", None, 0.10), ("l1_group", 0.8, 0.12), ("taylor", 0.8, 0.14), ("l1_group", 0.5, 0.17))
    for method, keep, error in entries:
        for seed in (0, 1, 2) if method != "taylor" else (1, 2):
            cell = spec(method, "none" if keep is None else "prunable_stored", keep, seed=seed)
            data = ok_data(cell, stored=keep or 1.0)
            data["counts"]["bytes"] += 1000 * seed
            commit(run, data, error, {"test": 40})
    return run


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


# --- what is told -------------------------------------------------------------------------------------------------


def test_the_smallest_file_that_meets_the_error(fake_run: Path, told: Callable[..., Any]) -> None:
    found = told(fake_run, "--max-wer", 12)
    table = frame(fake_run, "identity")
    fit = table[table["test_error"] <= 0.12]
    least = fit[fit["bytes"] <= fit["bytes"].min() * 1.01].sort_values("test_error").iloc[0]
    assert found["answer"] == "ship" and found["minimised"] == "size" and found["fitting"] == len(fit)
    assert found["ship"]["cell"] == least["cell"]
    assert found["ship"]["values"]["size"] == least["bytes"]
    assert found["ship"]["values"]["error"]["hi"] == least["test_error_hi"]
    command = shlex.split(found["export"]["commands"][0])
    assert command[:5] == ["prunebench", "export", least["cell"], "--runs", str(fake_run)]
    assert found["runner_up"]["cell"] != least["cell"] and found["sure"]["difference"][0] != 0


def test_masks_compete_by_what_is_stored(fake_run: Path, told: Callable[..., Any]) -> None:
    table = frame(fake_run, "identity")
    dense = int(table.loc[table["method"] == "dense", "bytes"].iloc[0])
    found = told(fake_run, "--max-mb", (dense - 1) / 1e6)
    assert found["ship"]["block"] == "stored"  # masks and references are as large as dense
    assert told(fake_run, "--max-mb", dense / 1e6)["ship"]["values"]["size"] == dense


def test_all_of_a_mix_must_hold(fake_run: Path, told: Callable[..., Any]) -> None:
    found = told(fake_run, "--max-wer", 30, "--max-params", "1.1M", "--min-speedup", 1.2, "--max-macs", "150M")
    values = found["ship"]["values"]
    assert values["error"]["mean"] <= 0.3 and values["params"] <= 1.1e6
    assert values["speedup"] >= 1.2 and values["macs"] <= 150e6
    table = frame(fake_run, "identity")
    fit = (table["test_error"] <= 0.3) & (table["params_stored"] <= 1.1e6) & (table["speedup"] >= 1.2)
    assert found["fitting"] == int((fit & (table["macs_first_token"] <= 150e6)).sum()) > 0


def test_nothing_fits_and_what_comes_nearest(fake_run: Path, told: Callable[..., Any], call: Call) -> None:
    asked = ("--max-wer", 3, "--max-mb", 3, "--min-speedup", 1.5)
    found = told(fake_run, *asked, code=1)
    table = frame(fake_run, "identity")
    table = table[table["status"] == "ok"]
    over = np.maximum(table["test_error"] / 0.03 - 1, np.maximum(table["bytes"] / 3e6 - 1, 1.5 / table["speedup"] - 1))
    assert found["answer"] == "nothing fits" and "ship" not in found
    assert found["nearest"]["cell"] in set(table.loc[over <= over.min() + 1e-12, "cell"])
    assert max(one["relative_excess"] for one in found["limits"]) == pytest.approx(over.min())
    assert [one["met_by"] for one in found["limits"]] == [
        int((table["test_error"] <= 0.03).sum()),
        int((table["bytes"] <= 3e6).sum()),
        int((table["speedup"] >= 1.5).sum()),
    ]
    code, out, err = call(fake_run, *asked, "--normalizer", "identity")
    assert (code, err) == (1, "") and "Nothing fits all 3 limits" in out and "misses by" in out
    loose = next(line for line in out.splitlines() if line.startswith("It fits with ")).removeprefix("It fits with ")
    assert told(fake_run, *asked, *shlex.split(loose.rstrip(".")))["fitting"] >= 1


def test_without_a_limit_the_front(fake_run: Path, told: Callable[..., Any], call: Call) -> None:
    found = told(fake_run)
    table = frame(fake_run, "identity")
    points = table.loc[table["status"] == "ok", ["cell", "bytes", "test_error"]].to_numpy()
    beaten = [
        any(b <= size and e <= error and (b < size or e < error) for _, b, e in points) for _, size, error in points
    ]
    assert {one["cell"] for one in found["front"]} == {
        p[0] for p, worse in zip(points, beaten, strict=True) if not worse
    }
    assert "--max-wer" in call(fake_run, "--normalizer", "identity")[1]


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_window_but_commands_are_whole(
    fake_run: Path, call: Call, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = call(fake_run, "--max-wer", 12, "--normalizer", "identity")
    assert code == 0 and "…" not in out
    lines = out.splitlines()
    assert all(len(line) <= width for line in lines if "prunebench export" not in line)
    assert sum(line.startswith("  prunebench export ") and " --to " in line for line in lines) == 1
    assert "one seed: how much another training run would differ" in out


def test_a_method_is_compared_with_a_dense_that_was_not_asked_for(fake_run: Path, told: Callable[..., Any]) -> None:
    found = told(fake_run, "--method", "magnitude", "--max-wer", 100)
    assert found["ship"]["label"] == "magnitude" and found["entries"] == 3
    assert found["ship"]["values"]["error_to_dense"]["lo"] is not None


# --- seeds and files ----------------------------------------------------------------------------------------------


def test_costs_are_the_exported_artefacts_and_errors_the_mean(seeded: Path, told: Callable[..., Any]) -> None:
    found = told(seeded, "--method", "l1_group", "--max-wer", 50)
    table = frame(seeded, "identity")
    rows = table[(table["method"] == "l1_group") & (table["keep"] == 0.5)].set_index("seed")
    assert found["ship"]["cell"] == rows.loc[0, "cell"] and found["ship"]["seed_list"] == "0,1,2"
    assert found["ship"]["values"]["size"] == rows.loc[0, "bytes"] != rows["bytes"].mean()
    assert found["ship"]["values"]["error"]["mean"] == pytest.approx(rows["test_error"].mean())
    assert any("choose on the test data" in note for note in found["notes"])


def test_the_first_seed_whose_file_is_kept_is_exported(tmp_path: Path, told: Callable[..., Any]) -> None:
    run = open_run(tmp_path / "run", create=True)
    cells = [commit(run, ok_data(spec(seed=seed)), 0.1, {"test": 12}) for seed in (0, 1)]
    (cells[0].path / MODEL).unlink()
    found = told(run, "--max-wer", 99)
    assert found["ship"]["cell"] == cells[1].cell and found["ship"]["artefact_kept"]


def test_an_artefact_that_is_gone_is_made_again(tmp_path: Path, call: Call, told: Callable[..., Any]) -> None:
    run = open_run(tmp_path / "run", create=True)
    record = commit(run, ok_data(spec("l1_group", "prunable_stored", 0.6)), 0.1, {"test": 12})
    (record.path / MODEL).unlink()
    found = told(run, "--max-wer", 99)
    again, export = map(shlex.split, found["export"]["commands"])
    assert again[:3] == ["prunebench", "run", "again.yaml"] and not found["ship"]["artefact_kept"]
    assert export[1:5] == ["export", record.cell, "--runs", again[again.index("--out") + 1]]
    written = yaml.safe_load(found["export"]["spec"])
    assert written["keep_artefacts"] == "all" and written["grid"][-1]["keep"] == [0.6]
    out = call(run, "--max-wer", 99, "--normalizer", "identity")[1]
    assert "file is not kept" in out and found["export"]["spec"] in out


def test_of_a_kept_spec_one_cell_is_asked_for(tmp_path: Path, told: Callable[..., Any]) -> None:
    run = open_run(tmp_path / "run", create=True)
    record = commit(run, ok_data(spec("l1_group", "prunable_stored", 0.6, seed=2)), 0.1, {"test": 12})
    (record.path / MODEL).unlink()
    row = {"methods": ["l1_group", "taylor"], "budget": "prunable_stored", "keep": [0.8, 0.6]}
    asked = Leaderboard.model_validate({"name": "mine", "grid": [{"methods": ["dense"]}, row], "seeds": [0, 2]})
    keep_spec(run, asked.model_dump(mode="json") | {"keep_artefacts": "none"}, [record.cell])
    written = Leaderboard.parse(yaml.safe_load(told(run, "--max-wer", 99)["export"]["spec"]), "again.yaml")
    assert written.keep_artefacts == "all" and written.seeds == [2]
    assert [(one.methods[0].name, one.keep) for one in written.grid if one.budget != "none"] == [("l1_group", [0.6])]
    assert written.corpus == asked.corpus and written.training == asked.training


# --- devices ------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_devices(tmp_path: Path) -> Path:
    run = fake_runs.make(tmp_path / "run", keeps=(0.8, 0.6))
    rows = [
        {"cell": record.cell, "attempt": record.attempt, "batch": 1, "speedup": 0.5, "rtfx": 3.0, "rtfx_lo": 2.0,
         "rtfx_hi": 4.0, "speedup_lo": 0.4, "speedup_hi": 0.6}
        for record in latest(run) if record.ok
    ]  # fmt: skip
    write_timing(run, "slow-phone", rows)
    return run


def test_speeds_are_of_one_device(two_devices: Path, told: Callable[..., Any], refused: Callable[..., str]) -> None:
    asked = (two_devices, "--normalizer", "identity")
    for limit in (("--min-speedup", 1.1), ("--min-rtfx", 5), ("--max-peak-mb", 5), ("--prefer", "speed")):
        assert "choose with --device: fake-cpu-2t, slow-phone" in refused(*asked, *limit)
    assert "--device 'slow-fone' timed none of these; did you mean 'slow-phone'?" in refused(
        *asked, "--device", "slow-fone"
    )
    assert told(two_devices, "--min-speedup", 1.1, "--device", "fake-cpu-2t")["ship"]["values"]["speedup"] > 1.1
    assert told(two_devices, "--min-speedup", 1.1, "--device", "slow-phone", code=1)["limits"][0]["best"] == 0.5
    assert told(two_devices, "--max-wer", 50)["device"] == "slow-phone"  # no speed is asked for; the newest


def test_what_was_not_timed_fits_no_limit_on_speed(seeded: Path, call: Call, refused: Callable[..., str]) -> None:
    assert "nothing was timed" in refused(seeded, "--min-rtfx", 2, "--normalizer", "identity")
    assert "prunebench profile" in refused(seeded, "--device", "any", "--normalizer", "identity")


def test_a_measured_speed_has_its_spread(two_devices: Path, call: Call) -> None:
    out = call(two_devices, "--device", "slow-phone", "--max-wer", 50, "--normalizer", "identity")[1]
    assert "0.50× [0.40×, 0.60×]" in out and "3.0 [2.0, 4.0]" in out


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--max-wer", "nan"), "--max-wer nan: a limit is a finite number"),
        (("--max-wer", "-1"), "--max-wer -1"),
        (("--max-mb", "inf"), "--max-mb inf"),
        (("--max-mb", "0"), "--max-mb 0: a limit is a finite number above 0"),
        (("--margin", "0"), "--margin 0"),
        (("--max-params", "many"), "--max-params: 'many' is not a number"),
        (("--max-macs", "1.2.3M"), "--max-macs: '1.2.3M' is not a number"),
        (("--max-cer", "5"), "--max-cer: these records are ranked by WER"),
        (("--prefer", "cer"), "use --prefer wer"),
        (("--prefer", "sped"), "did you mean 'speed'?"),
        (("--method", "sgl"), "'sgl'"),
        (("--seeds", "one"), "--seeds: 'one'"),
    ],
)
def test_a_nonsense_limit_is_one_line(
    fake_run: Path, refused: Callable[..., str], asked: tuple[str, str], said: str
) -> None:
    assert said in refused(fake_run, *asked, "--normalizer", "identity")


def test_a_board_in_characters_has_a_limit_in_characters(
    fake_run: Path, call: Call, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.only(monkeypatch, fakes.Letters)
    assert "use --max-cer" in refused(fake_run, "--max-wer", 5, "--normalizer", "letters")
    code, out, _ = call(fake_run, "--max-cer", 30, "--normalizer", "letters")
    assert code == 0 and "CER test %" in out


def test_no_run_folder_and_nothing_in_it(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "no such folder" in refused(tmp_path / "nowhere", "--max-wer", 5)
    (tmp_path / "plain").mkdir()
    assert "not a run folder" in refused(tmp_path / "plain", "--max-wer", 5)
    assert "nothing to choose from" in refused(open_run(tmp_path / "empty", create=True), "--max-wer", 5)
    failed = open_run(tmp_path / "failed", create=True)
    fake_runs.fail(failed, spec(), "no luck")
    assert "nothing to choose from" in refused(failed, "--max-wer", 5)


def test_several_languages_are_parted_by_the_filter_that_is_named(
    tmp_path: Path, told: Callable[..., Any], refused: Callable[..., str]
) -> None:
    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec()), 0.1, {"test": 12})
    other = {"name": "fake-hi", "version": "1", "language": "ta", "options": {}}
    commit(run, ok_data(spec(corpus=other)), 0.2, {"test": 12}, salt="ta")
    line = refused(run, "--max-wer", 50, "--normalizer", "identity")
    assert "(language: hi, ta)" in line and "e.g. --language " in line
    assert told(run, "--max-wer", 50, *line.split("e.g. ")[1].split())["entries"] == 1


def test_models_and_test_data_are_parted_too(
    tmp_path: Path, told: Callable[..., Any], refused: Callable[..., str]
) -> None:
    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec()), 0.1, {"test": 12})
    commit(run, ok_data(spec(model={"name": "other", "revision": "fake", "options": {}})), 0.2, {"test": 12})
    assert "e.g. --model " in refused(run, "--max-wer", 50, "--normalizer", "identity")
    commit(run, ok_data(spec("l1_group", "prunable_stored", 0.8)), 0.1, {"test": 12}, salt="another copy")
    line = refused(run, "--max-wer", 50, "--normalizer", "identity", "--model", "fake-nano")
    assert "e.g. --data " in line
    assert told(run, "--max-wer", 50, "--model", "fake-nano", *line.split("e.g. ")[1].split())["entries"] == 1


def test_a_broken_record_is_named_and_left_out(tmp_path: Path, call: Call) -> None:
    run = fake_runs.make(tmp_path / "run", keeps=(0.8,))
    broken = next(record for record in latest(run) if record.data["spec"]["method"]["name"] == "imp")
    (broken.path / "record.json").write_text("{", encoding="utf-8")
    code, out, err = call(run, "--max-wer", 50, "--normalizer", "identity")
    assert code == 0 and broken.cell in err and err.count("\n") == 1
    assert "Left out, broken:" in out


def test_the_normaliser_is_that_of_the_cells_that_were_asked_for(tmp_path: Path, call: Call) -> None:
    run = open_run(tmp_path / "run", create=True)
    record = commit(run, ok_data(spec()), 0.1, {"test": 12})
    keep_spec(run, {"normalizer": "hindi"}, [record.cell])
    keep_spec(run, {"normalizer": "thai"}, ["another"])
    assert "wer|hindi:" in call(run, "--max-wer", 50)[1]


def test_advice_needs_no_torch(fake_run: Path) -> None:
    code = (
        "import sys; from benchmark.cli.main import invoke\n"
        f"assert invoke(['recommend', {str(fake_run)!r}, '--max-wer', '12', '--normalizer', 'identity']) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_candidate_is_called_tells_it_apart(fake_run: Path) -> None:
    table = candidates(frame(fake_run, "identity"))
    assert table["title"].is_unique
    assert {"dense", "imp, kept 40 %", "sgl_adaptive, kept 40 %, mask", "sgl_adaptive, kept 40 %, stored"} <= set(
        table["title"]
    )
    assert score_column(table) == "test_error" and table["there"].all()


def test_what_cannot_be_exported_is_opened_where_it_lies(
    tmp_path: Path, told: Callable[..., Any], call: Call, refused: Callable[..., str]
) -> None:
    run = open_run(tmp_path / "run", create=True)
    data = ok_data(spec("int8"))
    data["plan"]["quantised"] = "int8"
    data["counts"]["bytes"] //= 3
    record = commit(run, data, 0.05, {"test": 12})
    assert "nothing to choose from" in refused(run, "--max-wer", 99, "--normalizer", "identity", "--exportable")
    whole = commit(run, ok_data(spec("l1_group", "prunable_stored", 0.6), stored=0.6), 0.1, {"test": 12})
    found = told(run, "--max-wer", 99)
    assert found["ship"]["cell"] == record.cell and found["export"]["commands"] == []
    assert found["export"]["load"] == f"import benchmark; model = benchmark.load({str(record.path)!r})"
    assert "--exportable" in call(run, "--max-wer", 99, "--normalizer", "identity")[1]
    assert told(run, "--max-wer", 99, "--exportable")["ship"]["cell"] == whole.cell
    (record.path / MODEL).unlink()
    again = told(run, "--max-wer", 99)["export"]
    assert len(again["commands"]) == 1 and again["commands"][0].startswith("prunebench run again.yaml --out ")
    assert record.cell in again["load"]

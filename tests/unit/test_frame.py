"""Records as a table: one row a cell, scores that agree with the measure's own, and pairs that are refused."""

from __future__ import annotations

from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import pytest

import benchmark
from benchmark.errors import SpecError, StoreError
from benchmark.measure import bootstrap
from benchmark.measure.scores import BrokenNormalizerError, Normalised, compare, scored
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from benchmark.store.front import front_cells
from benchmark.store.merging import merge
from benchmark.store.naming import label
from benchmark.store.records import RECORD, Record, finished, latest
from benchmark.store.scoring import column
from benchmark.store.timings import write_timing
from tests import fake_normalizers as fakes
from tests.fake_runs import DEVICE, PRUNABLE, Plain, commit, fail, make, ok_data, spec


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("fake") / "run")


@pytest.fixture(scope="module")
def table(run: Path) -> pd.DataFrame:
    return frame(run, normalizer=Plain())


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return open_run(tmp_path / "run", create=True)


def row(table: pd.DataFrame, method: str, keep: float | None = None, block: str | None = None) -> pd.Series:
    found = table[(table["method"] == method) & (table["keep"].eq(keep) if keep else table["keep"].isna())]
    return (found if block is None else found[found["block"] == block]).iloc[0]


def test_one_row_a_cell_failures_among_them(run: Path, table: pd.DataFrame) -> None:
    assert len(table) == 23 == table["cell"].nunique() == len(latest(run))
    assert table.groupby("block").size().to_dict() == {"mask": 12, "reference": 2, "stored": 9}
    failed = table[table["status"] == "failed"].iloc[0]
    assert failed["error"].startswith("BudgetMissedError: asked")
    assert failed[["reached", "params_stored", "test_wer", "rank", "rtfx"]].isna().all()


def test_what_the_record_says_is_in_the_row(table: pd.DataFrame) -> None:
    one = row(table, "l1_group", 0.6)
    assert (one["denominator"], one["steps"], one["seed"], one["corpus"]) == (PRUNABLE, 120, 0, "fake-hi")
    assert one["macs_first_token"] == one["macs_encoder"] + one["macs_cross_kv"] + one["macs_decoder_token"]
    assert one["test_utterances"] == 80
    assert one["test_unseen_voice_hash"]
    assert row(table, "shipped")["recipe"] == ""
    counted = ["params_stored", "bytes", "macs_encoder", "steps", "rank", "test_empty"]
    assert all(str(table[name].dtype) == "Int64" for name in counted)


def test_the_public_face_is_the_same_function(run: Path) -> None:
    assert benchmark.frame is frame
    assert "test_wer" not in benchmark.frame(str(run), timings=False)


def test_scores_are_those_of_jiwer_and_of_the_bootstrap(run: Path, table: pd.DataFrame) -> None:
    one, dense = row(table, "magnitude", 0.4), row(table, "dense")
    said = finished(run, one["cell"]).transcripts("test")  # type: ignore[union-attr]
    assert one["test_wer"] == pytest.approx(jiwer.wer(list(said["reference"]), list(said["hypothesis"])))
    assert one["test_cer"] == pytest.approx(jiwer.cer(list(said["reference"]), list(said["hypothesis"])))
    ours, theirs = (scored(finished(run, cell), "test", Normalised(Plain())) for cell in (one["cell"], dense["cell"]))  # type: ignore[arg-type]
    interval = bootstrap.interval(ours.words.errors, ours.words.lengths)
    assert tuple(one[["test_wer_lo", "test_wer_hi"]]) == pytest.approx((interval.lo, interval.hi))
    paired = compare(ours, theirs)
    expected = (paired.difference, paired.lo, paired.hi)
    assert tuple(one[["test_wer_delta", "test_wer_delta_lo", "test_wer_delta_hi"]]) == pytest.approx(expected)
    assert table.attrs["signature"] == ours.signature
    assert np.isnan(dense["test_wer_delta"])
    assert row(table, "shipped")["test_wer_delta"] == pytest.approx(
        row(table, "shipped")["test_wer"] - dense["test_wer"]
    )


def test_ranks_count_the_methods_that_are_surely_better(run: Path, table: pd.DataFrame) -> None:
    assert table.loc[table["block"] == "reference", "rank"].isna().all()
    normalised = Normalised(Plain())
    for _, race in table[table["keep"].notna() & (table["status"] == "ok")].groupby(["block", "keep"]):
        found = {cell: scored(finished(run, cell), "test", normalised) for cell in race["cell"]}  # type: ignore[arg-type]
        for cell, rank in zip(race["cell"], race["rank"], strict=True):
            others = [other for name, other in found.items() if name != cell]
            assert rank == 1 + sum(compare(other, found[cell]).hi < 0 for other in others)
    assert row(table, "random", 0.8)["rank"] == 4


def test_pairing_cells_with_other_test_data_is_refused(empty: Path) -> None:
    one = commit(empty, ok_data(spec()), 0.1, {"test": 5})
    other = commit(empty, ok_data(spec("imp", "prunable_nominal", 0.5)), 0.1, {"test": 5}, salt="another download")
    with pytest.raises(StoreError, match="cannot be paired") as error:
        frame(empty, normalizer=Plain())
    assert one.cell in str(error.value)
    assert other.cell in str(error.value)
    assert len(frame(empty)) == 2


def test_other_corpora_and_recipes_never_meet(empty: Path) -> None:
    def both(**changes: object) -> list[Record]:
        cells = (spec(**changes), spec("imp", "prunable_nominal", 0.5, **changes))  # type: ignore[arg-type]
        return [commit(empty, ok_data(cell), 0.1, {"test": 5}, salt=str(changes.get("corpus"))) for cell in cells]

    both()
    both(corpus={"name": "other", "version": "1", "language": "hi"})
    longer = both(training={"steps": 240})
    table = frame(empty, normalizer=Plain()).set_index("cell")
    assert table["setting"].nunique() == 2
    assert table["recipe"].nunique() == 2
    assert table.groupby("method")["rank"].max().dropna().eq(1).all()
    dense, imp = (table.loc[record.cell] for record in longer)
    assert imp["test_wer_delta"] == pytest.approx(imp["test_wer"] - dense["test_wer"])


def test_without_dense_there_is_no_difference(empty: Path) -> None:
    commit(empty, ok_data(spec("imp", "prunable_nominal", 0.5)), 0.1, {"test": 5})
    table = frame(empty, normalizer=Plain())
    assert table["test_wer_delta"].isna().all()
    assert table["rank"].eq(1).all()


def test_an_empty_run_and_a_run_of_failures_are_tables_too(empty: Path) -> None:
    assert frame(empty, normalizer=Plain()).empty
    fail(empty, spec("imp", "prunable_nominal", 0.5), "no")
    table = frame(empty, normalizer=Plain())
    assert len(table) == 1
    assert table["rank"].isna().all()


def test_timings_of_two_devices_never_share_a_column(empty: Path) -> None:
    record = commit(empty, ok_data(spec()), 0.1, {"test": 5})
    other = commit(empty, ok_data(spec("imp", "prunable_nominal", 0.5)), 0.1, {"test": 5})
    common = {"cell": record.cell, "attempt": record.attempt, "batch": 8}
    theirs = common | {"cell": other.cell, "attempt": other.attempt}
    write_timing(empty, "gpu", [common | {"rtfx": 900.0}])
    write_timing(empty, "cpu", [common | {"rtfx": 9.0}, theirs | {"rtfx": 8.0}])
    write_timing(empty, "cpu", [common | {"rtfx": 9.5}, common | {"attempt": "an older one", "rtfx": 1.0}])
    table = frame(empty).set_index("cell")
    assert table.attrs["devices"] == ["cpu", "gpu"]
    assert (table.loc[record.cell, "rtfx"], table.loc[other.cell, "rtfx"]) == (9.5, 8.0)
    gpu = frame(empty, device="gpu").set_index("cell")
    assert gpu.loc[record.cell, "rtfx"] == 900
    assert gpu["rtfx"].isna()[other.cell]
    assert frame(empty, timings=False)["rtfx"].isna().all()


def test_timings_of_two_batch_sizes_never_share_a_column(empty: Path) -> None:
    found = [commit(empty, ok_data(spec(seed=seed)), 0.1, {"test": 5}) for seed in (0, 1, 2)]
    a, b, c = ({"cell": record.cell, "attempt": record.attempt} for record in found)
    assert frame(empty).attrs["batch"] is None

    def column_of(what: str) -> list[float | None]:
        table = frame(empty).set_index("cell")
        return [None if np.isnan(value := table.loc[one.cell, what]) else value for one in found]

    # Each row says its batch in its thousands. Two cells at 8, of which one at 1 too: 8 it is.
    ends = {"speedup_lo": 8003.0, "speedup_hi": 8004.0}
    write_timing(empty, "cpu", [one | ends | {"batch": 8, "rtfx": 8001.0, "speedup": 8002.0} for one in (a, b)])
    write_timing(empty, "cpu", [a | {"batch": 1, "rtfx": 1001.0, "speedup": 1002.0, "speedup_hi": 1004.0}])
    assert (frame(empty).attrs["batch"], column_of("rtfx")) == (8, [8001, 8001, None])
    assert column_of("speedup_lo") == [8003, 8003, None] and column_of("speedup_hi") == [8004, 8004, None]
    # As many at 32, and later: the largest of equals. The cell that lacks it has no timing, rather than that at 8.
    write_timing(empty, "cpu", [one | {"batch": 32, "rtfx": 32001.0, "peak_memory": 32003} for one in (b, c)])
    assert (frame(empty).attrs["batch"], column_of("rtfx")) == (32, [None, 32001, 32001])
    assert column_of("peak_memory") == [None, 32003, 32003] and column_of("speedup") == [None, None, None]
    # Of a cell that was timed again, the newest row; another device, fuller at another batch, has no say.
    write_timing(empty, "cpu", [one | {"batch": 8, "rtfx": 8009.0} for one in (b, c)])
    write_timing(empty, "gpu", [one | {"batch": 64, "rtfx": 64001.0} for one in (a, b, c)])
    write_timing(empty, "cpu", [b | {"batch": 128, "rtfx": 128001.0}])
    table = frame(empty, device="cpu").set_index("cell")
    assert [table.loc[one.cell, "rtfx"] for one in found] == [8001, 8009, 8009]
    assert type(table.attrs["batch"]) is int and table["batch"].eq(8).all()


def test_several_folders_are_read_as_their_union(tmp_path: Path) -> None:
    a, b = (open_run(tmp_path / name, create=True) for name in "ab")
    fail(a, spec("imp"), "no")
    commit(a, ok_data(spec()), 0.1, {"test": 5})
    commit(b, ok_data(spec("imp")), 0.1, {"test": 5})
    merge([a, b], tmp_path / "c")
    both, merged = frame([a, b]), frame(tmp_path / "c")
    assert set(both["run"]) == {str(a), str(b)}
    pd.testing.assert_frame_equal(both.drop(columns="run"), merged.drop(columns="run"))
    assert frame([a, b])["status"].eq("ok").all()
    assert len(frame([a, b], cells=[latest(a)[0].cell])) == 1


def test_broken_records_raise_or_are_named(empty: Path) -> None:
    record = commit(empty, ok_data(spec()), 0.1, {"test": 5})
    commit(empty, ok_data(spec("imp")), 0.1, {"test": 5})
    (record.path / RECORD).write_text("{")
    with pytest.raises(StoreError, match="cut off"):
        frame(empty)
    problems: list[str] = []
    table = frame(empty, problems=problems)
    assert len(table) == 1
    assert table.attrs["problems"] == problems
    assert len(problems) == 1


def test_names() -> None:
    assert column("test-unseen-voice") == "test_unseen_voice"
    assert label("imp", {"rounds": 3, "rewind": True}) == "imp[rewind=True,rounds=3]"
    assert label("imp", {}) == "imp"
    assert DEVICE


def test_records_of_two_versions_of_a_method_are_told_apart(empty: Path) -> None:
    commit(empty, ok_data(spec()), 0.05)
    for version in ("1", "2"):
        cell = spec("l1_group", "prunable_stored", 0.6)
        cell["method"] = {**cell["method"], "version": version}
        commit(empty, ok_data(cell, stored=0.6, nominal=0.6), 0.1)
    assert sorted(frame(empty)["label"]) == ["dense", "l1_group@1", "l1_group@2"]


# --- choosing normalisers -----------------------------------------------------------------------------------------


def language(code: str, *cell: object, **changes: object) -> dict[str, object]:
    corpus = {"name": f"fake-{code}", "version": "1", "language": code, "options": {}}
    return spec(*cell, corpus=corpus, **changes)  # type: ignore[arg-type]


@pytest.fixture
def languages(empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dense and one pruned cell of a language of words, one of characters, and one whose normaliser is broken."""
    fakes.only(monkeypatch, fakes.Words, fakes.Letters, fakes.Broken)
    for code in ("xa", "xb", "xc"):
        commit(empty, ok_data(language(code)), 0.05, {"test": 20})
        commit(empty, ok_data(language(code, "imp", "prunable_nominal", 0.5), nominal=0.5), 0.6, {"test": 20})
    fail(empty, language("xa", "random", "prunable_nominal", 0.5), "no")
    return empty


def test_auto_scores_each_setting_by_its_own_language(languages: Path) -> None:
    faults: list[str] = []
    table = frame(languages, normalizer="auto", faults=faults)
    done = table[table["status"] == "ok"].groupby("language")
    assert done["metric"].unique().str[0].dropna().to_dict() == {"xa": "wer", "xb": "cer"}
    assert done["unit"].first().dropna().to_dict() == {"xa": "word", "xb": "char"}
    assert done["signature"].first()["xb"].startswith("cer|letters:1|char|greedy")
    assert table["metric"].isna().sum() == 3  # the failure, and the language that could not be scored
    assert (table.attrs["metric"], table.attrs["normalizer"]) == ("error", "auto")
    for code, metric in (("xa", "wer"), ("xb", "cer")):
        rows = table[(table["language"] == code) & (table["status"] == "ok")]
        for part in ("", "_lo", "_hi", "_delta", "_delta_lo", "_delta_hi"):
            assert rows[f"test_error{part}"].equals(rows[f"test_{metric}{part}"])
        assert rows["test_error"].notna().all() and rows["rank"].dropna().tolist() == [1]


def test_a_broken_normaliser_costs_its_settings_scores_and_no_row(languages: Path) -> None:
    faults: list[str] = []
    table = frame(languages, normalizer="auto", faults=faults)
    broken = table[table["language"] == "xc"]
    assert len(broken) == 2 and broken[["test_wer", "test_error", "rank"]].isna().all(axis=None)
    assert len(faults) == 1 and "'broken' failed on utterance test-0: KeyError" in faults[0]
    assert table.attrs["faults"] == faults and "tests.fake_normalizers.Broken" in faults[0]
    with pytest.raises(BrokenNormalizerError, match="'broken'"):
        frame(languages, normalizer="auto")


def test_a_front_is_drawn_within_each_settings_own_metric(languages: Path) -> None:
    table = frame(languages, normalizer="auto", faults=[])
    scored_ones = table[table["test_error"].notna()]
    assert front_cells(table) == set(scored_ones["cell"])  # dense is better, the pruned one is smaller


def test_a_language_without_a_normaliser_is_refused(languages: Path) -> None:
    commit(languages, ok_data(language("qq")), 0.1, {"test": 5})
    with pytest.raises(SpecError, match="no normalizer for language 'qq'"):
        frame(languages, normalizer="auto", faults=[])


def test_several_normalisers_have_columns_each_and_the_first_ranks(run: Path, table: pd.DataFrame) -> None:
    both = frame(run, normalizer=[Plain(), "hindi[nasal=off]", "whisper_basic"])
    pd.testing.assert_frame_equal(both[table.columns.tolist()], table)
    assert list(both.attrs["others"]) == ["hindi_nasal_off", "whisper_basic"]
    alone = frame(run, normalizer="whisper_basic")
    added = alone.columns[alone.columns.get_loc("test_wer") :]  # type: ignore[misc]
    assert "rank" in added and "signature" in added
    for name in added:
        assert both[f"whisper_basic__{name}"].equals(alone[name])
    assert both.attrs["others"]["whisper_basic"]["signature"] == alone.attrs["signature"]


def test_of_several_normalisers_the_first_that_works_ranks(languages: Path) -> None:
    faults: list[str] = []
    table = frame(languages, normalizer="broken,words", faults=faults)
    assert table.attrs["normalizer"] == "words" and table.loc[table["status"] == "ok", "test_wer"].notna().all()
    assert table["broken__test_wer"].isna().all() and len(faults) == 1
    faults = []
    only = frame(languages, normalizer="broken", faults=faults)
    assert len(only) == 7 and only["rank"].isna().all() and faults


def test_transcripts_of_two_decoders_are_kept_apart_or_refused(empty: Path) -> None:
    commit(empty, ok_data(spec()), 0.1, {"test": 5})
    commit(empty, ok_data(spec(decoding={"beams": 5})) | {"decoding": {"signature": "beam=5"}}, 0.1, {"test": 5})
    assert frame(empty, normalizer=Plain())["setting"].nunique() == 2  # asked for two: two tables
    other = ok_data(spec("imp", "prunable_nominal", 0.5)) | {"decoding": {"signature": "greedy,max=99"}}
    cell = commit(empty, other, 0.1, {"test": 5}).cell
    with pytest.raises(StoreError) as raised:  # asked for one
        frame(empty, normalizer=Plain())
    said = str(raised.value)
    assert all(part in said for part in (cell, "greedy,max=99", "greedy,max=44", "decoded differently"))
    assert len(frame(empty)) == 3


def test_two_choices_of_one_name_have_two_prefixes(run: Path) -> None:
    both = frame(run, normalizer=["identity", Plain(), Plain()], timings=False)
    assert list(both.attrs["others"]) == ["plain", "plain_2"]

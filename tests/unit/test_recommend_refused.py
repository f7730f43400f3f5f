"""What ``prunebench recommend`` refuses in one line, and what it leaves out: limits, devices, mixed or broken runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.store.folders import keep_spec, open_run
from benchmark.store.records import latest
from benchmark.store.timings import write_timing
from tests import fake_normalizers as fakes
from tests import fake_runs
from tests.fake_runs import commit, ok_data, spec

if TYPE_CHECKING:
    from tests.recommending import Call

pytest_plugins = ["tests.recommending"]


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
    assert "device 'slow-fone' timed none of these; did you mean 'slow-phone'?" in refused(
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


def test_a_speed_and_its_spread_are_of_one_batch_size(two_devices: Path, call: Call) -> None:
    newer = [
        {"cell": one.cell, "attempt": one.attempt, "batch": 32, "speedup": 2.0, "speedup_lo": 1.9, "speedup_hi": 2.1}
        for one in latest(two_devices)
        if one.ok and one.data["spec"]["method"]["name"] != "dense"
    ]  # of fewer cells than batch 1
    write_timing(two_devices, "slow-phone", newer)
    out = call(two_devices, "--device", "slow-phone", "--max-wer", 50, "--normalizer", "identity")[1]
    assert "0.50× [0.40×, 0.60×]" in out and "2.10×" not in out and "batch 1;" in out


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

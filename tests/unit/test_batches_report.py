"""Speeds by batch size are those of the newest rows of one device, over seeds by geometric mean; masks are no speed."""

from __future__ import annotations

from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.cli.main import invoke
from benchmark.errors import NothingToReportError
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from benchmark.store.records import Record
from benchmark.store.timings import write_timing
from reports._batches_data import by_batch, speeds
from reports._batches_picture import MOST_NAMED, draw, left_out, panels
from reports.batches import Batches
from tests.fake_runs import commit, ok_data, spec

DEVICE = "slow-board"
Cells = dict[str, list[Record]]


def put(run: Path, method: str, keep: float | None = None, kind: str = "", seeds: int = 1, **data: Any) -> list[Record]:
    """Commit the cells of one entry."""
    kind = kind or ("none" if keep is None else "prunable_stored")
    stored = keep if kind == "prunable_stored" and keep else 1.0
    made = [ok_data(spec(method, kind, keep, seed=seed), stored=stored) for seed in range(seeds)]
    for one in made:
        one["counts"] |= data
    return [commit(run, one, 0.1, {"test": 6}) for one in made]


def timed(record: Record, batch: int, speedup: float, **more: Any) -> dict[str, Any]:
    """Return a timing row; dense does 100 x real time at any batch."""
    ends = {"rtfx_lo": 95 * speedup, "rtfx_hi": 105 * speedup, "speedup_lo": speedup - 0.1, "speedup_hi": speedup + 0.1}
    row = {"cell": record.cell, "attempt": record.attempt, "batch": batch, "rtfx": 100 * speedup, "speedup": speedup}
    return row | ends | {"peak_memory": round(1e6 * batch / speedup)} | more


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return open_run(tmp_path / "run", create=True)


@pytest.fixture
def cells(run: Path) -> Cells:
    """Three seeds, of which one is timed at 32; one seed; a mask; what has no budget; dense."""
    found = {
        "dense": put(run, "dense"),
        "l1_group": put(run, "l1_group", 0.5, seeds=3),
        "taylor": put(run, "taylor", 0.25),
        "int8": put(run, "int8"),
        "imp": put(run, "imp", 0.5, kind="prunable_nominal"),
        "columns": put(run, "columns", 0.5, kind="prunable_nominal", params_stored=900_000),
    }
    at = {"dense": (1.0, 1.01), "taylor": (1.2, 1.9), "int8": (0.9, 1.4), "imp": (0.97, 1.02), "columns": (1.1, 1.2)}
    rows = [timed(found[name][0], 1, speeds[0]) for name, speeds in at.items()]
    rows += [timed(found[name][0], 8, speeds[1]) for name, speeds in at.items()]
    for record, one, eight in zip(found["l1_group"], (1.0, 1.1, 1.3), (1.5, 1.6, 2.1), strict=True):
        rows += [timed(record, 1, one), timed(record, 8, eight)]
    write_timing(run, DEVICE, [timed(found["l1_group"][0], 8, 9.9), timed(found["taylor"][0], 1, 9.9)])
    write_timing(run, DEVICE, rows)
    write_timing(run, DEVICE, [timed(found["l1_group"][0], 32, 2.5)])
    return found


def scored(run: Path, **more: Any) -> pd.DataFrame:
    return frame(run, normalizer="identity", **more)


def test_numbers_are_those_of_the_newest_rows(run: Path, cells: Cells) -> None:
    nobody = {"cell": "f" * 16, "attempt": "never", "batch": 64, "speedup": 50.0, "rtfx": 5000.0}
    older = {**timed(cells["taylor"][0], 128, 70.0), "attempt": "another attempt"}
    write_timing(run, DEVICE, [nobody, older])
    table = scored(run)
    found = by_batch(table).set_index(["entry", "batch"])
    entry = dict(zip(table["cell"], table["entry"], strict=True))
    assert set(found.index.get_level_values("batch")) == {1, 8, 32}
    assert len(found) == 2 * 6 + 1
    three = entry[cells["l1_group"][0].cell]
    at_8 = found.loc[three, 8]
    assert (at_8["seeds"], at_8["speedup"]) == (3, pytest.approx(geometric_mean([1.5, 1.6, 2.1])))
    assert at_8["rtfx"] == pytest.approx(geometric_mean([150, 160, 210]))
    assert (at_8["speedup_min"], at_8["speedup_max"]) == (1.5, 2.1)
    assert (at_8["speedup_from"], at_8["speedup_to"]) == (1.5, 2.1), "of several seeds the extremes"
    assert at_8["speedup_lo"] == pytest.approx(geometric_mean([1.4, 1.5, 2.0]))
    assert at_8["peak_memory"] == pytest.approx(mean([8e6 / 1.5, 8e6 / 1.6, 8e6 / 2.1]), rel=1e-5)
    at_32 = found.loc[three, 32]
    assert (at_32["seeds"], at_32["speedup"]) == (1, pytest.approx(2.5))
    assert (at_32["speedup_from"], at_32["speedup_to"]) == pytest.approx((2.4, 2.6)), "of one seed its quartiles"
    one = entry[cells["taylor"][0].cell]
    assert found.loc[one, 1]["speedup"] == pytest.approx(1.2), "the older row said 9.9"
    assert (one, 32) not in found.index


def test_two_devices_are_never_mixed(run: Path, cells: Cells, tmp_path: Path) -> None:
    write_timing(run, "fast-board", [timed(cells["taylor"][0], batch, 7.0 + batch) for batch in (2, 4)])
    assert set(by_batch(scored(run))["batch"]) == {1, 8, 32}
    fast = scored(run, device="fast-board")
    assert by_batch(fast)["speedup"].tolist() == pytest.approx([9, 11])
    paths = {path.suffix: path for path in Batches().write(fast, tmp_path / "out")}
    said = paths[".md"].read_text()
    assert "Timed on fast-board. Also timed: slow-board" in said
    assert "5 finished entries are not timed on this device" in said


def test_files(run: Path, cells: Cells, tmp_path: Path) -> None:
    paths = {path.name: path for path in Batches().write(scored(run), tmp_path / "out")}
    assert set(paths) == {f"batches.{kind}" for kind in ("md", "csv", "png", "svg")}
    told = pd.read_csv(paths["batches.csv"])
    assert len(told) == 13 and set(told["block"]) == {"reference", "stored", "mask"}
    lines = paths["batches.md"].read_text().splitlines()
    rows = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in lines if line.startswith("|")}
    assert rows["method"][3:7] == ["seeds", "speed-up, batch 1", "speed-up, batch 8", "speed-up, batch 32"]
    assert rows["l1_group"][1:7] == [
        *("stored", "50 %", "3, 3, 1", "1.13× [1.00, 1.30]", "1.71× [1.50, 2.10]", "2.50× [2.40, 2.60]")
    ]
    assert rows["taylor"][3:] == [
        *("1", "1.20× [1.10, 1.30]", "1.90× [1.80, 2.00]", "–", "120", "190", "–", "833 kB", "4.21 MB", "–")
    ]
    assert set(rows) == {"method", "---", "dense", "l1_group", "taylor", "int8"}, "no row of a mask"
    masked = [line for line in lines if line.startswith(("- The mask block", "- Mask block"))]
    assert "(2 entries) is neither listed nor drawn" in masked[0]
    assert "as large as dense" in masked[1] and "1 entries" in masked[1] and "batch 8 1.02× [1.02, 1.02]" in masked[1]
    assert "smaller as saved" in masked[2] and "batch 8 1.20× [1.20, 1.20]" in masked[2]


def test_the_picture_shows_what_can_be_faster_against_dense(run: Path, cells: Cells) -> None:
    found = speeds(scored(run))
    assert [panel.title for panel in panels(found)] == [
        *("stored block, 50 % kept", "stored block, 25 % kept", "no budget: own operating point")
    ]
    figure = draw(found, DEVICE)
    half, quarter, free = (ax for ax in figure.axes if ax.axison)
    for ax in (half, quarter, free):
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1\n100", "8\n101", "32"], "RTFx of dense"
        assert "dense 1×" in [label.get_text() for label in ax.get_yticklabels()]
        assert any(list(line.get_ydata()) == [1, 1] for line in ax.get_lines()), "dense is the line at 1"
        assert ax.get_ylim() == half.get_ylim()
    assert [{text.get_text() for text in ax.texts} - {""} for ax in (half, quarter, free)] == [
        *({"l1_group"}, {"taylor"}, {"int8"})
    ]
    drawn = [line for line in half.get_lines() if len(line.get_xdata()) == 3]
    assert drawn[0].get_ydata() == pytest.approx([1.1266, 1.7145, 2.5], abs=1e-3)
    _, full, hollow = half.collections
    assert (len(full.get_offsets()), len(hollow.get_offsets())) == (2, 1), "one seed of three is told by a hollow mark"
    assert np.allclose(hollow.get_facecolor(), 1)


def test_more_entries_than_names(run: Path) -> None:
    many = MOST_NAMED + 3
    records = [put(run, f"method{number:02}", 0.5)[0] for number in range(many)]
    write_timing(run, DEVICE, [timed(one, b, 1 + at / 9) for at, one in enumerate(records) for b in (1, 8)])
    found = speeds(scored(run))
    panel = panels(found)[0]
    assert panel.title.endswith(f"(named: the fastest {MOST_NAMED} of {many})")
    ax = draw(found, DEVICE).axes[0]
    assert {text.get_text() for text in ax.texts} - {""} == {f"method{number:02}" for number in range(3, many)}
    places = sorted(text.xy[1] for text in ax.texts if text.get_text())
    assert min(np.diff(places)) > 0.05 and places[0] >= 0 and places[-1] <= 1, "names neither overlap nor leave"


def test_more_panels_than_are_drawn_are_said(run: Path) -> None:
    keeps = np.linspace(0.2, 0.9, 14).round(2)
    records = [put(run, "taylor", float(keep))[0] for keep in keeps]
    write_timing(run, DEVICE, [timed(one, b, 1.2) for one in records for b in (1, 8)])
    found = speeds(scored(run))
    assert left_out(found).startswith("2 more panels are not drawn")
    assert sum(ax.axison for ax in draw(found, DEVICE).axes) == 12


def test_one_batch_is_nothing_to_report(run: Path, tmp_path: Path) -> None:
    records = [put(run, "taylor", 0.5)[0], put(run, "dense")[0], put(run, "imp", 0.5, kind="prunable_nominal")[0]]
    with pytest.raises(NothingToReportError, match="nothing is timed; prunebench profile RUNS --batch 32 does it"):
        Batches().write(scored(run), tmp_path / "out")
    write_timing(run, DEVICE, [timed(one, 32, 1.1) for one in records])
    with pytest.raises(NothingToReportError, match="at batch 32 only; prunebench profile RUNS --batch 8 adds another"):
        Batches().write(scored(run), tmp_path / "out")
    # What cannot be faster does not make a picture.
    write_timing(run, DEVICE, [timed(one, 1, 1.1) for one in records[1:]])
    with pytest.raises(NothingToReportError, match="all that can be faster is timed at batch 32 only"):
        Batches().write(scored(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_alone_are_nothing_to_report(run: Path) -> None:
    record = put(run, "imp", 0.5, kind="prunable_nominal")[0]
    write_timing(run, DEVICE, [timed(record, batch, 1.0) for batch in (1, 8)])
    with pytest.raises(NothingToReportError, match="only dense and masked artefacts are timed"):
        speeds(scored(run))


def test_rows_that_lack_a_part(run: Path, tmp_path: Path) -> None:
    """An older record has neither peak memory nor quartiles of the speed-up."""
    record = put(run, "taylor", 0.5)[0]
    short = {"cell": record.cell, "attempt": record.attempt, "rtfx": 120.0, "speedup": 1.2}
    write_timing(run, DEVICE, [short | {"batch": 1, "peak_memory": None}, short | {"batch": 8}])
    paths = Batches().write(scored(run), tmp_path / "out")
    assert "| 1.20× | 1.20× | 120 | 120 | – | – |" in paths[0].read_text()


def test_several_boards(run: Path, tmp_path: Path) -> None:
    records = [put(run, "taylor", 0.5)[0]]
    other = spec("taylor", "prunable_stored", 0.5, corpus={"name": "fake-mr", "version": "1", "language": "mr"})
    records.append(commit(run, ok_data(other, stored=0.5), 0.1, {"test": 6}))
    write_timing(run, DEVICE, [timed(one, batch, 1.4) for one in records for batch in (1, 8)])
    # A third, timed at one batch only, stands beside them with a panel of one mark a line.
    third = spec("taylor", "prunable_stored", 0.5, corpus={"name": "fake-ta", "version": "1", "language": "ta"})
    single = commit(run, ok_data(third, stored=0.5), 0.1, {"test": 6})
    write_timing(run, DEVICE, [timed(single, 8, 1.3)])
    found = speeds(scored(run))
    assert sorted(panel.title.split()[2] for panel in panels(found)) == ["fake-hi", "fake-mr", "fake-ta"]
    said = Batches().write(scored(run), tmp_path / "out")[0].read_text()
    assert said.count("\n## ") == 3


def test_the_command_line_says_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = put(run, "taylor", 0.5)[0]
    write_timing(run, DEVICE, [timed(record, 8, 1.2)])
    asked = ["report", str(run), "--out", str(tmp_path / "out"), "--only", "batches", "--normalizer", "identity", "-q"]
    assert invoke(asked) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "prunebench profile RUNS --batch 32" in line
    write_timing(run, DEVICE, [timed(record, 1, 1.1)])
    assert invoke(asked) == 0
    assert (tmp_path / "out" / "batches.png").is_file()


def test_the_note_of_every_board_says_the_batch(run: Path, cells: Cells) -> None:
    from reports._content import boards

    assert any(
        note.startswith(f"Timed on {DEVICE} at batch 8, interleaved with dense.")
        for note in boards(scored(run))[0].notes
    )

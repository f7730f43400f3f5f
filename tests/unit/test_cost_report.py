"""The report of training cost: seconds only where they may be compared, passes beside them, the front by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from benchmark.cli.main import invoke
from benchmark.errors import NothingToReportError, StoreError
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from reports._content import boards
from reports._cost_data import costs
from reports._cost_picture import draw
from reports.cost import Cost
from tests.fake_runs import Plain, commit, fail, make, ok_data, spec

SPLITS = {"test": 30}
CPU, GPU = {"device": "cpu", "threads": 1}, {"device": "fake-gpu", "threads": 4}
EVIL = "<script>alert('x')</script> | $\\frac{1}$"
Paths = dict[str, Path]


def put(
    run: Path, method: str, keep: float | None, error: float, seconds: float, *where: dict[str, Any], seed: int = 0,
    options: dict[str, Any] | None = None, **training: Any,
) -> None:  # fmt: skip
    """Write a cell of the mask block (or without a budget) that took so long."""
    cell = spec(method, "none" if keep is None else "prunable_nominal", keep, seed=seed)
    cell["method"]["options"] = options or {}
    data = ok_data(cell, nominal=keep or 1.0)
    trained_on = [{**one, "commit": "0000000"} for one in where or (CPU,)]
    data["training"] |= {"seconds": seconds, "teacher_passes": 0, "trained_on": trained_on, **training}
    commit(run, data, error, SPLITS)


def shipped(run: Path) -> None:
    data = ok_data(spec("shipped", training=None))
    data["training"] |= {"teacher_passes": 0, "trained_on": []}
    commit(run, data, 0.02, SPLITS)


def written(run: Path, out: Path) -> tuple[pd.DataFrame, str, Paths]:
    paths = {path.suffix: path for path in Cost().write(frame(run, normalizer=Plain()), out)}
    return pd.read_csv(paths[".csv"]), paths[".md"].read_text(), paths


def words(table: pd.DataFrame) -> str:
    """Return all that stands in the picture."""
    return " ".join(text.get_text() for text in draw(costs(table)).findobj(Text)).replace("\n", " ")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Methods at 50 %, whose front is known, beside dense, shipped, and a seed that failed."""
    run = open_run(tmp_path_factory.mktemp("cost") / "run", create=True)
    put(run, "dense", None, 0.03, 30.0)
    shipped(run)
    for seed, seconds in ((0, 30.0), (1, 36.0)):
        put(run, "magnitude", 0.5, 0.3, seconds, seed=seed)
    fail(run, spec("magnitude", "prunable_nominal", 0.5, seed=2), "lost")
    put(run, "wanda", 0.5, 0.2, 40.0, {**CPU, "commit": "1"}, CPU, calibration_passes=128)
    put(run, "imp", 0.5, 0.5, 50.0)  # beaten by wanda
    put(run, "taught", 0.5, 0.1, 60.0, teacher_passes=1920, calibration_passes=64, options={"name": EVIL})
    fail(run, spec("random", "prunable_nominal", 0.5), "lost")
    put(run, "imp", 0.3, 0.9, 70.0)  # another budget, alone there
    return run


def test_seconds_passes_and_fronts(run: Path, tmp_path: Path) -> None:
    told, text, paths = written(run, tmp_path)
    assert set(paths) == {".md", ".csv", ".png", ".svg"} and paths[".png"].read_bytes().startswith(b"\x89PNG")
    table = told.assign(method=told["label"].str.partition("[")[0]).set_index(["method", "keep"])
    at_half = table.xs(0.5, level="keep")
    assert at_half["front"].to_dict() == {"magnitude": True, "wanda": True, "taught": True, "imp": False}
    assert bool(table.loc[("imp", 0.3), "front"])
    without = told[told["keep"].isna()]
    assert set(without["label"]) == {"dense", "shipped"} and without["front"].isna().all()
    several = at_half.loc["magnitude"]
    assert several[["train_seconds", "train_seconds_min", "train_seconds_max"]].tolist() == [33.0, 30.0, 36.0]
    assert (several["seeds"], several["asked"]) == (2, 3)
    assert at_half["extra_passes"].to_dict() == {"magnitude": 0, "wanda": 128, "imp": 0, "taught": 1984}
    assert without.set_index("label").loc["shipped", "train_seconds"] == 0
    assert set(told.loc[told["steps"] > 0, "fitted_on"]) == {"cpu, 1 thread"}  # a commit is no other place
    assert "Trained on cpu, 1 thread" in text and "differ by up to 20 %" in text and "2 of 3" in text
    assert "1 entry without a result not shown." in text and "front |" in text
    assert "do not add up to what was paid" in text


def test_the_picture_says_what_it_shows(run: Path) -> None:
    table = frame(run, normalizer=Plain())
    said = words(table)
    for one in ("seconds of training (cpu, 1 thread)", "extra utterances passed", "magnitude (2 of 3 seeds)", "wanda"):
        assert one in said
    figure = draw(costs(table))
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_title(loc="left")}
    assert set(panels) == {"mask block, 50 % kept", "mask block, 30 % kept"}
    bold = {text.get_text() for text in figure.findobj(Text) if text.get_weight() == "bold"}
    assert {"wanda", "magnitude (2 of 3 seeds)", "imp"} <= bold and "dense" not in bold
    right = max(float(np.asarray(line.get_xdata()).max()) for line in panels["mask block, 50 % kept"].lines[:1])
    assert right == pytest.approx(panels["mask block, 50 % kept"].get_xlim()[1])  # the front goes on level


def test_labels_are_shown_as_text(run: Path, tmp_path: Path) -> None:
    _, text, paths = written(run, tmp_path)
    assert "<script>" not in text + paths[".svg"].read_text() and "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (GPU, "the records were trained on cpu, 1 thread and on fake-gpu, 4 threads"),
        ({**CPU, "threads": 2}, "the records were trained on cpu, 1 thread and on cpu, 2 threads"),
    ],
)
def test_seconds_of_two_devices_are_not_drawn(tmp_path: Path, other: dict[str, Any], why: str) -> None:
    run = open_run(tmp_path / "run", create=True)
    put(run, "magnitude", 0.5, 0.3, 30.0)
    put(run, "wanda", 0.5, 0.2, 4.0, other, calibration_passes=128)
    put(run, "imp", 0.5, 0.2, 30.0)
    put(run, "imp", 0.5, 0.2, 4.0, other, seed=1)
    told, text, _ = written(run, tmp_path / "out")
    one = told.set_index("label")
    assert told["front"].isna().all() and why in text
    assert one["train_seconds"].isna().to_dict() == {"magnitude": False, "wanda": False, "imp": True}
    assert "trained on |" in text and "front |" not in text
    assert " / " in one.loc["imp", "fitted_on"] and one.loc["magnitude", "fitted_on"] == "cpu, 1 thread"
    said = words(frame(run, normalizer=Plain()))
    assert "seconds of training (" not in said and why in said and "extra utterances passed" in said


def test_one_cell_trained_on_two_devices_mixes_them_too(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    put(run, "magnitude", 0.5, 0.3, 30.0, CPU, GPU)
    told, text, _ = written(run, tmp_path / "out")
    assert told["fitted_on"].tolist() == ["cpu, 1 thread + fake-gpu, 4 threads"] and told["front"].isna().all()
    assert "seconds are not compared" in text.lower()


def test_records_that_do_not_say_where(tmp_path: Path) -> None:
    told, text, _ = written(make(tmp_path / "run", keeps=(0.6,)), tmp_path / "out")
    assert told["front"].isna().all() and "some records do not say on what they were trained" in text


def test_without_passes_seconds_are_drawn_alone(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    put(run, "magnitude", 0.5, 0.3, 30.0)
    assert "extra utterances" not in words(frame(run, normalizer=Plain()))


def test_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = open_run(tmp_path / "run", create=True)
    with pytest.raises(StoreError, match="nothing to report"):
        Cost().write(frame(run, normalizer=Plain()), tmp_path / "out")
    fail(run, spec("imp", "prunable_nominal", 0.5), "too far")
    with pytest.raises(NothingToReportError):
        Cost().write(frame(run, normalizer=Plain()), tmp_path / "out")
    shipped(run)
    out = tmp_path / "out"
    code = invoke(["report", str(run), "--out", str(out), "--normalizer", "identity", "-q", "--only", "cost"])
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2 and "run a spec with training steps" in line and not (out / "cost.md").exists()


# --- where, in the notes of a board -------------------------------------------------------------------------------


def noted(run: Path) -> list[str]:
    (board,) = boards(frame(run, normalizer=Plain()))
    return [note for note in board.notes if "ecoded on" in note]


def test_a_board_says_where_models_were_trained_and_where_decoded(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    here = {"device": "fake-cpu", "threads": 1}  # where fakes are decoded
    put(run, "dense", None, 0.02, 10.0, here)
    put(run, "imp", 0.5, 0.03, 10.0, here)
    assert noted(run) == ["Trained and decoded on fake-cpu, 1 thread."]
    put(run, "random", 0.5, 0.5, 10.0, here)
    put(run, "random", 0.5, 0.5, 10.0, GPU, here, seed=1)  # a node of another machine; not the entry's first seed
    (note,) = noted(run)
    assert note == "Trained on fake-cpu, 1 thread + fake-gpu, 4 threads; decoded on fake-cpu, 1 thread."
    old = ok_data(spec("magnitude", "prunable_nominal", 0.5))
    assert "trained_on" not in old["training"]
    commit(run, old, 0.1, SPLITS)
    (note,) = noted(run)
    assert note.endswith("decoded on fake-cpu, 1 thread; of some no record says where they were trained.")


def test_what_nobody_trained_was_only_decoded(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    shipped(run)
    assert noted(run) == ["Decoded on fake-cpu, 1 thread."]
    fitted, decoded = frame(run).loc[0, ["fitted_on", "decoded_on"]]
    assert (fitted, decoded) == ("", "fake-cpu, 1 thread")

"""What ``prunebench recommend`` tells: the artefact to ship, its runner-up, and how its files are had."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from benchmark.specs import Leaderboard
from benchmark.store.folders import keep_spec, open_run
from benchmark.store.frame import frame
from benchmark.store.records import MODEL
from reports._content import score_column
from reports._recommend_entries import candidates
from tests.fake_runs import commit, ok_data, spec

if TYPE_CHECKING:
    from tests.recommending import Call

pytest_plugins = ["tests.recommending"]


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

"""Status and report while ``tune-all`` has made some of its studies only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from benchmark.cli.main import invoke
from benchmark.store.folders import open_run
from studies._run import checked, opened
from studies._spec import StudySpec, load_study


@pytest.fixture
def asked(tmp_path: Path) -> tuple[StudySpec, list[str]]:
    """A spec of two studies, and what status and report are told."""
    data = load_study("tiny").model_dump(mode="json", exclude_unset=True) | {"keep": [0.6, 0.5]}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    spec = load_study(tmp_path / "spec.yaml")
    assert len(spec.points()) == 2
    return spec, [str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "out")]


@pytest.mark.parametrize("there", [0, 1])
@pytest.mark.parametrize(("verb", "code"), [("status", 0), ("report", 1)])  # 1: nothing is feasible yet
def test_a_study_that_is_not_there_yet_is_said_to_be_not_begun(
    there: int, verb: str, code: int, asked: tuple[StudySpec, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    spec, told = asked
    begun, missing = spec.points()[there], spec.points()[1 - there]
    open_run(Path(told[-1]), create=True)
    opened(spec, begun, Path(told[-1]), checked(spec, begun), create=True)
    assert invoke(["study", verb, *told]) == code
    said = capsys.readouterr().out
    assert f"study {missing.name}: not begun" in said and f"study {begun.name}: not begun" not in said
    assert begun.name in said
    if verb == "status":
        assert invoke(["study", verb, *told, "--json"]) == 0
        assert [one["study"] for one in json.loads(capsys.readouterr().out)] == [begun.name]


@pytest.mark.parametrize("verb", ["status", "report"])
def test_where_none_is_there_it_is_one_line(
    verb: str, asked: tuple[StudySpec, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    open_run(Path(asked[1][-1]), create=True)
    assert invoke(["study", verb, *asked[1]]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("prunebench: error: ") and "prunebench study run" in said and "\n" not in said

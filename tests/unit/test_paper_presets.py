"""The presets of the paper's comparison: they fit what they name, and the paper's model has its commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.harness.tree import grow
from benchmark.spec_files import load_spec, validate
from benchmark.specs import Leaderboard
from studies._spec import load_study
from tests.unit.test_common_voice import pack, put

SIZES = ("small", "medium")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cv")
    put(root, release="11")
    return pack(root, "cv-corpus-11.0-2022-09-21-hi.tar.gz")


@pytest.mark.parametrize("size", SIZES)
def test_a_preset_with_the_users_path_is_a_whole_leaderboard(size: str, release: Path) -> None:
    preset = load_spec(f"paper-{size}-hi")
    assert Path(preset.corpus.options["path"]).name == release.name
    options = {**preset.corpus.options, "path": str(release)}
    spec = preset.model_copy(update={"corpus": preset.corpus.model_copy(update={"options": options})})
    tree = grow(validate(Leaderboard.model_validate(spec.model_dump(mode="json"))))
    assert len(tree.cells) == len(preset.seeds) * (3 + 3 * 5)
    assert {path.steps for path in tree.cells} == {0, 5000}
    assert {path.cell.corpus["language"] for path in tree.cells} == {"hi"}


@pytest.mark.parametrize("size", SIZES)
def test_leaderboard_and_study_of_the_paper_are_about_the_same_weights_and_recipe(size: str) -> None:
    board, study = load_spec(f"paper-{size}-hi"), load_study(f"paper-{size}")
    assert board.model == study.model
    assert board.training.identity() == study.training.identity()
    assert board.normalizer == study.normalizer == "hindi"

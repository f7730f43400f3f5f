"""The command that a card gives is parsed by the command line itself, and the cells that it names are the record's."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.cli.main import invoke
from benchmark.harness.tree import grow, grown
from benchmark.reproduce import Recipe, narrowed_spec, of_cell, of_runs
from benchmark.spec_files import load_spec, override, parse
from benchmark.specs import Leaderboard
from benchmark.store.folders import keep_spec, open_run
from benchmark.store.records import Attempt, Record


def begun(run: Path, spec: Leaderboard) -> list[Record]:
    """Return one record a cell of a leaderboard, in a run folder that keeps its spec, as the harness writes them."""
    open_run(run, create=True)
    records = []
    for tree in grown(spec):
        keep_spec(run, tree.spec.model_dump(mode="json"), [path.cell.id for path in tree.cells])
        for path in tree.cells:
            attempt = Attempt.create(run, path.cell.id, path.cell.identity())
            failed = {"status": "failed", "error": {"type": "X", "message": "y"}, "spec": path.cell.identity()}
            records.append(attempt.commit(failed))
    return records


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[Leaderboard]:
    """The specs that the command line would have carried out."""
    found: list[Leaderboard] = []

    def take(spec: Leaderboard, *_: Any) -> int:
        found.append(spec)
        return 0

    for verb in ("leaderboard", "run"):
        monkeypatch.setattr(f"benchmark.cli.{verb}.carry_out", take)
    return found


def made_by(recipe: Recipe, carried: list[Leaderboard], folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the ids of the cells that a recipe makes, as told by the command line and the tree."""
    monkeypatch.chdir(folder)
    if recipe.spec is not None:
        (folder / recipe.file).write_text(recipe.spec, encoding="utf-8")
    program, *arguments = shlex.split(recipe.command)
    assert program == "prunebench" and invoke(arguments) == 0
    return {path.cell.id for tree in grown(carried.pop()) for path in tree.cells}


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"seeds": [3, 4], "steps": 8, "normalizer": "identity"},
        {"methods": ["magnitude"], "budgets": [0.7]},
        {"budgets": [0.9, 0.7], "steps": 30},
    ],
)
def test_a_preset_with_flags_names_the_cell(
    flags: dict[str, Any], tmp_path: Path, carried: list[Leaderboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = override(load_spec("tiny"), **flags)
    records = begun(tmp_path / "run", spec)
    for record in records:
        recipe = of_cell(record)
        assert recipe.spec is None and recipe.command.startswith("prunebench leaderboard --preset tiny")
        made = made_by(recipe, carried, tmp_path, monkeypatch)
        assert record.cell in made and len(made) < max(8, len(records))
    (whole,) = of_runs([tmp_path / "run"], {record.cell for record in records})
    assert whole.spec is None and whole.run == "out/tiny"
    assert made_by(whole, carried, tmp_path, monkeypatch) == {record.cell for record in records} == whole.cells


def test_languages_of_one_preset_are_one_command(
    tmp_path: Path, carried: list[Leaderboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = begun(tmp_path / "run", override(load_spec("languages"), languages=["ta", "hi"]))
    (whole,) = of_runs([tmp_path / "run"], {record.cell for record in records})
    assert "--languages" in whole.command
    assert made_by(whole, carried, tmp_path, monkeypatch) == {record.cell for record in records}
    recipe = of_cell(records[0])
    assert shlex.split(recipe.command)[-2] == "--languages"
    assert records[0].cell in made_by(recipe, carried, tmp_path, monkeypatch)


def test_a_whole_preset_of_languages_needs_no_flag(tmp_path: Path) -> None:
    records = begun(tmp_path / "run", load_spec("languages"))
    (whole,) = of_runs([tmp_path / "run"], {record.cell for record in records})
    assert whole.command == "prunebench leaderboard --preset languages"


OWN = {
    "name": "own",
    "corpus": {"name": "synthetic-hi", "evaluate": {"test": 24}},
    "grid": [
        {"methods": ["dense"], "budget": "none"},
        {
            "methods": [{"name": "imp", "options": {"round_share": 0.1}}],
            "budget": "prunable_nominal",
            "keep": [0.7, 0.5],
        },
        {"methods": ["shipped"], "budget": "none"},
    ],
    "training": {"steps": 12, "learning_rate": 3e-4},
    "decoding": {"beams": 2},
    "seeds": [0, 5],
}


@pytest.mark.parametrize("name", ["own", "tiny"])  # a name alone makes no preset
def test_any_other_spec_is_written_out(
    name: str, tmp_path: Path, carried: list[Leaderboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parse({**OWN, "name": name}, "a test")
    records = begun(tmp_path / "run", spec)
    for record in records:
        recipe = of_cell(record, "identity")
        assert recipe.command == "prunebench run spec.yaml" and not recipe.fill_in
        made = made_by(recipe, carried, tmp_path, monkeypatch)
        assert record.cell in made and len(made) <= 2  # and the dense model of its seed
        assert yaml.safe_load(str(recipe.spec))["normalizer"] == "identity"
    (whole,) = of_runs([tmp_path / "run"], {record.cell for record in records}, file="all.yaml")
    assert whole.command == "prunebench run all.yaml" and whole.run == f"out/{name}"
    assert made_by(whole, carried, tmp_path, monkeypatch) == {record.cell for record in records}


def test_a_kept_spec_is_narrowed_to_one_cell_and_dense_beside_it(tmp_path: Path) -> None:
    spec = parse({**OWN, "languages": ["hi"]}, "a test")
    kept = spec.model_dump(mode="json")
    for record in begun(tmp_path / "run", spec):
        asked = record.data["spec"]
        alone = parse(narrowed_spec(kept, record), "narrowed")
        made = [path.cell for tree in grown(alone) for path in tree.cells]
        assert record.cell in {cell.id for cell in made}
        assert {cell.identity()["method"]["name"] for cell in made} == {asked["method"]["name"]} | (
            {"dense"} if asked["training"] else set()
        )
        assert len(alone.grid) == len(made) and alone.seeds == [asked["seed"]] and alone.profile is None
        assert (alone.corpus, alone.training, alone.decoding) == (spec.corpus, spec.training, spec.decoding)


def test_a_record_outside_of_its_run_is_enough(
    tmp_path: Path, carried: list[Leaderboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, record = begun(tmp_path / "run", load_spec("tiny"))
    (tmp_path / "run" / "prunebench.json").unlink()
    recipe = of_cell(record)
    assert recipe.spec is not None and record.cell in made_by(recipe, carried, tmp_path, monkeypatch)


def test_where_data_lie_is_asked_for_and_never_told(tmp_path: Path) -> None:
    secret = tmp_path / "home" / "somebody" / "speech"
    spec = parse(
        {**OWN, "corpus": {"name": "folder", "options": {"path": str(secret), "language": "hi"}, "train": "a"}},
        "a test",
    )
    run = open_run(tmp_path / "run", create=True)
    cell = grow(parse(OWN, "a test")).cells[0].cell.identity()
    cell["corpus"] = {"name": "folder", "options": {"language": "hi"}, "train": "a", "evaluate": {"test": None}}
    record = Attempt.create(run, "c" * 16, cell).commit(
        {"status": "failed", "error": {"type": "X", "message": "y"}, "spec": cell}
    )
    keep_spec(run, spec.model_dump(mode="json"), [record.cell])
    for recipe in (of_cell(record), *of_runs([run], {record.cell})):
        assert recipe.fill_in == ("corpus.options.path",)
        assert "somebody" not in str(recipe.spec) and "FILL IN" in str(recipe.spec)
        parse(yaml.safe_load(str(recipe.spec)), "the spec")


def test_only_what_is_wanted_is_made_and_the_rest_has_no_command(tmp_path: Path) -> None:
    tiny = begun(tmp_path / "run", load_spec("tiny"))
    own = begun(tmp_path / "run", parse(OWN, "a test"))
    both = {record.cell for record in (*tiny, *own)}
    first, second = of_runs([tmp_path / "run"], both)
    assert first.cells | second.cells == both and {first.spec is None, second.spec is None} == {True, False}
    (alone,) = of_runs([tmp_path / "run"], {tiny[0].cell, "unknown"})
    assert alone.command == "prunebench leaderboard --preset tiny"
    assert of_runs([tmp_path / "run"], {"unknown"}) == []


def test_a_spec_of_another_version_is_written_out_as_it_was_kept(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    kept = {**load_spec("tiny").model_dump(mode="json"), "of_another_version": 1}
    keep_spec(run, kept, ["1" * 16])
    (recipe,) = of_runs([run], {"1" * 16})
    assert yaml.safe_load(str(recipe.spec)) == kept

"""Specs: presets, files, flags, and errors that say what, where and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.errors import SpecError
from benchmark.spec_files import fractions, integers, items, load_spec, override, presets, validate
from benchmark.specs import Leaderboard

SMALL = """
name: small
grid:
  - methods: [dense]
  - methods: [random, {name: magnitude, options: {scope: layer}}]
    budget: prunable_nominal
    keep: [0.5]
training: {steps: 10}
normalizer: identity
"""


@pytest.fixture
def write(tmp_path: Path):
    def put(text: str, name: str = "spec.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return put


def rows(spec: Leaderboard) -> list[tuple[str, list[str], list[float]]]:
    return [(row.budget, [method.name for method in row.methods], row.keep) for row in spec.grid]


def test_presets_are_valid_and_named_after_their_files():
    assert {"default", "tiny"} <= set(presets())
    for name in presets():
        assert load_spec(name).name == name


def test_default_is_the_main_job():
    spec = load_spec("default")
    assert rows(spec) == [
        ("none", ["shipped", "dense"], []),
        ("prunable_nominal", ["random", "magnitude", "imp", "sgl_adaptive"], [0.8, 0.6, 0.4]),
        ("prunable_stored", ["random_structured", "l1_group", "sgl_adaptive"], [0.8, 0.6, 0.4]),
    ]
    assert spec.corpus.evaluate == {"test": 300, "test-unseen-voice": 200}
    assert (spec.training.steps, spec.training.batch, spec.training.learning_rate) == (120, 16, 2e-4)


def test_a_file_and_its_options(write):
    spec = load_spec(write(SMALL))
    assert spec.grid[1].methods[1].options == {"scope": "layer"}
    assert load_spec(str(write(SMALL))) == spec


def test_a_preset_wins_over_a_folder_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "default").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_spec("default").name == "default"


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL + "sedes: [1]", ["unknown key 'sedes'", "'seeds'"]),
        (SMALL.replace("steps: 10", "step: 10"), ["unknown key 'training.step'", "'steps'"]),
        (SMALL.replace("keep: [0.5]", "kept: [0.5]"), ["unknown key 'grid[1].kept'", "'keep'"]),
        (SMALL.replace("options: {", "optoins: {"), ["unknown key 'grid[1].methods[1].optoins'", "'options'"]),
        (SMALL + "profile: {repeat: 3}", ["unknown key 'profile.repeat'", "'repeats'"]),
        (SMALL + "decoding: {beam: 3}", ["unknown key 'decoding.beam'", "'beams'"]),
        (SMALL.replace("grid:", "gird:"), ["unknown key 'gird'", "'grid'"]),
        (SMALL.replace("[0.5]", "[0]"), ["grid[1].keep", "not 0"]),
        (SMALL.replace("[0.5]", "[0.8, 1.5]"), ["grid[1].keep", "not 1.5"]),
        (SMALL.replace("[0.5]", "[half]"), ["grid[1].keep[0]", "'half'", "number"]),
        (SMALL.replace("prunable_nominal", "prunable"), ["grid[1].budget", "'prunable'", "prunable_nominal"]),
        ("name: x\n", ["'grid' is missing"]),
        ("a: [1, 2\nb: 3\n", ["broken YAML", "line 2"]),
        ("a: 1\n\tb: 2\n", ["broken YAML", "line 2", "column 1"]),
        (SMALL + "name: again\n", ["line 10", "'name' is given twice"]),
        ("- dense\n", ["a list"]),
        ("", ["nothing"]),
    ],
)
def test_what_is_wrong_in_a_file_is_named(write, text, said):
    path = write(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for part in said:
        assert part in message


def test_files_that_are_no_specs(tmp_path):
    with pytest.raises(SpecError, match=r"no such spec file.*presets: default"):
        load_spec(tmp_path / "nowhere.yaml")
    with pytest.raises(SpecError, match=r"unknown preset 'defualt'; did you mean 'default'"):
        load_spec("defualt")
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(SpecError, match="not UTF-8"):
        load_spec(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[random, ", "[radnom, "), "unknown method 'radnom'; did you mean 'random'"),
        (("scope: layer", "scoop: layer"), "options of 'magnitude': unknown key 'scoop'; did you mean 'scope'"),
        (("scope: layer", "scope: row"), "options of 'magnitude': scope = 'row'"),
        (("prunable_nominal", "prunable_stored"), "'random' cannot be held to a budget of kind 'prunable_stored'"),
        (("    keep: [0.5]", "    keep: []"), r"grid\[1\]: budget prunable_nominal needs kept fractions"),
        (("[dense]", "[dense]\n    keep: [0.5]"), r"grid\[0\]: kept fractions need a kind of budget"),
        (("name: small", "name: small\nmodel: {name: nano-hu}"), "unknown model 'nano-hu'"),
        (("name: small", "name: small\ncorpus: {name: synthetic-xi}"), "unknown corpus 'synthetic-xi'; did you mean"),
        (("name: small", "name: small\ncorpus: {evaluate: {tets: 5}}"), "no split 'tets'; did you mean 'test'"),
        (("name: small", "name: small\ncorpus: {evaluate: {train: 5}}"), "trained on"),
        (("name: small", "name: small\ncorpus: {evaluate: {test: 0}}"), "at least 1 utterance"),
        (("name: small", "name: small\ncorpus: {evaluate: {}}"), "evaluate is empty"),
        (("normalizer: identity", "normalizer: identty"), "unknown normalizer 'identty'; did you mean 'identity'"),
    ],
)
def test_names_are_checked_up_front(write, change, said):
    spec = load_spec(write(SMALL.replace(*change)))
    with pytest.raises(SpecError, match=said):
        validate(spec)


def test_a_good_spec_is_valid(write):
    spec = load_spec(write(SMALL))
    assert validate(spec) is spec


# --- flags --------------------------------------------------------------------------------------------------------


def test_no_flag_changes_nothing():
    assert override(load_spec("default")) == load_spec("default")


def test_values_replace_those_of_the_spec():
    spec = override(load_spec("default"), budgets=[0.5], seeds=[3, 4], steps=40, normalizer="identity")
    assert [row.keep for row in spec.grid] == [[], [0.5], [0.5]]
    assert (spec.seeds, spec.training.steps, spec.normalizer) == ([3, 4], 40, "identity")
    assert spec.training.utterances == load_spec("default").training.utterances


def test_methods_of_the_grid_keep_their_rows_and_dense_stays():
    spec = override(load_spec("default"), methods=["sgl_adaptive", "imp"])
    assert [(budget, names) for budget, names, _ in rows(spec)] == [
        ("none", ["dense"]),
        ("prunable_nominal", ["imp", "sgl_adaptive"]),
        ("prunable_stored", ["sgl_adaptive"]),
    ]


def test_methods_of_the_grid_keep_their_options(write):
    spec = override(load_spec(write(SMALL)), methods=["magnitude"])
    assert [method.options for method in spec.grid[1].methods] == [{"scope": "layer"}]


def test_a_method_that_is_not_in_the_grid_joins_the_rows_it_fits(write):
    spec = override(load_spec(write(SMALL)), methods=["imp"])
    assert rows(spec) == [("none", ["dense"], []), ("prunable_nominal", ["imp"], [0.5])]
    with pytest.raises(SpecError, match=r"'l1_group' can be held to prunable_stored, and no row"):
        override(load_spec(write(SMALL)), methods=["l1_group"])


def test_wrong_flags_are_errors():
    spec = load_spec("default")
    with pytest.raises(SpecError, match="unknown method 'magnitud'; did you mean 'magnitude'"):
        override(spec, methods=["magnitud"])
    with pytest.raises(SpecError, match=r"with flags: training\.steps = 0"):
        override(spec, steps=0)


@pytest.mark.parametrize("text", ["0", "1.5", "half", "0.8,-1", "nan", "", ","])
def test_kept_fractions_that_cannot_be(text):
    with pytest.raises(SpecError, match="--budgets") as caught:
        fractions(text)
    assert text.split(",")[-1] in str(caught.value)


def test_lists_on_the_command_line():
    assert fractions("0.8, 0.6,0.8,1") == [0.8, 0.6, 1.0]
    assert integers("0,7", "--seeds") == [0, 7]
    assert items(" a,b ,a", "--methods") == ["a", "b"]
    with pytest.raises(SpecError, match="--seeds"):
        integers("0,x", "--seeds")


def test_reading_a_spec_needs_no_torch():
    code = (
        "import sys; from benchmark.spec_files import load_spec; load_spec('default'); "
        "print([name for name in ('torch', 'pandas', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

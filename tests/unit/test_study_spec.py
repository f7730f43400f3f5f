"""The spec of a study: what it takes, what it refuses in one line, and what makes two studies the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.api import Budget
from benchmark.cli.main import invoke
from benchmark.errors import SpecError
from benchmark.reading import parse_as
from benchmark.specs import MethodSpec
from studies._ablation import load_ablation
from studies._metrics import METRICS
from studies._run import checked
from studies._spec import PRESETS, Range, StudySpec, load_study, presets, presets_of

DATA: dict[str, Any] = {"methods": ["sgl_adaptive"], "budget": "prunable_stored", "keep": [0.5]}
ABLATIONS = ("ablation", "ablation-factorial", "ablation-tuned")


def spec(**changes: Any) -> StudySpec:
    return parse_as(StudySpec, {**DATA, **changes}, "a test")


def one_line(error: pytest.ExceptionInfo[SpecError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# --- what it takes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, None),
        (["alpha", "rho"], {"alpha": Range(), "rho": Range()}),
        ({"alpha": None, "rho": {"high": 0.5}}, {"alpha": Range(), "rho": Range(high=0.5)}),
        ({"groups": ["column", "head"]}, {"groups": Range(choices=["column", "head"])}),
        ({"groups": {"choices": ["column", "head"]}}, {"groups": Range(choices=["column", "head"])}),
    ],
)
def test_a_space_is_a_list_of_names_or_a_mapping_to_ranges_or_left_to_the_method(said: Any, meant: Any) -> None:
    assert spec(search=said).search == meant


def test_a_method_is_a_name_or_names_joined_by_plus_or_a_mapping() -> None:
    methods = spec(methods=["l1_group", "l1_group+int8", {"name": "taylor", "options": {"utterances": 8}}]).methods
    assert methods[0] == MethodSpec(name="l1_group")
    assert methods[1].options == {"parts": [{"name": "l1_group"}, {"name": "int8"}]}
    assert methods[2].options == {"utterances": 8}


def test_one_method_at_one_fraction_is_one_study_of_the_specs_name() -> None:
    (point,) = spec(name="mine").points()
    assert (point.name, point.method.name, str(point.budget)) == ("mine", "sgl_adaptive", "prunable_stored@0.5")
    assert point.folder(Path("run")) == Path("run/studies/mine")
    (own,) = spec(budget="none", keep=[]).points()
    assert own.budget == Budget()


def test_each_method_at_each_fraction_is_a_study_with_a_name_of_its_own() -> None:
    asked = spec(
        name="all",
        methods=["l1_group", {"name": "l1_group", "options": {"scope": "layer"}}, "l1_group+int8"],
        keep=[0.5, 0.7],
        tolerance=0.01,
    )
    points = asked.points()
    names = [point.name for point in points]
    assert names[:2] == ["all.l1_group.stored-0.5", "all.l1_group.stored-0.7"]
    assert names[4:] == ["all.l1_group-int8.stored-0.5", "all.l1_group-int8.stored-0.7"]
    assert names[2].startswith("all.l1_group-") and names[2].endswith(".stored-0.5")
    assert len(set(names)) == len(names) and all("/" not in name and " " not in name for name in names)
    assert {point.budget.tolerance for point in points} == {0.01}
    assert [point.name for point in spec(name="x", methods=["dense", "int8"], budget="none", keep=[]).points()] == [
        *("x.dense.own", "x.int8.own")
    ]


def test_every_metric_has_a_direction_and_is_an_objective() -> None:
    for name, metric in METRICS.items():
        assert spec(objectives=[name]).directions == [metric.direction]
    assert spec(objectives=["error", "speedup"]).directions == ["minimize", "maximize"]


# --- what it refuses --------------------------------------------------------------------------------------------------

PRUNER = {"name": "MedianPruner"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives": ["eror"]}, "no record has 'eror'; did you mean 'error'?"),
        ({"objectives": []}, "objectives"),
        ({"objectives": ["error", "error"]}, "objective 'error' is named twice"),
        ({"constraints": {"param": 1}}, "no record has 'param'"),
        ({"constraints": {"speedup": 2}}, "constraints are largest values, and 'speedup' is better the larger"),
        ({"reference": {"bytes": 1}}, "reference: 'bytes' is no objective of this study"),
        ({"objectives": ["error", "bytes"], "pruner": PRUNER}, "Optuna prunes trials of one objective only"),
        ({"objectives": ["bytes"], "pruner": PRUNER}, "a pruner looks at error rates; objective 'bytes'"),
        ({"tune": {"split": "test"}}, "a study never sees a test split"),
        ({"tune": {"split": "test_clean"}}, "a study never sees a test split"),
        ({"tune": {"split": "TEST"}}, "a study never sees a test split"),
        ({"test": {"splits": {"dev": 10}}}, "split 'dev' is tuned on, so that no test can be made on it"),
        ({"test": {"splits": {}}}, "test.splits"),
        ({"test": {"seeds": []}}, "test.seeds"),
        ({"budget": "none"}, "kept fractions need a kind of budget"),
        ({"keep": []}, "budget prunable_stored needs kept fractions"),
        ({"keep": [0.5, 1.5]}, "a kept fraction lies above 0 and at most 1, not 1.5"),
        ({"budget": "prunable"}, "budget = 'prunable'"),
        ({"methods": []}, "methods"),
        ({"trials": 0}, "trials = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"looks": {"every": 0}}, "looks.every = 0"),
        ({"looks": {"utterance": 10}}, "unknown key 'looks.utterance'; did you mean 'utterances'?"),
        ({"search": {"alpha": {"lo": 1}}}, "unknown key 'search.alpha.lo'"),
        ({"search": {"alpha": {"step": 0}}}, "search.alpha.step = 0"),
        ({"search": {"groups": []}}, "search.groups.choices = []"),
        ({"search": {"alpha": 0.3}}, "search.alpha = 0.3"),
        ({"search": "alpha"}, "search = 'alpha'"),
        ({"trails": 3}, "unknown key 'trails'; did you mean 'trials'?"),
        ({"name": "../up"}, "name = '../up'"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate = 0"),
        ({"storage": {"grace": 0}}, "storage.grace = 0"),
        ({"storage": {"grace": 60}}, "living workers would be taken for dead"),
        ({"test": {"seeds": [1, 1]}}, "seed 1 is named twice"),
        ({"test": {"seeds": [0, 1]}}, "test.seeds names 0, the seed that is tuned with"),
        ({"corpus": {"evaluate": {"test": 5}}}, "a study says under tune and test what is evaluated"),
        ({"constraints": {"bytes": 1}, "pruner": PRUNER}, "a pruner compares with trials that break a constraint too"),
        ({"constraints": {"bytes": 0}}, "constraints.bytes = 0"),
        ({"constraints": {"bytes": float("nan")}}, "constraints.bytes = nan"),
        ({"reference": {"error": float("inf")}}, "reference.error = inf"),
        ({"search": {"alpha": {"high": float("inf")}}}, "search.alpha.high = inf"),
        ({"methods": ["l1_group", "l1_group"]}, "is asked for twice"),
        ({"keep": [0.5, 0.5]}, "is asked for twice"),
        ({"tune": {"split": "eval_test"}}, "a study never sees a test split"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_with_place_and_value(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as error:
        spec(**changes)
    assert one_line(error).startswith("a test: ") and said in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["sgl_adaptiv"]}, "unknown method 'sgl_adaptiv'; did you mean 'sgl_adaptive'?"),
        ({"methods": [{"name": "sgl_adaptive", "options": {"alpa": 1}}]}, "unknown key 'alpa'; did you mean 'alpha'?"),
        ({"methods": ["magnitude"]}, "method 'magnitude' cannot be held to a budget of kind 'prunable_stored'"),
        ({"budget": "params"}, "method 'sgl_adaptive' cannot be held to a budget of kind 'params'"),
        ({"methods": ["shipped"], "budget": "none", "keep": [], "search": ["split"]}, "has no parameter 'split'"),
        ({"search": ["alpa"]}, "has no parameter 'alpa'; did you mean 'alpha'?"),
        ({"search": {"rho": {"low": 3}}}, "search.rho: the range from 3.0 to 1.2 is empty"),
        ({"sampler": {"name": "TPE"}}, "unknown sampler 'TPE'"),
        ({"pruner": {"name": "Median"}}, "unknown pruner 'Median'"),
        ({"tune": {"split": "dve"}}, "dve"),
        ({"test": {"splits": {"tset": 10}}}, "tset"),
        ({"normalizer": "hidni"}, "unknown normalizer 'hidni'; did you mean 'hindi'?"),
        ({"corpus": {"name": "synthetic-ih"}}, "unknown corpus 'synthetic-ih'"),
        ({"model": {"name": "nano-ih"}}, "unknown model 'nano-ih'"),
        ({"objectives": ["cer"], "pruner": PRUNER, "normalizer": "hindi"}, "a pruner sees the wer of normalizer"),
    ],
    ids=str,
)
def test_what_only_plugins_can_tell_is_one_line_too(changes: dict[str, Any], said: str) -> None:
    asked = spec(**changes)
    with pytest.raises(SpecError) as error:
        checked(asked, asked.points()[0])
    assert said in one_line(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods: [", "broken YAML at line 1"),
        ("- methods", "a spec is a mapping with at least the key 'methods', and this file holds a list"),
        ("", "and this file holds nothing"),
        ("budget: none", "the key 'methods' is missing"),
        ("methods: [dense]\nfactors: []", "this is the spec of an ablation (it has factors): prunebench study ablate"),
        ("methods: [dense]\nmethods: [int8]", "the key 'methods' is given twice"),
    ],
)
def test_a_file_that_is_no_spec(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        load_study(path)
    assert one_line(error).startswith(str(path)) and said in str(error.value)


def test_the_command_line_says_it_in_one_line_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump({**DATA, "objectives": ["eror"]}))
    for verb in ("run", "tune-all", "plan", "status", "rebuild"):
        assert invoke(["study", verb, str(path)]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"prunebench: error: {path}: no record has 'eror'") and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


# --- identity ---------------------------------------------------------------------------------------------------------


def identity(**changes: Any) -> str:
    asked = spec(**changes)
    return asked.identity(asked.points()[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"trials": 99},
        {"sampler": {"name": "RandomSampler"}},
        {"pruner": PRUNER, "looks": {"every": 5}},
        {"storage": {"url": "sqlite:///x.db"}},
        {"name": "another"},
        {"search": ["alpha"]},  # stored and compared by itself
        {"test": None},
        {"keep_nodes": 2},
    ],
    ids=str,
)
def test_how_a_study_is_carried_out_is_no_part_of_what_its_values_mean(changes: dict[str, Any]) -> None:
    assert identity(**changes) == identity()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 9},
        {"tune": {"utterances": 100}},
        {"tune": {"split": "train"}},
        {"training": {"learning_rate": 1e-3}},
        {"training": {"steps": 60}},
        {"methods": ["l1_group"]},
        {"methods": [{"name": "sgl_adaptive", "options": {"alpha": 0.3}}]},
        {"keep": [0.6]},
        {"tolerance": 0.01},
        {"objectives": ["cer"]},
        {"constraints": {"bytes": 1e6}},
        {"normalizer": "identity"},
        {"corpus": {"name": "synthetic-ta"}},
        {"model": {"name": "nano-multi"}},
        {"decoding": {"max_new_tokens": 20}},
    ],
    ids=str,
)
def test_what_changes_a_value_changes_the_identity(changes: dict[str, Any]) -> None:
    assert identity(**changes) != identity()


# --- presets ----------------------------------------------------------------------------------------------------------


def test_every_preset_is_a_study_or_an_ablation() -> None:
    assert set(ABLATIONS) < set(presets()) == set(presets_of(PRESETS))
    for name in presets():
        assert (load_ablation if name in ABLATIONS else load_study)(name).name
        with pytest.raises(SpecError, match="this is the spec of a"):
            (load_study if name in ABLATIONS else load_ablation)(name)


@pytest.mark.parametrize("name", [name for name in presets() if name not in ABLATIONS and "paper" not in name])
def test_every_embedded_study_can_be_begun_with_its_default_inside(name: str) -> None:
    from studies._space import default_values

    asked = load_study(name)
    for point in asked.points():
        assert default_values(checked(asked, point)) is not None


@pytest.mark.parametrize("name", ["paper-small", "paper-medium"])
def test_the_papers_studies_say_what_data_they_need(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.errors import DataError

    monkeypatch.chdir(tmp_path)
    asked = load_study(name)
    assert asked.model.options["source"] == name.replace("paper", "openai/whisper")
    with pytest.raises(DataError, match="common-voice-hi"):
        checked(asked, asked.points()[0])
    assert not list(tmp_path.iterdir())


def test_an_unknown_preset() -> None:
    with pytest.raises(SpecError, match="unknown preset 'defualt'; did you mean 'default'"):
        load_study("defualt")

"""What a study turns, in which ranges, and which cell drawn values stand for."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmark.errors import SpecError
from benchmark.harness.tree import grow
from benchmark.reading import parse_as
from benchmark.search import Parameter
from benchmark.specs import MethodSpec, Training
from studies._run import plain_board
from studies._space import configured, default_values, distributions, fit, space, suggest, trial_board
from studies._spec import StudySpec

STORED: dict[str, Any] = {"budget": "prunable_stored", "keep": [0.5]}
NOMINAL: dict[str, Any] = {"budget": "prunable_nominal", "keep": [0.5]}
COMPOSED = {"name": "compose", "options": {"parts": [{"name": "int8"}, {"name": "sgl_adaptive"}]}}
REDRAWN = {"name": "random_like", "options": {"method": "sgl_adaptive"}}
RATE = "training.learning_rate"


def spec(method: Any = "sgl_adaptive", **changes: Any) -> StudySpec:
    return parse_as(StudySpec, {"methods": [method], **STORED, **changes}, "a test")


def found(asked: StudySpec) -> dict[str, Parameter]:
    return {one.name: one for one in space(asked, asked.points()[0])}


def refused(asked: StudySpec) -> str:
    with pytest.raises(SpecError) as error:
        space(asked, asked.points()[0])
    said = str(error.value)
    assert "\n" not in said
    return said


def options_of(asked: StudySpec, **changes: Any) -> dict[str, Any]:
    """Return the options that the default values with some changes stand for."""
    turned = list(found(asked).values())
    values = {one.name: one.default for one in turned} | changes
    return configured(asked.points()[0], turned, values)[0].options


# --- the space --------------------------------------------------------------------------------------------------------


def test_the_usual_parameters_and_the_learning_rate_are_turned_where_nothing_is_named() -> None:
    assert set(found(spec())) == {"split", "strength", "alpha", "tau", "rho", "beta", RATE}
    assert set(found(spec("magnitude", **NOMINAL))) == {"split", RATE}
    assert set(found(spec("random", **NOMINAL))) == {"split", RATE}


def test_what_the_spec_fixes_is_turned_only_where_it_is_named() -> None:
    fixed = {"name": "sgl_adaptive", "options": {"alpha": 0.4, "split": 1.0}}
    assert set(found(spec(fixed))) == {"strength", "tau", "rho", "beta", RATE}
    (alpha,) = found(spec(fixed, search=["alpha"])).values()
    assert alpha.default == 0.4


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ({"name": "random_like", "options": {"method": "sgl_adaptive", "options": {"alpha": 0.4}}}, "alpha"),
        (
            {
                "name": "compose",
                "options": {"parts": [{"name": "int8"}, {"name": "sgl_adaptive", "options": {"alpha": 0.4}}]},
            },
            "sgl_adaptive.alpha",
        ),
    ],
)
def test_what_is_fixed_in_a_part_is_not_turned_either(method: dict[str, Any], name: str) -> None:
    usual, named = found(spec(method)), found(spec(method, search=[name]))
    assert name not in usual and name.replace("alpha", "rho") in usual
    assert named[name].default == 0.4


def test_the_defaults_are_those_under_the_budget_and_the_recipe() -> None:
    stored, own = found(spec()), found(spec(budget="none", keep=[]))
    assert (stored["strength"].default, stored["rho"].default) == (3e-5, 0.25)
    assert (own["strength"].default, own["rho"].default) == (1e-6, 0.8)
    assert found(spec(training={"learning_rate": 1e-3}))[RATE].default == 1e-3


def test_a_named_range_narrows_or_widens_and_what_is_left_out_stays() -> None:
    search = {"alpha": {"high": 0.5}, "rho": {"low": 0.1, "high": 2.0, "log": True}, "beta": {"step": 0.05}}
    turned = found(spec(search=search))
    assert list(turned) == ["alpha", "rho", "beta"]  # in the order of the spec
    assert (turned["alpha"].low, turned["alpha"].high, turned["alpha"].log) == (0.05, 0.5, False)
    assert (turned["rho"].low, turned["rho"].high, turned["rho"].log) == (0.1, 2.0, True)
    assert turned["beta"].step == 0.05


def test_of_several_methods_each_takes_the_named_parameters_that_it_has() -> None:
    asked = parse_as(
        StudySpec, {"methods": ["l1_group", "sgl_adaptive"], **STORED, "search": ["split", "alpha"]}, "a test"
    )
    names = [[one.name for one in space(asked, point)] for point in asked.points()]
    assert names == [["split"], ["split", "alpha"]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"search": ["alpa"]}, "method 'sgl_adaptive' has no parameter 'alpa'; did you mean 'alpha'?"),
        ({"search": ["learning_rate"]}, "has no parameter 'learning_rate'; did you mean 'training.learning_rate'?"),
        ({"search": {"alpha": {"low": 0.5, "high": 0.5}}}, "search.alpha: the range from 0.5 to 0.5 is empty"),
        ({"search": {"alpha": {"low": 2}}}, "search.alpha: the range from 2.0 to 1.0 is empty"),
        ({"search": {"tau": {"log": True}}}, "search.tau: low = 0; a log scale begins above zero"),
        ({"search": {"strength": {"step": 1e-5}}}, "search.strength: a log scale has no step"),
        ({"search": {"alpha": {"step": 100}}}, "search.alpha: step 100 leaves nothing but 0.05 of the range"),
        ({"search": {"alpha": [0.1, 0.2]}}, "search.alpha: it is a number; give low and high, not a list"),
        ({"search": {"groups": {"low": 1}}}, "search.groups: its values are column, row, head"),
        ({"search": {"groups": ["column", "rows"]}}, "search.groups: 'rows' is none of column, row, head"),
        ({"search": {"groups": ["column"]}}, "search.groups: one choice is nothing to turn"),
        ({"search": {"split": {"high": 1.5}}}, "search.split: 1.5 cannot be: options of 'sgl_adaptive': split = 1.5"),
        ({"search": {RATE: {"high": 2}}}, "search.training.learning_rate: 2.0 cannot be: training: learning_rate"),
        ({"budget": "macs"}, "method 'sgl_adaptive' cannot be held to a budget of kind 'macs'; it knows none"),
        ({"search": {}}, "method 'sgl_adaptive' has nothing to turn"),
    ],
    ids=str,
)
def test_what_cannot_be_turned_is_one_line(changes: dict[str, Any], said: str) -> None:
    assert said in refused(spec(**changes))


@pytest.mark.parametrize("ends", [{"low": 1.5}, {"high": 400.5}, {"step": 0.5}])
def test_whole_numbers_stay_whole(ends: dict[str, float]) -> None:
    assert "search.utterances: it takes whole numbers" in refused(spec("taylor", search={"utterances": ends}))


@pytest.mark.parametrize(("high", "step", "reached"), [(1.0, 0.3, 0.9), (0.9, 0.3, 0.9), (0.7, 0.1, 0.7)])
def test_a_range_ends_at_its_last_step_as_optuna_has_it(high: float, step: float, reached: float) -> None:
    (turned,) = found(spec(search={"tau": {"low": 0.0, "high": high, "step": step}})).values()
    assert turned.high == reached
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a range that its step does not divide
        made = distributions([turned])["tau"]
    assert isinstance(made, FloatDistribution) and made.high == reached and not made.single()


def test_a_log_range_of_whole_numbers_has_no_step_either() -> None:
    asked = spec("taylor", search={"utterances": {"step": 2}})
    assert "search.utterances: a log scale has no step" in refused(asked)
    (turned,) = found(spec("taylor", search={"utterances": {"step": 32, "log": False}})).values()
    assert distributions([turned])["utterances"] == IntDistribution(32, 512, step=32)


# --- Optuna's view ----------------------------------------------------------------------------------------------------


def test_distributions_are_optunas_own() -> None:
    turned = list(found(spec("taylor", search=["utterances", "estimate", "split", RATE])).values())
    assert distributions(turned) == {
        "utterances": IntDistribution(32, 512, log=True),
        "estimate": CategoricalDistribution(("element", "group")),
        "split": FloatDistribution(0.2, 0.8),
        RATE: FloatDistribution(2e-5, 2e-3, log=True),
    }


def test_what_is_suggested_lies_in_those_distributions() -> None:
    turned = list(found(spec("taylor", search=["utterances", "estimate", "split", RATE])).values())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        trial = study.ask()
        values = suggest(trial, turned)
        assert trial.params == values and trial.distributions == distributions(turned)
        assert type(values["utterances"]) is int and 32 <= values["utterances"] <= 512


@pytest.mark.parametrize(
    ("search", "inside"),
    [
        (["alpha", "groups"], True),
        ({"alpha": {"low": 0.25}}, True),  # both ends count
        ({"alpha": {"low": 0.3}}, False),
        ({"alpha": {"high": 0.2}}, False),
        ({"groups": ["column", "structural"]}, True),
        ({"groups": ["column", "head"]}, False),
        ({"alpha": {"low": 0.05, "high": 0.95, "step": 0.1}}, True),
        ({"alpha": {"low": 0.1, "high": 0.9, "step": 0.1}}, False),  # between two steps
    ],
)
def test_the_default_configuration_is_a_trial_where_the_ranges_leave_it_in(search: Any, inside: bool) -> None:
    turned = list(found(spec(search=search)).values())
    values = {one.name: one.default for one in turned}
    assert default_values(turned) == (values if inside else None)


@pytest.mark.parametrize("values", [{"alpha": 2.0}, {"alpha": "much"}, {"alpha": None}, {}, {"alpha": 0.5, "other": 1}])
def test_values_that_do_not_lie_in_the_ranges_do_not_fit(values: dict[str, Any]) -> None:
    turned = list(found(spec(search={"alpha": {}})).values())
    assert fit(turned, {"alpha": 0.5}) and not fit(turned, values)


def test_a_parameter_without_a_default_has_no_default_configuration() -> None:
    turned = list(found(spec("layer_drop", budget="none", keep=[], search=["decoder", "encoder"])).values())
    assert {one.name: one.default for one in turned} == {"decoder": 1, "encoder": None}
    assert default_values(turned) is None


# --- values as a cell -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        spec(),
        spec({"name": "sgl_adaptive", "options": {"alpha": 0.4}}, search=["alpha", "rho", "groups"]),
        spec("magnitude", **NOMINAL),
        spec(COMPOSED),
        spec(REDRAWN),
        spec("imp", **NOMINAL, training={"learning_rate": 1e-3}),
    ],
    ids=["sgl_adaptive", "with an option", "magnitude", "compose", "random_like", "another rate"],
)
def test_the_default_values_are_the_very_cell_of_the_plain_method(asked: StudySpec) -> None:
    point = asked.points()[0]
    turned = space(asked, point)
    values = default_values(turned)
    assert values is not None
    (plain,) = grow(plain_board(asked, point, {"dev": 200})).cells
    (ours,) = grow(trial_board(asked, point, turned, values)).cells
    assert ours.cell.id == plain.cell.id
    changed = values | {"training.learning_rate": 7e-4} if RATE in values else values | {"alpha": 0.7}
    (other,) = grow(trial_board(asked, point, turned, changed)).cells
    assert other.cell.id != plain.cell.id


def test_drawn_values_become_options_and_fields_of_training() -> None:
    asked = spec({"name": "sgl_adaptive", "options": {"tau": 0.1}})
    turned = list(found(asked).values())
    values = {one.name: one.default for one in turned} | {"alpha": 0.7, RATE: 1e-3}
    method, training = configured(asked.points()[0], turned, values)
    assert method == MethodSpec(name="sgl_adaptive", options={"tau": 0.1, "alpha": 0.7})
    assert training == {"learning_rate": 1e-3}
    board = trial_board(asked, asked.points()[0], turned, values)
    assert board.training == Training(learning_rate=1e-3)
    assert (board.corpus.evaluate, board.seeds, board.keep_artefacts) == ({"dev": 200}, [0], "none")
    assert asked.points()[0].method.options == {"tau": 0.1}  # left as it was


def test_values_of_a_composition_reach_their_part_whatever_the_order_of_the_parts() -> None:
    options = options_of(spec(COMPOSED), **{"sgl_adaptive.alpha": 0.7, "sgl_adaptive.split": 0.3})
    assert options == {
        "parts": [{"name": "sgl_adaptive", "options": {"alpha": 0.7, "split": 0.3}}, {"name": "int8", "options": {}}]
    }


def test_values_of_a_redraw_reach_the_other_method() -> None:
    assert options_of(spec(REDRAWN), alpha=0.7) == {"method": "sgl_adaptive", "options": {"alpha": 0.7}}


def test_a_default_that_hangs_on_a_drawn_option_is_said() -> None:
    """Left out, ``l1_enc`` would follow the drawn strength, and the cell would not be what the trial says."""
    asked = spec(search=["strength", "l1_enc", "alpha"])
    assert options_of(asked) == {}
    assert options_of(asked, alpha=0.7) == {"alpha": 0.7}
    assert options_of(asked, strength=1e-4) == {"strength": 1e-4, "l1_enc": 3e-5}


def test_a_trial_that_is_timed_leaves_its_artefact() -> None:
    asked = spec(objectives=["error", "speedup"])
    turned = space(asked, asked.points()[0])
    board = trial_board(asked, asked.points()[0], turned, {one.name: one.default for one in turned})
    assert board.keep_artefacts == "all"


def test_what_trains_nothing_has_nothing_to_turn() -> None:
    asked = spec(methods=["shipped"], budget="none", keep=[], search=None)
    with pytest.raises(SpecError, match="method 'shipped' has nothing to turn"):
        space(asked, asked.points()[0])

"""Ranges of options: what is refused, what a field's type makes of them, and what the methods of the suite say."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from benchmark import contracts
from benchmark.api import Budget, Config, MethodConfig, Search
from benchmark.cli.main import invoke
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.search import Parameter, kind_of, parameters
from benchmark.specs import Training
from methods.sgl_adaptive import BY_BUDGET

METHODS = REGISTRY.names("method")
EVERY = [(name, budget) for name in METHODS for budget in contracts.budgets(name, keeps=(0.5,))]
NONE, NOMINAL, STORED = Budget(), Budget(kind="prunable_nominal", keep=0.5), Budget(kind="prunable_stored", keep=0.5)


def space(name: str, budget: Budget, **options: Any) -> dict[str, Parameter]:
    found = REGISTRY.get("method", name, **options).searchable(budget)
    assert len({one.name for one in found}) == len({one.path for one in found}) == len(found)
    return {one.name: one for one in found}


# --- ranges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"low": 1.0, "high": 1.0}, "the range from 1 to 1 is empty"),
        ({"low": 2.0, "high": 1.0}, "the range from 2 to 1 is empty"),
        ({"low": float("nan"), "high": 1.0}, "the range from nan to 1 is empty"),
        ({"low": 0.0, "high": float("inf")}, "the range from 0 to inf is empty"),
        ({"low": 0.0, "high": 1.0, "log": True}, "low = 0: a log scale begins above zero"),
        ({"low": -1.0, "high": 1.0, "log": True}, "low = -1: a log scale begins above zero"),
        ({"low": 1.0}, "a range has both ends or none, not 1.0 and None"),
        ({"high": 1.0}, "a range has both ends or none, not None and 1.0"),
        ({"log": True}, "choices have neither scale nor step"),
        ({"step": 1}, "choices have neither scale nor step"),
        ({"low": 0.0, "high": 1.0, "step": 0.0}, "step = 0: a step is above zero"),
        ({"low": 0.0, "high": 1.0, "step": float("nan")}, "step = nan: a step is above zero"),
        ({"low": 0.1, "high": 1.0, "step": 0.1, "log": True}, "goes with a linear scale"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_where_it_is_written(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Search(**given)


@pytest.mark.parametrize(
    ("annotation", "kind", "choices"),
    [
        (float, "float", ()),
        (float | None, "float", ()),
        (int, "int", ()),
        (int | None, "int", ()),
        (bool, "choice", (False, True)),
        (bool | None, "choice", (False, True)),
        (Literal["a", "b"], "choice", ("a", "b")),
        (Literal["a", "b"] | None, "choice", ("a", "b")),
        (Annotated[int, Field(ge=1)] | None, "int", ()),
    ],
)
def test_the_kind_follows_the_type(annotation: Any, kind: str, choices: tuple[Any, ...]) -> None:
    assert kind_of(annotation) == (kind, choices)


def test_a_range_that_does_not_go_with_its_field_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(SpecError, match="option 'way': choices have no ends"):

        class _Ends(Config):
            way: Annotated[Literal["a", "b"], Search(0, 1)] = "a"

    with pytest.raises(SpecError, match="option 'size': a number needs both ends"):

        class _NoEnds(Config):
            size: Annotated[int | None, Search()] = None

    for kind in (str, tuple[int, ...], int | str, list[str]):
        with pytest.raises(SpecError, match="option 'what': no study can turn an option of type"):
            type("_Kind", (Config,), {"__annotations__": {"what": Annotated[kind, Search()]}})


class Example(Config):
    """One option of each kind, and one that no study turns."""

    size: Annotated[int, Search(1, 8, log=True)] = Field(default=2, description="how many")
    share: Annotated[float | None, Search(0.0, 1.0, step=0.25, usual=False)] = Field(default=None, description="of it")
    way: Annotated[Literal["a", "b"], Search()] = Field(default="b", description="which")
    name: str = "x"


def test_what_is_read_of_a_config() -> None:
    size, share, way = parameters(Example, root=("method", "options"), prefix="inner.", share=0.5)
    path = ("method", "options")
    assert size == Parameter("inner.size", (*path, "size"), "int", 1, 8, True, None, (), 2, True, "how many")
    assert share == Parameter("inner.share", (*path, "share"), "float", 0, 1, False, 0.25, (), 0.5, False, "of it")
    assert (way.name, way.path, way.kind, way.choices) == ("inner.way", (*path, "way"), "choice", ("a", "b"))
    assert (way.default, way.usual, way.low, way.high) == ("b", True, None, None)


def test_a_subclass_can_give_a_range_of_its_own_and_a_field_without_one_is_left_alone() -> None:
    class Narrow(MethodConfig):
        split: Annotated[float, Search(0.4, 0.6)] = Field(default=0.5, gt=0, lt=1, description="narrower")
        loss: Literal["ce"] = Field(default="ce", description="none")

    found = {one.name: one for one in parameters(Narrow)}
    assert (found["split"].low, found["split"].high) == (0.4, 0.6)
    assert "loss" not in found


def test_ranges_are_no_part_of_an_identity_and_need_no_heavy_import() -> None:
    assert Example().model_dump() == {"size": 2, "share": None, "way": "b", "name": "x"}
    heavy = "[m for m in ('torch', 'optuna', 'transformers') if m in sys.modules]"
    said = subprocess.run(
        [sys.executable, "-c", f"import sys, benchmark.search, benchmark.api; print({heavy})"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


# --- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "budget"), EVERY, ids=str)
def test_the_default_of_what_is_usual_lies_in_its_range(name: str, budget: Budget) -> None:
    usual = [one for one in space(name, budget).values() if one.usual]
    for one in usual:
        if one.kind == "choice":
            assert one.default in one.choices, one.name
        else:
            assert one.low is not None and one.high is not None
            assert one.low <= one.default <= one.high, one.name
    splits = [one.name for one in usual if one.name.split(".")[-1] == "split"]
    assert len(splits) == (name != "shipped")  # so that magnitude and random have something to turn, too


@pytest.mark.parametrize(("name", "budget"), EVERY, ids=str)
def test_what_stands_for_options_left_out_gives_the_same_program_when_it_is_said(name: str, budget: Budget) -> None:
    """So a trial at the defaults does what the plain method does, each value said in the place that a path names."""
    plain = REGISTRY.get("method", name)
    for one in plain.searchable(budget):
        if one.default is None:
            continue
        options = plain.config.model_dump(mode="json", exclude_unset=name not in ("compose", "random_like"))
        place: Any = options
        assert one.path[0] == "method"
        for key in one.path[1:-1]:
            place = place[key]
        place[one.path[-1]] = one.default
        said = REGISTRY.get("method", name, **options)
        assert list(said.steps(budget, 100)) == list(plain.steps(budget, 100)), one.name


def test_the_usual_spaces() -> None:
    usual = {
        (name, budget.kind): {one.name for one in space(name, budget).values() if one.usual} for name, budget in EVERY
    }
    ours = {"strength", "alpha", "rho", "beta", "tau", "split"}
    for kind in BY_BUDGET:
        assert usual["sgl_adaptive", kind] == usual["random_like", kind] == ours
    assert usual["imp", "prunable_nominal"] == {"rate", "round_share", "split"}
    assert usual["compose", "prunable_stored"] == {"l1_group.split"}
    assert usual["shipped", "none"] == set()
    for name in ("magnitude", "random", "wanda", "taylor", "l1_group", "random_structured", "dense", "layer_drop"):
        assert all(found == {"split"} for (method, _), found in usual.items() if method == name), name


def test_strengths_are_on_a_log_scale_and_thresholds_are_not() -> None:
    found = space("sgl_adaptive", STORED)
    logs = {one.name for one in found.values() if one.log}
    assert logs == {"strength", "l1_enc", "l1_dec", "group_enc", "group_dec"}
    assert all(float(found[name].low or 0) > 0 for name in logs)
    assert found["groups"].choices and not found["groups"].usual
    assert space("wanda", NOMINAL)["utterances"].kind == "int"


def test_defaults_follow_the_budget_and_what_is_said() -> None:
    for budget in (NONE, NOMINAL, STORED):
        chosen, found = BY_BUDGET[budget.kind], space("sgl_adaptive", budget)
        assert {name: found[name].default for name in chosen._fields} == chosen._asdict()
        assert found["group_enc"].default == 3 * chosen.strength
    said = space("sgl_adaptive", STORED, alpha=0.7, strength=1e-4)
    assert [said[name].default for name in ("alpha", "strength", "l1_dec", "group_dec")] == [0.7, 1e-4, 1e-4, 3 * 1e-4]
    assert said["rho"].default == BY_BUDGET["prunable_stored"].rho
    assert space("sgl_adaptive", STORED, norm="frobenius_squared")["solver"].default == "subgradient"
    assert REGISTRY.get("method", "magnitude").defaults(NOMINAL) == {}


def test_a_control_has_the_space_of_the_method_that_it_redraws() -> None:
    inner = {"alpha": 0.7}
    control = REGISTRY.get("method", "random_like", method="sgl_adaptive", options=inner)
    other = REGISTRY.get("method", "sgl_adaptive", **inner)
    assert control.defaults(STORED) == other.defaults(STORED)
    found = space("random_like", STORED, method="sgl_adaptive", options=inner)
    assert found.keys() == space("sgl_adaptive", STORED, **inner).keys()
    assert found["alpha"].path == ("method", "options", "alpha")
    assert found["alpha"].default == 0.7


def test_a_composition_has_the_spaces_of_its_parts_and_the_first_alone_is_held_to_the_budget() -> None:
    parts = [{"name": "low_rank"}, {"name": "vocab_trim", "options": {"min_count": 3}}, {"name": "sgl_adaptive"}]
    for budget in (NONE, STORED):
        found = space("compose", budget, parts=parts)
        assert found["sgl_adaptive.alpha"].path == ("method", "parts", 0, "options", "alpha")
        assert found["sgl_adaptive.alpha"].default == BY_BUDGET[budget.kind].alpha
        assert found["low_rank.energy"].path == ("method", "parts", 1, "options", "energy")
        assert found["vocab_trim.min_count"].default == 3
        assert {name for name in found if name.endswith((".split", ".loss", ".refill"))} == {
            "sgl_adaptive.split",
            "sgl_adaptive.loss",
            "sgl_adaptive.refill",
        }
        held = REGISTRY.get("method", "compose", parts=parts).defaults(budget)
        assert held["sgl_adaptive.rho"] == BY_BUDGET[budget.kind].rho


def test_a_budget_decides_how_many_layers_stay() -> None:
    assert {"encoder", "decoder"} <= space("layer_drop", NONE).keys()
    assert not {"encoder", "decoder"} & space("layer_drop", STORED).keys()


def test_the_learning_rate_is_what_training_offers() -> None:
    (rate,) = parameters(Training, root=("training",), prefix="training.")
    assert (rate.name, rate.path, rate.kind) == ("training.learning_rate", ("training", "learning_rate"), "float")
    assert (rate.low, rate.high, rate.log, rate.usual) == (2e-5, 2e-3, True, True)
    assert rate.default == Training().learning_rate
    for end in (rate.low, rate.high):
        Training.parse({"learning_rate": end}, "training")


# --- seen -------------------------------------------------------------------------------------------------------------


def test_describe_says_what_a_study_turns_and_has_no_column_of_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "220")

    def described(kind: str, name: str) -> dict[str, str]:
        assert invoke(["describe", kind, name]) == 0
        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        table = lines[next(place for place, line in enumerate(lines) if line.startswith("option type")) :]
        return {line.partition(" ")[0]: line for line in table if line}

    ours = described("method", "sgl_adaptive")
    assert ours["option"] == "option type default in a study what"
    assert " None 1e-08 to 0.001, log of the sums of |w|" in ours["strength"]
    assert " None 0.05 to 1 weight threshold" in ours["alpha"]
    assert " 'std' if named: std, mad, fixed the spread" in ours["scale"]
    assert described("method", "random_like")["option"] == "option type default what"

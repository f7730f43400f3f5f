"""The spec of an ablation becomes arms and leaderboards, and what cannot be is one line that says where."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.errors import SpecError
from benchmark.reading import parse_as
from benchmark.specs import MethodSpec
from studies._ablate import planned
from studies._ablation import AblationSpec, load_ablation
from studies._arms import arms, leaderboards

DATA: dict[str, Any] = {
    "name": "small",
    "method": {"name": "sgl_adaptive", "options": {"alpha": 0.3}},
    "points": [
        {"budget": "prunable_nominal", "keep": 0.3, "options": {"strength": 1e-6}},
        {"budget": "prunable_stored", "keep": 0.5},
    ],
    "factors": [
        {"name": "penalty", "full": "on", "levels": {"off": {"strength": 0}}},
        {
            "name": "passes",
            "full": "both",
            "only": ["prunable_nominal"],
            "levels": {"weights": {"group_pass": False}, "groups": {"weight_pass": False}},
        },
        {"name": "rate", "full": "2e-4", "levels": {"low": {"training.learning_rate": 1e-4}}},
        {"name": "score", "full": "hindi", "levels": {"basic": {"normalizer": "whisper_basic"}}},
        {
            "name": "method",
            "full": "sgl_adaptive",
            "only": ["prunable_nominal"],
            "levels": {"magnitude": {"method": "magnitude", "split": 0.4}},
        },
    ],
    "seeds": [0, 1],
    "normalizer": "hindi",
}


def spec(**changes: Any) -> AblationSpec:
    return parse_as(AblationSpec, {**copy.deepcopy(DATA), **changes}, "a test")


def factor(*levels: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {f"level {number}": patch for number, patch in enumerate(levels)}
    return {"name": "part", "full": "as it is", "levels": named, **more}


def test_one_factor_at_a_time() -> None:
    found = arms(spec())
    assert [(str(arm.point), str(arm)) for arm in found] == [
        ("prunable_nominal@0.3", "full method"),
        ("prunable_nominal@0.3", "penalty: off"),
        ("prunable_nominal@0.3", "passes: weights"),
        ("prunable_nominal@0.3", "passes: groups"),
        ("prunable_nominal@0.3", "rate: low"),
        ("prunable_nominal@0.3", "score: basic"),
        ("prunable_nominal@0.3", "method: magnitude"),
        ("prunable_stored@0.5", "full method"),
        ("prunable_stored@0.5", "penalty: off"),
        ("prunable_stored@0.5", "rate: low"),
        ("prunable_stored@0.5", "score: basic"),
    ]
    by_name = {str(arm): arm for arm in found[:7]}
    assert by_name["full method"].method == MethodSpec(name="sgl_adaptive", options={"alpha": 0.3, "strength": 1e-6})
    assert by_name["penalty: off"].method.options == {"alpha": 0.3, "strength": 0}
    assert by_name["rate: low"].method == by_name["full method"].method
    assert by_name["rate: low"].training.learning_rate == 1e-4
    assert by_name["rate: low"].training.steps == by_name["full method"].training.steps
    assert by_name["score: basic"].normalizer == "whisper_basic"
    assert by_name["score: basic"].method == by_name["full method"].method
    assert by_name["method: magnitude"].method == MethodSpec(name="magnitude", options={"split": 0.4})
    assert found[7].method.options == {"alpha": 0.3}


def test_null_gives_an_option_back_to_the_method() -> None:
    found = arms(spec(factors=[factor({"alpha": None})]))
    assert "alpha" not in found[1].method.options


def test_a_factorial_design_has_every_combination() -> None:
    factors = [
        {"name": "a", "full": "1", "levels": {"2": {"alpha": 0.2}, "3": {"alpha": 0.1}}},
        {"name": "b", "full": "1", "levels": {"2": {"rho": 0.1}}},
        {"name": "c", "full": "1", "levels": {"2": {"split": 0.3}}},
    ]
    found = [arm for arm in arms(spec(factors=factors, design="factorial")) if arm.point.budget == "prunable_stored"]
    assert len({arm.changed for arm in found}) == len(found) == 3 * 2 * 2
    assert found[0].full
    last = found[-1]
    assert last.changed == (("a", "3"), ("b", "2"), ("c", "2"))
    assert last.method.options == {"alpha": 0.1, "rho": 0.1, "split": 0.3}


def test_leaderboards_hold_each_cell_once() -> None:
    asked = spec()
    boards = leaderboards(asked, arms(asked))
    assert [board.name for board in boards] == ["small", "small-learning_rate-0.0001"]
    assert [board.training.learning_rate for board in boards] == [2e-4, 1e-4]
    assert all(board.profile is None and board.keep_artefacts == "none" for board in boards)
    assert [len(row.methods) for row in boards[0].grid] == [5, 2]  # the normaliser's arm has no cell of its own
    assert [len(row.methods) for row in boards[1].grid] == [1, 1]
    made = planned(asked)
    cells = {path.cell.id for tree in made.trees for path in tree.cells}
    assert len(cells) == (5 + 2 + 1 + 1) * 2
    named = {
        str(arm): [path.cell.id for path in paths] for arm, paths in list(zip(made.arms, made.cells, strict=True))[:7]
    }
    assert named["score: basic"] == named["full method"]
    assert len({tuple(found) for found in named.values()}) == 6
    for arm, paths in zip(made.arms, made.cells, strict=True):
        assert [path.cell.seed for path in paths] == [0, 1]
        assert {path.cell.method.name for path in paths} == {arm.method.name}
        assert {path.cell.budget.keep for path in paths} == {arm.point.keep}
        assert {path.cell.training for path in paths} == {arm.training}


def test_recipes_that_differ_in_steps_alone_share_their_trunk() -> None:
    made = planned(
        spec(
            factors=[factor({"training.steps": 200, "split": 0.3})],  # 60 steps before pruning in both
            points=[{"budget": "prunable_stored", "keep": 0.5}],
            seeds=[0],
        )
    )
    assert made.tree.steps_unshared == 120 + 200
    assert made.tree.steps_shared == 120 + 140


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"factors": []}, r"factors = \[\]"),
        ({"factors": [factor()]}, "at least 1 item"),
        ({"factors": [factor({})]}, "changes nothing"),
        ({"factors": [factor({"alhpa": 1})]}, "'level 0': method 'sgl_adaptive' has no option 'alhpa'; did you mean"),
        ({"factors": [factor({"alhpa": None})]}, "did you mean 'alpha'?"),
        ({"factors": [factor({"alpha": -1})]}, "factor 'part', level 'level 0': .*alpha = -1"),
        ({"factors": [factor({"strength": math.inf})]}, "part: level 0 at prunable_nominal@0.3: .*l1_enc = inf: "),
        ({"factors": [factor({"alpha": 0.3})]}, "part: level 0 at prunable_nominal@0.3 is the full method itself"),
        ({"factors": [factor({"tau": 0.25})]}, "is the full method itself"),  # the method's own value there
        ({"factors": [factor({"rho": 0.1}, {"rho": 0.1})]}, "level 1 at .* is the same as part: level 0"),
        ({"factors": [factor({"normalizer": "hindi"})]}, "is the full method itself"),
        ({"factors": [factor({"normalizer": "hindu"})]}, "unknown normalizer 'hindu'; did you mean 'hindi'?"),
        ({"factors": [factor({"training.rate": 1})]}, "training: unknown key 'rate'"),
        ({"factors": [factor({"training.steps": 0})]}, "training: steps = 0"),
        ({"factors": [factor({"method": "magnitud"})]}, "unknown method 'magnitud'; did you mean 'magnitude'?"),
        ({"factors": [factor({"method": "magnitude"})]}, "cannot be held to a budget of kind 'prunable_stored'"),
        ({"factors": [factor({"refill": True})]}, "refill trains zeros again"),
        ({"factors": [factor({"alpha": 1}), factor({"rho": 1})]}, "factor 'part' is given twice for point"),
        ({"factors": [factor({"alpha": 1}, only=["macs"])]}, "holds at no point"),
        ({"factors": [factor({"alpha": 1}, only=["prunable_stored"])]}, "no factor holds at point prunable_nominal"),
        ({"factors": [{**factor({"alpha": 1}), "full": "level 0"}]}, "is named like the full method's own"),
        ({"factors": [{**factor({"alpha": 1}), "onyl": []}]}, "unknown key 'factors.0..onyl'; did you mean 'only'?"),
        ({"points": []}, "points"),
        ({"points": [{"budget": "none", "keep": 0.3}]}, "a budget has a kept fraction exactly when"),
        ({"points": [DATA["points"][1]] * 2}, "point prunable_stored@0.5 is named twice"),
        ({"seeds": [1, 1]}, "seed 1 is named twice"),
        ({"desing": "factorial"}, "unknown key 'desing'; did you mean 'design'?"),
        ({"method": "sgl"}, "unknown method 'sgl'"),
        ({"corpus": {"name": "synthetic-hi", "evaluate": {"tset": 3}}}, "has no split 'tset'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        arms(spec(**changes))
    assert "\n" not in str(caught.value)


def test_two_factors_cannot_change_the_same_thing() -> None:
    factors = [factor({"alpha": 1.0}), {**factor({"alpha": 2.0}), "name": "other"}]
    assert len(arms(spec(factors=factors))) == 6
    with pytest.raises(SpecError, match=r"factor 'part'.*factor 'other'.*'alpha' is changed by factor 'other' and"):
        arms(spec(factors=factors, design="factorial"))


def test_a_study_is_no_ablation(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({"methods": ["magnitude"]}))
    with pytest.raises(SpecError, match="prunebench study run"):
        load_ablation(path)


@pytest.mark.parametrize("name", ["ablation", "ablation-factorial"])
def test_presets(name: str) -> None:
    asked = load_ablation(name)
    made = planned(asked)
    assert asked.name == name
    assert len(asked.seeds) >= 3
    assert all(len(paths) == len(asked.seeds) for paths in made.cells)
    for board, after in pairwise(tree.spec for tree in made.trees):
        assert board.training != after.training


def test_the_preset_has_every_factor_of_the_method() -> None:
    asked = load_ablation("ablation")
    by_kind = {point.budget: [factor.name for factor in asked.factors_at(point)] for point in asked.points}
    common = ["penalty", "penalised stack", "solver", "groups", "passes", "threshold", "final fine-tuning"]
    for names in by_kind.values():
        assert {*common, "distillation", "normaliser"} <= set(names)
    assert "refill" in by_kind["prunable_stored"]
    # the factorial preset's single changes are cells of this one
    other = planned(load_ablation("ablation-factorial"))
    known = {path.cell.id for paths in planned(asked).cells for path in paths}
    for arm, paths in zip(other.arms, other.cells, strict=True):
        assert ({path.cell.id for path in paths} <= known) == (len(arm.changed) < 2)

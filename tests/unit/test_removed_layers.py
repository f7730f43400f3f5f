"""Rules after layers are gone: what lies in them is neither ranked nor counted as fixed, and budgets are met."""

from __future__ import annotations

import copy

import pytest

from benchmark.api import Budget, Rule
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.applying import prune_
from benchmark.pruning.coarse import KeepLayers
from benchmark.pruning.groups import L1Groups, RandomGroups
from benchmark.pruning.redraw import Redraw
from benchmark.pruning.weights import MagnitudeWeights, RandomColumns
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import tiny_whisper

STORED = Budget(kind="prunable_stored", keep=0.3)
MORE = Budget(kind="prunable_stored", keep=0.4)
NOMINAL = Budget(kind="prunable_nominal", keep=0.3)
RULES: list[Rule] = [
    L1Groups(budget=STORED),
    L1Groups(budget=STORED, scope="layer"),
    L1Groups(budget=STORED, round_to=2),
    L1Groups(budget=MORE, groups=("ffn_neuron",)),
    RandomGroups(budget=STORED),
    WeightAdaptive(budget=STORED, groups="structural"),
    WeightAdaptive(budget=STORED, groups="structural", peers="kind"),
    WeightAdaptive(budget=MORE, groups="ffn_neuron"),
    WeightAdaptive(budget=STORED, groups="column"),
    WeightAdaptive(budget=STORED, groups="column", peers="kind"),
    WeightAdaptive(budget=NOMINAL, groups="column", peers="kind"),
    WeightAdaptive(budget=NOMINAL, groups="structural", weight_pass=False),
    MagnitudeWeights(budget=NOMINAL),
    MagnitudeWeights(budget=NOMINAL, scope="layer"),
    RandomColumns(budget=NOMINAL),
]


@pytest.mark.parametrize("redrawn", [False, True], ids=["rule", "redraw"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_budget_is_met_after_layers_are_gone(rule: Rule, redrawn: bool) -> None:
    model = tiny_whisper(d=32, layers=(4, 4), heads=4, ffn=64)
    structure = Structure.of(model)
    layers = prune_(KeepLayers(encoder=2, decoder=2), View(model, structure, Plan(), 0), model).plan
    chosen = Redraw(budget=rule.budget, rule=rule) if redrawn else rule
    plan = prune_(chosen, View(model, structure, layers, 0), model).plan
    assert not any(key.startswith("model.encoder.layers.1.") for key in plan.kept)


@pytest.mark.parametrize("groups", ["column", "structural"])
def test_removed_layers_are_no_peers(groups: str) -> None:
    """Their columns and members are not in the means that the others are compared with."""
    model = tiny_whisper(d=32, layers=(4, 4), heads=4, ffn=64)
    structure = Structure.of(model)
    layers = KeepLayers(encoder=2, decoder=2).decide(View(model, structure, Plan(), 0))
    rule = WeightAdaptive.model_validate({"groups": groups, "peers": "kind", "rho": 0.0, "beta": 1.0, "alpha": 0.0})
    louder = copy.deepcopy(model)
    for parameter in louder.model.encoder.layers[1].parameters():
        parameter.data.mul_(100)
    plans = [rule.decide(View(one, structure, layers, 0)) for one in (model, louder)]
    assert layers.then(plans[0]) == layers.then(plans[1])
    left = [layers.then(plans[0]).mask(matrix).float().mean() for matrix in structure.matrices if layers.has(matrix)]
    assert 0.3 < sum(map(float, left)) / len(left) < 0.7  # with theirs, next to nothing goes

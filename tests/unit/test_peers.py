"""Groups compared with those of all layers of their kind, against a plain loop."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
import torch

from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.adaptive_scores import Scores
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import tiny_whisper


@pytest.fixture(scope="module")
def view() -> View:
    """Layers of different scale, and a head and a neuron that are gone already."""
    model = tiny_whisper(d=8, layers=(2, 1), heads=4, ffn=12, vocab=40)
    structure = Structure.of(model)
    with torch.no_grad():
        for matrix in structure.matrices:
            model.get_parameter(matrix.name).mul_(1 + matrix.layer + 2 * (matrix.stack == "decoder"))
    return View(model, structure, Plan({g.key: torch.arange(1, g.count) for g in structure.groups[:2]}), 0)


def member(view: View, name: str, at: Any, cutoff: float) -> tuple[float, float]:
    """Return how many weights at a place survive, and the sum of their squares."""
    weight = view.weight(view.structure.matrix(name))[at].double()
    left = weight.abs() >= cutoff
    return int(left.sum()), float(weight[left].square().sum())


@pytest.mark.parametrize("groups", ["column", "structural"])
def test_the_mean_of_a_kind_is_over_all_its_layers(view: View, groups: Any) -> None:
    cutoff, rule = 0.4, WeightAdaptive(groups=groups, peers="kind", rho=0.7, beta=0.9)
    scores = Scores(view, rule)
    survivors = [view.mask(m) & (view.weight(m).abs() >= cutoff) for m in view.structure.matrices]
    found: list[tuple[str, float, float]] = []  # kind, share, norm of each member, gone ones left out
    for group in view.structure.groups if groups == "structural" else ():
        for one in view.plan.kept.get(group.key, torch.arange(group.count)).tolist():
            entries, total, squares = slice(one * group.width, (one + 1) * group.width), 0, 0.0
            for matrix in view.structure.matrices_of(group.key):
                at = (entries,) if matrix.axis == 0 else (slice(None), entries)
                count, square = member(view, matrix.name, at, cutoff)
                total, squares = total + count, squares + square
            found.append((group.kind, total / group.weights, squares**0.5))
    for matrix in view.structure.matrices if groups == "column" else ():
        alive = view.plan.mask(matrix)
        for column in range(matrix.shape[1]):
            weight = view.weight(matrix)[:, column].double()
            left = (weight.abs() >= cutoff) & alive[:, column]
            share, square = int(left.sum()) / matrix.shape[0], float(weight[left].square().sum())
            found.append((matrix.kind, share, square**0.5))
    expected = []
    for kind, share, norm in found:
        mean_share = statistics.fmean(s for k, s, _ in found if k == kind)
        mean_norm = statistics.fmean(n for k, _, n in found if k == kind)
        expected.append(min(share / (0.7 * mean_share), norm / (0.9 * mean_norm)))
    ours = torch.cat(scores.members(survivors))
    if groups == "structural":
        ours = ours[ours > -torch.inf]
    else:
        expected = [value if share else -torch.inf for value, (_, share, _) in zip(expected, found, strict=True)]
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-9)


def test_a_weak_layer_loses_more_among_the_layers_of_its_kind_and_no_more_among_itself(view: View) -> None:
    kept = {}
    for peers in ("matrix", "kind"):
        rule = WeightAdaptive(groups="ffn_neuron", peers=peers, alpha=0.0, rho=0.0, beta=0.7, weight_pass=False)
        plan = rule.decide(view)
        kept[peers] = [len(plan.kept[f"model.{s}.layers.{i}.ffn"]) for s, i in (("encoder", 0), ("decoder", 0))]
    assert kept["matrix"][0] >= 0.5 * kept["matrix"][1]  # both keep nearly all: scale does not matter
    assert kept["kind"][0] == 1  # the weakest layer is far below the mean, and its best neuron stays all the same
    assert kept["kind"][1] > 6

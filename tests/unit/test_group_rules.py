"""Rules over whole heads and neurons against plain loops: what they rank by, what stays, and how chance draws."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import pytest
import torch
import torch_pruning as tp
from transformers import WhisperForConditionalGeneration

from benchmark.api import Budget
from benchmark.errors import SpecError
from benchmark.pruning.groups import GroupKind, L1Groups, RandomGroups
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Group, Structure
from benchmark.whisper.view import View
from tests.tiny import tiny_whisper

Member = tuple[str, int]
DRAWS = 400


def stored(keep: float) -> Budget:
    return Budget(kind="prunable_stored", keep=keep)


def heavy_tailed() -> WhisperForConditionalGeneration:
    """Return a model whose members stand in another order by absolute values than by squares."""
    model = tiny_whisper(d=16, layers=(2, 2), heads=4, ffn=24, vocab=40)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for matrix in Structure.of(model).matrices:
            model.get_parameter(matrix.name).mul_(torch.randn(matrix.shape, generator=generator).mul(1.5).exp())
    return model


@pytest.fixture(scope="module")
def view() -> View:
    model = heavy_tailed()
    return View(model, Structure.of(model), Plan(), seed=0)


def l1(view: View, group: Group, member: int) -> float:
    total = 0.0
    for matrix in view.structure.matrices_of(group.key):
        weight = (view.weight(matrix) * view.plan.mask(matrix)).double()
        for entry in range(member * matrix.width, (member + 1) * matrix.width):
            line = weight[entry] if matrix.axis == 0 else weight[:, entry]
            total += sum(abs(value) for value in line.tolist())
    return total


def naive_kept(
    view: View, keep: float, score: Callable[[View, Group, int], float], kinds: tuple[GroupKind, ...]
) -> set[Member]:
    """Keep heads, then neurons, from the best down: first the best of each group, then all others."""
    structure, kept = view.structure, set[Member]()
    kept |= {
        (group.key, member) for group in structure.groups if group.kind not in kinds for member in range(group.count)
    }
    for kind in kinds:
        groups = [group for group in structure.groups if group.kind == kind]
        firsts, others = [], []
        for group in groups:
            alive = view.plan.kept.get(group.key, torch.arange(group.count)).tolist()
            ranked = sorted(
                ((score(view, group, member), group, member) for member in alive), key=lambda item: -item[0]
            )
            firsts.append(ranked[0])
            others += ranked[1:]
        target = keep * sum(group.weights * group.count for group in groups)
        if kind == kinds[-1]:  # fills what the kinds before have left
            target = keep * structure.prunable - sum(structure.group(key).weights for key, _ in kept)
        kept |= {(group.key, member) for _, group, member in firsts}
        used = sum(group.weights for _, group, _ in firsts)
        for _, group, member in sorted(others, key=lambda item: -item[0]):
            if used + group.weights / 2 > target:  # less than half of it would fit
                break
            kept.add((group.key, member))
            used += group.weights
    return kept


def members(plan: Plan, structure: Structure) -> set[Member]:
    return {
        (group.key, member)
        for group in structure.groups
        for member in plan.kept.get(group.key, torch.arange(group.count)).tolist()
    }


@pytest.mark.parametrize("keep", [0.85, 0.6, 0.4, 0.2])
def test_l1_keeps_the_members_of_largest_absolute_sum(view: View, keep: float) -> None:
    plan = L1Groups(budget=stored(keep)).decide(view)
    assert members(plan, view.structure) == naive_kept(view, keep, l1, ("head", "ffn_neuron"))


@pytest.mark.parametrize(("kind", "keep"), [("head", 0.75), ("ffn_neuron", 0.8)])
def test_one_kind_alone_pays_for_the_whole_budget(view: View, kind: GroupKind, keep: float) -> None:
    plan = L1Groups(budget=stored(keep), groups=(kind,)).decide(view)
    assert members(plan, view.structure) == naive_kept(view, keep, l1, (kind,))


def test_a_second_l1_pruning_ranks_what_the_first_left(view: View) -> None:
    first = L1Groups(budget=stored(0.7)).decide(view)
    structure = view.structure
    masked = {m.name: torch.rand(m.shape, generator=torch.Generator().manual_seed(3)) < 0.7 for m in structure.matrices}
    pruned = View(heavy_tailed(), structure, first.then(Plan(masks=masked)), seed=0)
    both = pruned.plan.then(L1Groups(budget=stored(0.4)).decide(pruned))
    assert members(both, structure) == naive_kept(pruned, 0.4, l1, ("head", "ffn_neuron"))


def test_every_layer_keeps_its_best_head_and_neuron_however_weak_it_is() -> None:
    model = tiny_whisper(d=16, layers=(2, 1), heads=4, ffn=24, vocab=40)
    with torch.no_grad():
        for parameter in model.model.encoder.layers[1].parameters():
            parameter.mul_(1e-3)
    view = View(model, Structure.of(model), Plan(), seed=0)
    plan = L1Groups(budget=stored(0.3)).decide(view)
    for group in view.structure.groups:
        if ".encoder.layers.1." in group.key:
            best = max(range(group.count), key=lambda member, group=group: l1(view, group, member))  # type: ignore[misc]
            assert plan.kept[group.key].tolist() == [best]


# --- chance -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def draws() -> list[set[Member]]:
    """Half of 12 heads and of 32 neurons, drawn with many seeds."""
    model = tiny_whisper(d=8, layers=(1, 1), heads=4, ffn=16, vocab=40)
    structure = Structure.of(model)
    rule = RandomGroups(budget=stored(0.5))
    return [members(rule.decide(View(model, structure, Plan(), seed)), structure) for seed in range(DRAWS)]


def test_random_groups_gives_every_member_the_same_chance(draws: list[set[Member]]) -> None:
    counts = Counter(itertools.chain.from_iterable(draws))
    assert len(counts) == 3 * 4 + 2 * 16
    for member, count in counts.items():
        assert abs(count - DRAWS / 2) < 5 * (DRAWS / 4) ** 0.5, member


def test_random_groups_draws_anew_with_every_seed(draws: list[set[Member]]) -> None:
    assert len({frozenset(draw) for draw in draws}) > 0.99 * DRAWS


def test_random_groups_draws_for_every_layer_on_its_own(draws: list[set[Member]]) -> None:
    def of(draw: set[Member], key: str) -> set[int]:
        return {member for group, member in draw if group == key}

    encoder, decoder = "model.encoder.layers.0.ffn", "model.decoder.layers.0.ffn"
    together = sum(len(of(draw, encoder) & of(draw, decoder)) for draw in draws)
    # Of 16 places, two independent halves share 4; equal ones 8, complements none.
    assert abs(together / DRAWS - 4) < 0.5


def test_random_groups_does_not_look_at_weights(view: View) -> None:
    model = tiny_whisper(d=16, layers=(2, 2), heads=4, ffn=24, vocab=40, seed=9)
    other = View(model, view.structure, Plan(), seed=0)
    rule = RandomGroups(budget=stored(0.5))
    assert rule.decide(view) == rule.decide(other)


# --- multiples, and Torch-Pruning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [L1Groups, RandomGroups])
def test_every_layer_keeps_a_multiple_of_round_to_neurons(
    view: View, rule: type[L1Groups] | type[RandomGroups]
) -> None:
    chosen = rule(budget=stored(0.6), round_to=4)
    plan = chosen.decide(view)
    counts = [len(plan.kept[group.key]) for group in view.structure.groups if group.kind == "ffn_neuron"]
    assert all(count % 4 == 0 and count > 0 for count in counts)
    miss = abs(plan.stored_density(view.structure) - 0.6) * view.structure.prunable
    assert miss <= chosen.smallest(view.structure)


def test_bundles_of_l1_hold_the_best_neurons_of_their_layer(view: View) -> None:
    plan = L1Groups(budget=stored(0.6), round_to=4).decide(view)
    for group in view.structure.groups:
        if group.kind == "ffn_neuron":
            ranked = sorted(range(group.count), key=lambda member, group=group: -l1(view, group, member))
            kept = plan.kept[group.key].tolist()
            assert kept == sorted(ranked[: len(kept)])


def test_round_to_must_divide_the_neurons(view: View) -> None:
    with pytest.raises(SpecError, match="round_to = 7 does not divide the 24 neurons of model"):
        L1Groups(budget=stored(0.6), round_to=7).decide(view)


def test_l1_scores_of_neurons_are_those_of_torch_pruning(view: View) -> None:
    """Torch-Pruning has no Whisper, but a Linear pair that is one FFN is all that a neuron's score needs."""
    importance = tp.importance.GroupMagnitudeImportance(p=1, group_reduction="sum", normalizer=None, bias=False)
    for group in view.structure.groups:
        if group.kind != "ffn_neuron":
            continue
        up, down = (view.weight(matrix) for matrix in view.structure.matrices_of(group.key))
        block = torch.nn.Sequential(
            torch.nn.Linear(*reversed(up.shape)), torch.nn.GELU(), torch.nn.Linear(*reversed(down.shape))
        )
        with torch.no_grad():
            block[0].weight.copy_(up)
            block[2].weight.copy_(down)
        graph = tp.DependencyGraph().build_dependency(block, example_inputs=torch.randn(1, up.shape[1]))
        found = importance(graph.get_pruning_group(block[0], tp.prune_linear_out_channels, list(range(group.count))))
        torch.testing.assert_close(found.double(), L1Groups().scores(view, group), rtol=1e-5, atol=0)


class Attention(torch.nn.Module):
    """One attention with weights of ours, in operations that Torch-Pruning can trace."""

    def __init__(self, weights: list[torch.Tensor], heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projections = torch.nn.ModuleList(torch.nn.Linear(*reversed(w.shape), bias=False) for w in weights)
        with torch.no_grad():
            for linear, weight in zip(self.projections, weights, strict=True):
                linear.weight.copy_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, positions, width)`` to the same."""
        q, k, v = (linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for linear in self.projections[:3])
        mixed = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
        return self.projections[3](mixed.transpose(1, 2).flatten(2))


def test_l1_scores_of_heads_are_those_of_torch_pruning(view: View) -> None:
    """A head is as many channels of the group that Torch-Pruning finds in an attention: rows of q, k, v, columns of
    out, traced and not told."""
    importance = tp.importance.GroupMagnitudeImportance(p=1, group_reduction="sum", normalizer=None, bias=False)
    for group in view.structure.groups:
        if group.kind != "head":
            continue
        matrices = view.structure.matrices_of(group.key)
        assert [matrix.kind for matrix in matrices] == ["q", "k", "v", "out"]
        attention = Attention([view.weight(matrix) for matrix in matrices], group.count)
        width = matrices[0].shape[0]
        graph = tp.DependencyGraph().build_dependency(attention, example_inputs=torch.randn(1, 5, matrices[0].shape[1]))
        found = graph.get_pruning_group(attention.projections[0], tp.prune_linear_out_channels, list(range(width)))
        traced = {dep.target.module for dep, _ in found} & set(attention.projections)
        assert len(traced) == 4
        per_head = importance(found).double().reshape(group.count, -1).sum(dim=1)
        torch.testing.assert_close(per_head, L1Groups().scores(view, group), rtol=1e-5, atol=0)

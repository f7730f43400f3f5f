"""Rules that remove attention heads and FFN neurons as wholes: their plans are carried out by surgery."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from benchmark.api import Rule
from benchmark.errors import SpecError
from benchmark.pruning.weights import Scope, asked

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Group, Structure
    from benchmark.whisper.view import View

GroupKind = Literal["head", "ffn_neuron"]
KINDS: tuple[GroupKind, ...] = ("head", "ffn_neuron")


def _each_once(kinds: tuple[GroupKind, ...]) -> tuple[GroupKind, ...]:
    if not kinds:
        raise ValueError("name at least one kind of group: head, ffn_neuron")
    return tuple(kind for kind in KINDS if kind in kinds)  # neurons last: they fill what whole heads leave


Kinds = Annotated[tuple[GroupKind, ...], AfterValidator(_each_once)]
"""Kinds of groups that may go, each once, the larger first."""


def per_member(view: View, group: Group, reduce: Literal["abs", "square"]) -> torch.Tensor:
    """Return one number per head or neuron, shape ``(group.count,)``: ``abs`` or ``square`` summed.

    The sum runs over all weights of the member in all its matrices (head: rows of q, k, v and columns of out;
    neuron: row of fc1 and column of fc2). Biases are left out, as in Torch-Pruning with ``bias=False``.
    """
    import torch

    total = torch.zeros(group.count, dtype=torch.float64)
    for matrix in view.structure.matrices_of(group.key):
        weight = view.weight(matrix).cpu() * view.mask(matrix).cpu()
        value = weight.abs() if reduce == "abs" else weight.square()
        along = value.sum(dim=1 - matrix.axis, dtype=torch.float64)
        total += along.reshape(group.count, matrix.width).sum(dim=1)
    return total


def smallest_group(structure: Structure, kinds: tuple[GroupKind, ...]) -> int:
    """Return the weights of the smallest removable member among the given kinds."""
    return min(group.weights for group in structure.groups if group.kind in kinds)


def keep_top(scores: Sequence[torch.Tensor], sizes: Sequence[torch.Tensor], target: float) -> list[torch.Tensor]:
    """Keep members from the highest score down until ``target`` weights are kept, and at least the best of each list.

    ``scores`` and ``sizes`` hold one tensor a group, shape ``(members,)``: a member's score (minus infinity: gone
    already) and its weights. The last member is kept where at least half of it fits. Returns bool tensors.
    """
    import torch

    pool, size, counts = torch.cat(list(scores)), torch.cat(list(sizes)), [len(score) for score in scores]
    order = _ranking(scores)
    fits = int((size[order].cumsum(0) - size[order] / 2 <= target).sum())
    bits = torch.zeros(len(pool), dtype=torch.bool)
    bits[order[: max(fits, len(counts))]] = True
    return list((bits & (pool > -torch.inf)).split(counts))


def keep_members(groups: Sequence[Group], scores: Sequence[torch.Tensor], target: float) -> dict[str, torch.Tensor]:
    """Return the members that ``keep_top`` keeps of some groups, as indices by group."""
    kept = keep_top(scores, [_sizes(group) for group in groups], target)
    return {group.key: bits.nonzero().flatten() for group, bits in zip(groups, kept, strict=True)}


def fit_members(structure: Structure, scores: dict[str, torch.Tensor], keep: float) -> dict[str, torch.Tensor]:
    """Remove heads and neurons from the lowest score up until ``keep`` of the prunable weights are stored.

    Heads and neurons stand in one ranking, which says how many heads stay; neurons fill the rest, so that the budget
    is missed by at most half a neuron. Where neurons cannot (all of them stay, or only one a layer), as many heads
    more or fewer stay as it takes. ``scores`` holds shape ``(group.count,)`` by group, for all groups of
    layers that are left; minus infinity: gone already.

    Raises:
        SpecError: the budget asks for less than one head and one neuron a layer.
    """
    import torch

    present = [group for group in structure.groups if group.key in scores]
    heads, neurons = ([g for g in present if g.kind == kind] for kind in ("head", "ffn_neuron"))
    floor, smallest = sum(g.weights for g in [*heads, *neurons]), min(g.weights for g in neurons)
    target = keep * structure.prunable
    if target < floor - smallest / 2:
        raise SpecError(f"kept fraction {keep:g} is less than one head and one neuron a layer ({floor:,} weights)")
    together = keep_top([scores[g.key] for g in (*heads, *neurons)], [_sizes(g) for g in (*heads, *neurons)], target)
    wanted = sum(g.weights * int(bits.sum()) for g, bits in zip(heads, together, strict=False))
    pool, size = torch.cat([scores[g.key] for g in heads]), torch.cat([_sizes(g) for g in heads])
    order = _ranking([scores[g.key] for g in heads])
    choices = size[order].cumsum(0)[len(heads) - 1 : int((pool > -torch.inf).sum())]  # weights of 1, 2, ... more heads
    most = target - sum(g.weights for g in neurons)
    least = target - sum(g.weights * int((scores[g.key] > -torch.inf).sum()) for g in neurons)
    beyond = (choices - choices.clamp(least, most)).abs()  # what neurons cannot make good
    near = torch.where(beyond <= max(smallest / 2, float(beyond.min())), (choices - wanted).abs(), torch.inf)
    kept = keep_members(heads, [scores[g.key] for g in heads], float(choices[near.argmin()]))
    room = target - sum(g.weights * len(kept[g.key]) for g in heads)
    return kept | keep_members(neurons, [scores[g.key] for g in neurons], room)


def fixed_weights(plan: Plan, groups: Sequence[Group]) -> int:
    """Return the weights of all members of some groups that the plan so far keeps."""
    return sum(group.weights * int(plan.members(group).sum()) for group in groups)


def _all_weights(groups: Sequence[Group], kinds: Sequence[str]) -> int:
    return sum(group.weights * group.count for group in groups if group.kind in kinds)


def _sizes(group: Group) -> torch.Tensor:
    import torch

    return torch.full((group.count,), float(group.weights), dtype=torch.float64)


def _ranking(scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the order in which members are kept: the best of each list, then all others by score; ties by place."""
    import torch

    pool, counts = torch.cat(list(scores)).double(), [len(score) for score in scores]
    starts = torch.tensor([0, *counts]).cumsum(0)[:-1]
    best = torch.zeros(len(pool), dtype=torch.bool)
    best[starts + torch.tensor([int(score.argmax()) for score in scores])] = True
    order = torch.sort(pool, descending=True, stable=True).indices
    return order[torch.sort(best[order].int(), descending=True, stable=True).indices]


class GroupRule(Rule):
    """Keep the best heads and the best neurons, each kind ranked over the whole model, or within each layer.

    Both kinds are cut to the budget's fraction: the nearest whole number of heads first, then as many neurons as the
    budget still has room for. With ``scope: layer`` every layer keeps that fraction of its own weights.
    """

    groups: Kinds = KINDS
    scope: Scope = "global"
    round_to: int = Field(default=1, ge=1, description="every layer keeps a multiple of this many neurons")

    def scores(self, view: View, group: Group) -> torch.Tensor:
        """Return one score per member, shape ``(group.count,)``; the highest stay."""
        raise NotImplementedError(f"{type(self).__name__} ranks nothing")  # an abstract method; Frozen is no ABC

    def smallest(self, structure: Structure) -> int:
        """Return the weights of the smallest member this rule removes (for the budget's allowance)."""
        if self.groups == ("ffn_neuron",) or self.round_to > 1:
            neuron = smallest_group(structure, ("ffn_neuron",)) * self.round_to
            return min(neuron, smallest_group(structure, ("head",))) if "head" in self.groups else neuron
        return smallest_group(structure, self.groups)

    def decide(self, view: View) -> Plan:
        """Rank, cut heads, fill up with neurons."""
        from benchmark.whisper.plan import Plan

        keep = asked(self.budget, type(self).__name__)
        present = [group for group in view.structure.groups if bool(view.plan.members(group).any())]
        fixed = fixed_weights(view.plan, [group for group in present if group.kind not in self.groups])
        # What may go keeps this fraction, so that the whole keeps ``keep``; it is the same number where all may go.
        fraction = (keep * view.structure.prunable - fixed) / _all_weights(present, self.groups)
        kept: dict[str, torch.Tensor] = {}
        pools: dict[tuple[str, int] | None, list[Group]] = {}
        for group in present:
            pools.setdefault(None if self.scope == "global" else (group.stack, group.layer), []).append(group)
        for pool in pools.values():
            kept |= self._cut(view, pool, fraction)
        return Plan(kept=kept)

    def _cut(self, view: View, pool: list[Group], keep: float) -> dict[str, torch.Tensor]:
        room = keep * _all_weights(pool, self.groups)
        kept: dict[str, torch.Tensor] = {}
        for kind in self.groups:
            ours = [group for group in pool if group.kind == kind]
            target = room if kind == self.groups[-1] else keep * _all_weights(ours, (kind,))
            kept |= self._keep(view, ours, target)
            room -= sum(group.weights * len(kept[group.key]) for group in ours)
        return kept

    def _keep(self, view: View, groups: Sequence[Group], target: float) -> dict[str, torch.Tensor]:
        """Return the best members; neurons in bundles of ``round_to`` that are neighbours in their layer's order."""
        ranked = [self._ranked(view, group) for group in groups]
        bundle = self.round_to if groups and groups[0].kind == "ffn_neuron" else 1
        if bundle == 1:
            return keep_members(groups, ranked, target)
        for group in groups:
            if group.count % bundle:
                raise SpecError(f"round_to = {bundle} does not divide the {group.count} neurons of {group.key}")
        orders = [score.argsort(descending=True, stable=True).reshape(-1, bundle) for score in ranked]
        scores = [score[order].mean(dim=1) for score, order in zip(ranked, orders, strict=True)]
        kept = keep_top(scores, [_sizes(g)[::bundle] * bundle for g in groups], target)
        return {
            group.key: order[bits].flatten().sort().values
            for group, order, bits in zip(groups, orders, kept, strict=True)
        }

    def _ranked(self, view: View, group: Group) -> torch.Tensor:
        import torch

        return self.scores(view, group).where(view.plan.members(group), torch.tensor(-math.inf).double())


class L1Groups(GroupRule):
    """Keep the heads and neurons with the largest L1 norm of their weights (Li et al. 2017)."""

    def scores(self, view: View, group: Group) -> torch.Tensor:
        """Sum of ``|w|`` over the member's weights."""
        return per_member(view, group, "abs")


class RandomGroups(GroupRule):
    """Keep heads and neurons drawn uniformly: the control of the structured rules."""

    def scores(self, view: View, group: Group) -> torch.Tensor:
        """A draw that depends on the cell's seed and the group's name alone."""
        import torch

        return torch.rand(group.count, generator=view.generator("random_groups", group.key), dtype=torch.float64)

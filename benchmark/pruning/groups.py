"""Rules that remove attention heads and FFN neurons as wholes: their plans are carried out by surgery."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from benchmark.api import Rule
from benchmark.pruning.weights import asked

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Group, Structure
    from benchmark.whisper.view import View

GroupKind = Literal["head", "ffn_neuron"]


def per_member(view: View, group: Group, reduce: Literal["abs", "square", "alive"]) -> torch.Tensor:
    """Return one number per head or neuron, shape ``(group.count,)``: ``abs``, ``square`` or ``alive`` summed.

    The sum runs over all weights of the member in all its matrices (head: rows of q, k, v and columns of out;
    neuron: row of fc1 and column of fc2). Biases are left out, as in Torch-Pruning with ``bias=False``.
    """
    import torch

    total = torch.zeros(group.count, dtype=torch.float64)
    for matrix in view.structure.matrices_of(group.key):
        weight = view.weight(matrix).cpu() * view.mask(matrix).cpu()
        value = weight.abs() if reduce == "abs" else weight.square() if reduce == "square" else weight != 0
        along = value.sum(dim=1 - matrix.axis, dtype=torch.float64)
        total += along.reshape(group.count, matrix.width).sum(dim=1)
    return total


def smallest_group(structure: Structure, kinds: tuple[GroupKind, ...]) -> int:
    """Return the weights of the smallest removable member among the given kinds."""
    return min(group.weights for group in structure.groups if group.kind in kinds)


def alive_members(plan: Plan, group: Group) -> torch.Tensor:
    """Return a bool tensor of shape ``(group.count,)``: which members the plan so far keeps."""
    import torch

    alive = torch.ones(group.count, dtype=torch.bool)
    if group.key in plan.kept:
        alive[:] = False
        alive[plan.kept[group.key]] = True
    return alive


def keep_top_members(groups: list[Group], scores: list[torch.Tensor], count: int) -> dict[str, torch.Tensor]:
    """Keep the ``count`` highest-scored members over all groups of one kind, and at least the best one of each."""
    import torch

    pool = torch.cat(scores)
    sizes = [len(score) for score in scores]
    starts = torch.tensor([0, *sizes]).cumsum(0)[:-1]
    best = starts + torch.tensor([int(score.argmax()) for score in scores])
    ranked = pool.clone()
    ranked[best] = torch.inf
    chosen = torch.sort(ranked, descending=True, stable=True).indices[: max(count, len(groups))]
    bits = torch.zeros(len(pool), dtype=torch.bool)
    bits[chosen] = True
    bits &= ranked > -torch.inf
    parts = bits.split(sizes)
    return {group.key: part.nonzero().flatten() for group, part in zip(groups, parts, strict=True)}


class GroupRule(Rule):
    """Keep the best heads and the best neurons, each kind ranked over the whole model.

    Both kinds are cut to the budget's fraction: the nearest whole number of heads first, then as many neurons as the
    budget still has room for.
    """

    groups: tuple[GroupKind, ...] = ("head", "ffn_neuron")

    def scores(self, view: View, group: Group) -> torch.Tensor:
        """Return one score per member, shape ``(group.count,)``; the highest stay."""
        raise NotImplementedError(f"{type(self).__name__} ranks nothing")  # an abstract method; Frozen is no ABC

    def smallest(self, structure: Structure) -> int:
        """Return the weights of the smallest member this rule removes (for the budget's allowance)."""
        return smallest_group(structure, self.groups)

    def decide(self, view: View) -> Plan:
        """Rank, cut heads, fill up with neurons."""
        from benchmark.whisper.plan import Plan

        keep = asked(self.budget, type(self).__name__)
        room = keep * view.structure.prunable
        room -= sum(group.weights * group.count for group in view.structure.groups if group.kind not in self.groups)
        kept: dict[str, torch.Tensor] = {}
        for kind in self.groups:
            groups = [group for group in view.structure.groups if group.kind == kind]
            weight = groups[0].weights
            last = kind == self.groups[-1]
            count = room / weight if last else keep * sum(group.count for group in groups)
            chosen = keep_top_members(groups, [self._ranked(view, group) for group in groups], _nearest(count))
            room -= weight * sum(len(members) for members in chosen.values())
            kept |= chosen
        return Plan(kept=kept)

    def _ranked(self, view: View, group: Group) -> torch.Tensor:
        import torch

        return self.scores(view, group).where(alive_members(view.plan, group), torch.tensor(-math.inf).double())


def _nearest(count: float) -> int:
    return max(0, math.floor(count + 0.5))


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

"""The two-pass weight-adaptive rule: thresholds that follow each matrix' own statistics.

The idea is of arXiv 2510.12666; its exact thresholds are not known to us. What stands here is our reading:

1. weights: ``|w| < alpha * spread(W)`` goes, per matrix;
2. groups: with the statistics of what is left, a whole column (or head, or neuron) goes when its share of surviving
   weights is below ``rho`` times the mean share, or its L2 norm below ``beta`` times the mean norm of its peers.

A budget is met by one scale on the thresholds: of the weight pass for a nominal budget, of the group pass for a
stored one. Density is a step function of that scale, so the rest is trimmed by the pass' own score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from benchmark.api import Rule
from benchmark.errors import SpecError
from benchmark.pruning.groups import alive_members, keep_top_members, per_member, smallest_group

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Structure
    from benchmark.whisper.view import View

MAD_OF_A_GAUSSIAN = 0.6744897501960817
"""Median absolute deviation of a standard normal: dividing by it makes the robust scale comparable to ``std``."""

BISECTIONS = 40


class WeightAdaptive(Rule):
    """Zero weights by ``alpha * std`` of their matrix, then whole groups by what is left of them."""

    alpha: float = Field(default=0.25, ge=0, description="weight threshold in spreads of its matrix")
    scale: Literal["std", "mad"] = Field(default="std", description="the spread: deviation, or the robust one")
    rho: float = Field(default=0.5, ge=0, description="group threshold as a share of the mean surviving share")
    beta: float = Field(default=0.5, ge=0, description="group threshold as a share of the mean L2 norm")
    groups: Literal["column", "structural"] = Field(
        default="column", description="input columns of each matrix, or whole heads and FFN neurons"
    )
    weight_pass: bool = True
    group_pass: bool = True

    def smallest(self, structure: Structure) -> int:
        """Return the weights of the smallest thing the budgeted pass removes."""
        if self.budget.kind == "prunable_stored":
            return smallest_group(structure, ("head", "ffn_neuron"))
        return 1

    def decide(self, view: View) -> Plan:
        """Run the passes, scaled to meet the budget where there is one."""
        if self.budget.kind == "prunable_stored" and self.groups != "structural":
            raise SpecError("a stored budget is met by removing heads and neurons: set groups = structural")
        scores = [self._in_spreads(view, index) for index in range(len(view.structure.matrices))]
        if self.groups == "structural":
            return self._structural(view, scores)
        return self._columns(view, scores)

    # --- pass 1 ---------------------------------------------------------------------------------------------------

    def _in_spreads(self, view: View, index: int) -> torch.Tensor:
        """Return ``|w| / spread(W)`` with removed weights at minus infinity, shape of the matrix."""
        import torch

        matrix = view.structure.matrices[index]
        weight, alive = view.weight(matrix).cpu(), view.mask(matrix).cpu()
        living = weight[alive]
        if self.scale == "std":
            spread = living.std(correction=0)
        else:
            spread = (living - living.median()).abs().median() / MAD_OF_A_GAUSSIAN
        if not torch.isfinite(spread):
            raise SpecError(f"matrix {matrix.name} holds weights that are not finite; nothing can be ranked in it")
        return torch.where(alive, weight.abs() / spread.clamp_min(torch.finfo(weight.dtype).tiny), -torch.inf)

    def _survivors(self, scores: list[torch.Tensor], factor: float) -> list[torch.Tensor]:
        threshold = factor * self.alpha if self.weight_pass else 0.0
        return [score >= threshold for score in scores]

    # --- pass 2 over columns, nominal budgets -----------------------------------------------------------------------

    def _live_columns(self, view: View, survivors: list[torch.Tensor], factor: float) -> list[torch.Tensor]:
        """Return masks without the dead columns; the best column of a matrix always stays."""
        import torch

        masks = []
        for matrix, mask in zip(view.structure.matrices, survivors, strict=True):
            share = mask.float().mean(dim=0)
            norm = torch.linalg.vector_norm(view.weight(matrix).cpu() * mask, dim=0)
            dead = (share < factor * self.rho * share.mean()) | (norm < factor * self.beta * norm.mean())
            dead[norm.argmax()] = False
            masks.append(mask & ~dead)
        return masks

    def _both(self, view: View, scores: list[torch.Tensor], weights: float, groups: float) -> list[torch.Tensor]:
        survivors = self._survivors(scores, weights)
        return self._live_columns(view, survivors, groups) if self.group_pass else survivors

    def _columns(self, view: View, scores: list[torch.Tensor]) -> Plan:
        from benchmark.whisper.plan import Plan

        matrices, keep = view.structure.matrices, self.budget.keep
        if keep is None:
            masks = self._both(view, scores, 1.0, 1.0)
        else:
            target = round(keep * view.structure.prunable)
            masks = self._at_least(view, scores, target)
            masks = _trim(masks, scores, target)
        return Plan(masks={matrix.name: mask for matrix, mask in zip(matrices, masks, strict=True)})

    def _at_least(self, view: View, scores: list[torch.Tensor], target: int) -> list[torch.Tensor]:
        """Return the sparsest masks found that still hold ``target`` weights.

        The weight pass is scaled; where the group pass alone removes too much, that one is scaled down instead.
        """
        if _count(self._both(view, scores, 0.0, 1.0)) >= target:
            high = 1.0
            while self.alpha * self.weight_pass and _count(self._both(view, scores, high, 1.0)) > target and high < 1e6:
                high *= 2
            return self._bisect(view, scores, target, (0.0, high), weights=True)
        return self._bisect(view, scores, target, (0.0, 1.0), weights=False)

    def _bisect(
        self, view: View, scores: list[torch.Tensor], target: int, bracket: tuple[float, float], *, weights: bool
    ) -> list[torch.Tensor]:
        low, high = bracket
        best = self._both(view, scores, low, 1.0 if weights else low)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            masks = self._both(view, scores, middle if weights else 0.0, 1.0 if weights else middle)
            if _count(masks) >= target:
                low, best = middle, masks
                if _count(masks) == target:
                    break
            else:
                high = middle
        return best

    # --- pass 2 over heads and neurons, stored budgets --------------------------------------------------------------

    def _member_scores(self, view: View, survivors: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return one number per head or neuron, keyed by group: below 1 the thresholds as given would remove it.

        The smaller of (surviving share / (rho * mean share)) and (L2 norm / (beta * mean norm)), means over the
        members of the same layer that are alive.
        """
        import torch

        pruned = view.after({m.name: s for m, s in zip(view.structure.matrices, survivors, strict=True)})
        result: dict[str, torch.Tensor] = {}
        for group in view.structure.groups:
            alive = alive_members(view.plan, group)
            share, norm = per_member(pruned, group, "alive"), per_member(pruned, group, "square").sqrt()
            terms = [
                value / (limit * value[alive].mean()).clamp_min(1e-300)
                for value, limit in ((share, self.rho), (norm, self.beta))
                if limit > 0
            ]
            score = torch.stack(terms).amin(dim=0) if terms else torch.full((group.count,), torch.inf).double()
            result[group.key] = torch.where(alive, score, -torch.inf)
        return result

    def _structural(self, view: View, scores: list[torch.Tensor]) -> Plan:
        import torch

        from benchmark.whisper.plan import Plan

        stored = self.budget.kind == "prunable_stored"
        survivors = self._survivors(scores, 1.0)
        members = self._member_scores(view, survivors)
        if self.budget.keep is None or not stored:
            dead_below = 1.0 if self.group_pass else 0.0
            kept = {key: _at_least_one(score >= dead_below, score) for key, score in members.items()}
        else:
            if not self.group_pass:
                raise SpecError("a stored budget is met by the group pass: leave group_pass on")
            kept = fit_members(view.structure, members, self.budget.keep)
        plan = Plan(kept=kept)
        if self.budget.keep is not None and not stored:
            alive = [plan.mask(matrix) for matrix in view.structure.matrices]
            inside = [torch.where(live, score, -torch.inf) for live, score in zip(alive, scores, strict=True)]
            survivors = _trim(alive, inside, round(self.budget.keep * view.structure.prunable))
        masks = {m.name: s for m, s in zip(view.structure.matrices, survivors, strict=True)}
        return Plan(kept=kept, masks=masks)


def fit_members(structure: Structure, scores: dict[str, torch.Tensor], keep: float) -> dict[str, torch.Tensor]:
    """Remove heads and neurons from the lowest score up until ``keep`` of the prunable weights are stored.

    Heads below the crossing point go; a head that would overshoot stays, and neurons fill the rest, so that the
    budget is missed by less than half a neuron unless the last neuron of every layer is reached.

    Raises:
        SpecError: the budget asks for less than one head and one neuron a layer.
    """
    import torch

    kinds = ("head", "ffn_neuron")
    groups = {kind: [group for group in structure.groups if group.kind == kind] for kind in kinds}
    weight = {kind: groups[kind][0].weights for kind in kinds}
    target = keep * structure.prunable
    floor = sum(weight[kind] * len(groups[kind]) for kind in kinds)
    if target < floor - weight["ffn_neuron"] / 2:
        raise SpecError(f"kept fraction {keep:g} is less than one head and one neuron a layer ({floor:,} weights)")
    pool = torch.cat([scores[group.key] for kind in kinds for group in groups[kind]])
    size = torch.cat(
        [torch.full((group.count,), weight[kind], dtype=torch.int64) for kind in kinds for group in groups[kind]]
    )
    order = torch.sort(pool, descending=True, stable=True).indices
    heads = sum(group.count for group in groups["head"])
    inside = order[size[order].cumsum(0) <= target]
    count = int((inside < heads).sum())
    chosen: dict[str, torch.Tensor] = {}
    for _ in range(heads):
        chosen = keep_top_members(groups["head"], [scores[group.key] for group in groups["head"]], count)
        room = target - weight["head"] * sum(len(members) for members in chosen.values())
        if room >= weight["ffn_neuron"] * (len(groups["ffn_neuron"]) - 0.5):
            break
        count -= 1
    neurons = int(room / weight["ffn_neuron"] + 0.5)
    ranked = [scores[group.key] for group in groups["ffn_neuron"]]
    alive = int((torch.cat(ranked) > -torch.inf).sum())
    chosen |= keep_top_members(groups["ffn_neuron"], ranked, min(neurons, alive))
    return chosen


def _at_least_one(keep: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    keep[score.argmax()] = True
    return keep.nonzero().flatten()


def _count(masks: list[torch.Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks)


def _trim(masks: list[torch.Tensor], scores: list[torch.Tensor], target: int) -> list[torch.Tensor]:
    """Drop the lowest-scored weights that ``masks`` still holds until exactly ``target`` are left."""
    import torch

    surplus = _count(masks) - target
    if surplus <= 0:
        return masks
    flat = torch.cat([torch.where(mask, score, torch.inf).flatten() for mask, score in zip(masks, scores, strict=True)])
    bits = torch.cat([mask.flatten() for mask in masks])
    bits[torch.sort(flat, stable=True).indices[:surplus]] = False
    parts = bits.split([mask.numel() for mask in masks])
    return [part.reshape(mask.shape) for part, mask in zip(parts, masks, strict=True)]

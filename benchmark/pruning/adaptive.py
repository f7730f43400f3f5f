"""The two-pass weight-adaptive rule: thresholds that follow each matrix' own statistics.

The idea is of arXiv 2510.12666; its exact thresholds are not known to us. What stands here is our reading:

1. weights: ``|w| < alpha * spread(W)`` goes, per matrix;
2. groups: with the statistics of what is left, a whole column (or head, or neuron) goes when its share of surviving
   weights is below ``rho`` times the mean share, or its L2 norm below ``beta`` times the mean norm of its peers.

A budget is met by one scale on the thresholds: of the weight pass for a nominal budget, of the group pass for a
stored one, or for a nominal one where the weight pass is off or the group pass alone takes too much. Density is a step
function of that scale, so the rest is trimmed by the pass' own score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from benchmark.api import Rule
from benchmark.errors import SpecError
from benchmark.pruning.groups import alive_members, fit_members, keep_top, per_member, smallest_group

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Structure
    from benchmark.whisper.view import View

MAD_OF_A_GAUSSIAN = 0.6744897501960817
"""Median absolute deviation of a standard normal: dividing by it makes the robust scale comparable to ``std``."""

BISECTIONS = 40


class WeightAdaptive(Rule):
    """Zero weights by ``alpha`` spreads of their matrix, then whole groups by what is left of them."""

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
        if self.budget.keep is None or (self.weight_pass and self.budget.kind == "prunable_nominal"):
            return 1
        if self.groups == "structural":
            return smallest_group(structure, ("head", "ffn_neuron"))
        return min(matrix.shape[0] for matrix in structure.matrices)

    def decide(self, view: View) -> Plan:
        """Run the passes, scaled to meet the budget where there is one.

        Raises:
            SpecError: the switches leave nothing that could meet the budget, or a weight is not finite.
        """
        from benchmark.whisper.plan import Plan

        self._check()
        scores = [self._in_spreads(view, index) for index in range(len(view.structure.matrices))]
        keep = self.budget.keep
        if keep is None:
            return self._passes(view, scores, 1.0, 1.0)
        if self.groups == "structural" and (self.budget.kind == "prunable_stored" or not self.weight_pass):
            survivors = self._survivors(view, scores, 1.0)
            return Plan(kept=fit_members(view.structure, self._member_scores(view, survivors), keep), masks=survivors)
        target = round(keep * view.structure.prunable)
        if not self.weight_pass:
            return self._best_columns(view, self._survivors(view, scores, 0.0), target)
        return _trim(self._scaled(view, scores, target), view, scores, target)

    def _check(self) -> None:
        if self.budget.kind == "prunable_stored" and self.groups != "structural":
            raise SpecError("a stored budget is met by removing heads and neurons: set groups = structural")
        if self.budget.keep is None:
            return
        if not self.group_pass and (self.budget.kind == "prunable_stored" or not self.weight_pass):
            raise SpecError(f"budget {self.budget} is met by the group pass: leave group_pass on")
        if (self.budget.kind == "prunable_stored" or not self.weight_pass) and self.rho == self.beta == 0:
            raise SpecError(f"budget {self.budget} is met by the group pass, and rho = beta = 0 rank no group")

    # --- pass 1 ---------------------------------------------------------------------------------------------------

    def _in_spreads(self, view: View, index: int) -> torch.Tensor:
        """Return ``|w| / spread(W)`` with removed weights at minus infinity, shape of the matrix.

        ``mad`` is taken over what is not zero: where a penalty made most weights zero, the median itself would be.
        """
        import torch

        matrix = view.structure.matrices[index]
        weight, alive = view.weight(matrix).cpu(), view.mask(matrix).cpu()
        living = weight[alive & (weight != 0)] if self.scale == "mad" else weight[alive]
        if living.numel() == 0:
            return torch.where(alive, 0.0, -torch.inf)
        if self.scale == "std":
            spread = living.std(correction=0)
        else:
            spread = (living - living.median()).abs().median() / MAD_OF_A_GAUSSIAN
        return torch.where(alive, weight.abs() / spread.clamp_min(torch.finfo(weight.dtype).tiny), -torch.inf)

    def _survivors(self, view: View, scores: list[torch.Tensor], factor: float) -> dict[str, torch.Tensor]:
        threshold = factor * self.alpha if self.weight_pass else 0.0
        return {m.name: score >= threshold for m, score in zip(view.structure.matrices, scores, strict=True)}

    # --- pass 2 ---------------------------------------------------------------------------------------------------

    def _column_scores(self, view: View, survivors: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        """Return one number per input column, a tensor a matrix: below 1 the thresholds as given would remove it.

        The smaller of (surviving share / (rho * mean share)) and (L2 norm / (beta * mean norm)), means over all
        columns of the matrix.
        """
        import torch

        result = []
        for matrix in view.structure.matrices:
            mask = survivors[matrix.name]
            norm = torch.linalg.vector_norm(view.weight(matrix).cpu() * mask, dim=0)
            result.append(self._relative(mask.float().mean(dim=0), norm, mask.any(dim=0), slice(None)))
        return result

    def _member_scores(self, view: View, survivors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return one number per head or neuron, keyed by group; the same score, means over the layer's live members."""
        pruned = view.after(survivors)
        result: dict[str, torch.Tensor] = {}
        for group in view.structure.groups:
            alive = alive_members(view.plan, group)
            share, norm = per_member(pruned, group, "alive"), per_member(pruned, group, "square").sqrt()
            result[group.key] = self._relative(share, norm, alive, alive)
        return result

    def _relative(
        self, share: torch.Tensor, norm: torch.Tensor, alive: torch.Tensor, peers: torch.Tensor | slice
    ) -> torch.Tensor:
        import torch

        terms = [
            value.double() / (limit * value[peers].double().mean()).clamp_min(1e-300)
            for value, limit in ((share, self.rho), (norm, self.beta))
            if limit > 0
        ]
        score = torch.stack(terms).amin(dim=0) if terms else torch.full(share.shape, torch.inf).double()
        return torch.where(alive, score, -torch.inf)

    # --- both passes ----------------------------------------------------------------------------------------------

    def _passes(self, view: View, scores: list[torch.Tensor], weights: float, groups: float) -> Plan:
        """Return the plan of both passes with their thresholds scaled; the best of each matrix or group stays."""
        from benchmark.whisper.plan import Plan

        survivors = self._survivors(view, scores, weights)
        if not self.group_pass:
            return Plan(masks=survivors)
        if self.groups == "structural":
            members = self._member_scores(view, survivors)
            kept = {key: _reaching(score, groups).nonzero().flatten() for key, score in members.items()}
            return Plan(kept=kept, masks=survivors)
        columns = self._column_scores(view, survivors)
        named = zip(survivors.items(), columns, strict=True)
        return Plan(masks={name: mask & _reaching(score, groups) for (name, mask), score in named})

    def _best_columns(self, view: View, survivors: dict[str, torch.Tensor], target: int) -> Plan:
        """Return the plan that removes whole columns, of the lowest score, until ``target`` weights are left."""
        from benchmark.whisper.plan import Plan

        sizes = [mask.sum(dim=0) for mask in survivors.values()]
        kept = keep_top(self._column_scores(view, survivors), sizes, target)
        return Plan(masks={name: mask & bits for (name, mask), bits in zip(survivors.items(), kept, strict=True)})

    def _scaled(self, view: View, scores: list[torch.Tensor], target: int) -> Plan:
        """Return the sparsest plan found that still holds ``target`` weights.

        The weight pass is scaled; where the group pass alone removes too much, that one is scaled down instead.
        """
        if _count(self._passes(view, scores, 0.0, 1.0), view) < target:
            return _bisect(lambda factor: self._passes(view, scores, 0.0, factor), view, target, 1.0)
        high = 1.0
        while self.alpha and _count(self._passes(view, scores, high, 1.0), view) > target and high < 1e6:
            high *= 2
        return _bisect(lambda factor: self._passes(view, scores, factor, 1.0), view, target, high)


def _reaching(score: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return which scores reach the threshold; the best one does always."""
    bits = score >= threshold
    bits[score.argmax()] = True
    return bits


def _bisect(plan_at: Callable[[float], Plan], view: View, target: int, high: float) -> Plan:
    """Return the plan of the largest factor in [0, high] found that still keeps ``target`` weights."""
    low, best = 0.0, plan_at(0.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        plan = plan_at(middle)
        count = _count(plan, view)
        if count >= target:
            low, best = middle, plan
            if count == target:
                break
        else:
            high = middle
    return best


def _count(plan: Plan, view: View) -> int:
    return plan.nonzero(view.structure)


def _trim(plan: Plan, view: View, scores: list[torch.Tensor], target: int) -> Plan:
    """Drop the lowest-scored weights that a plan still holds until exactly ``target`` are left."""
    import torch

    from benchmark.whisper.plan import Plan

    matrices, surplus = view.structure.matrices, _count(plan, view) - target
    if surplus <= 0:
        return plan
    masks = [plan.mask(matrix) for matrix in matrices]
    flat = torch.cat([torch.where(mask, score, torch.inf).flatten() for mask, score in zip(masks, scores, strict=True)])
    bits = torch.cat([mask.flatten() for mask in masks])
    bits[torch.sort(flat, stable=True).indices[:surplus]] = False
    parts = bits.split([mask.numel() for mask in masks])
    left = {m.name: part.reshape(m.shape) for m, part in zip(matrices, parts, strict=True)}
    return Plan(kept=plan.kept, masks=left)

"""The two-pass weight-adaptive rule: thresholds that follow each matrix' own statistics.

The idea is of arXiv 2510.12666; its exact thresholds are not known to us. What stands here is our reading:

1. weights: ``|w| < alpha * spread(W)`` goes, per matrix (so does what a penalty made exactly zero); or, to see what
   following each matrix is worth, with one spread for all (``scale: fixed``);
2. groups: with the statistics of what is left, a whole column (or row, head, neuron) goes when its share of surviving
   weights is below ``rho`` times the mean share, or its L2 norm below ``beta`` times the mean norm of its peers.

A budget is met by one scale on the thresholds: of the weight pass for a nominal budget, of the group pass for a
stored one, or for a nominal one where the weight pass is off or the group pass alone takes too much. What dies with
dead parts (``propagation``) counts as gone. Density is a step function of that scale, so the rest is trimmed by the
pass' own score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from benchmark.api import Rule
from benchmark.errors import SpecError
from benchmark.pruning.adaptive_scores import Scores
from benchmark.pruning.aiming import aimed
from benchmark.pruning.columns import fit_columns
from benchmark.pruning.groups import fit_members, fixed_weights, keep_members, keep_top, smallest_group
from benchmark.pruning.penalties import GroupKind
from benchmark.pruning.propagation import compacted, propagated

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Structure
    from benchmark.whisper.view import View

BISECTIONS = 40
ENOUGH = 1e-4
"""A bisection stops where no more than this share of its target is left to trim."""
Peers = Literal["matrix", "kind"]
"""The members of the same matrix (or attention, or FFN), or those of all layers: the latter follows scale."""
Scale = Literal["std", "mad", "fixed"]
"""The spread: of each matrix (deviation, or the robust one), or ``fixed``: of all weights, one threshold for all."""
_SHRINKING = ("structural", "head", "ffn_neuron", "column")


class WeightAdaptive(Rule):
    """Zero weights by ``alpha`` spreads of their matrix, then whole groups by what is left of them."""

    alpha: float = Field(default=0.25, ge=0, description="weight threshold in spreads of its matrix")
    tau: float = Field(default=0.0, ge=0, description="its floor, in deviations of all matrices of its kind")
    scale: Scale = Field(default="std", description="the spread: deviation, the robust one, or one for all matrices")
    centre: Literal["zero", "mean"] = Field(default="zero", description="distance from zero, or from the mean")
    rho: float = Field(default=0.5, ge=0, description="group threshold as a share of the mean surviving share")
    beta: float = Field(default=0.5, ge=0, description="group threshold as a share of the mean L2 norm")
    peers: Peers = Field(default="matrix", description="whose mean a group is compared with")
    groups: GroupKind = Field(default="column", description="groups of the second pass")
    weight_pass: bool = True
    group_pass: bool = True
    propagate: bool = Field(
        default=True,
        description="count what dies with dead parts as gone, as a Prune does; off to look at the passes alone",
    )

    def smallest(self, structure: Structure) -> int:
        """Return the weights of the smallest thing the budgeted pass removes."""
        if self.budget.keep is None or (self.weight_pass and self.budget.kind == "prunable_nominal"):
            return 1
        if self.groups in ("structural", "ffn_neuron"):
            return smallest_group(structure, ("ffn_neuron",))
        if self.groups == "head":
            return smallest_group(structure, ("head",))
        return min(matrix.shape[1 if self.groups == "row" else 0] for matrix in structure.matrices)

    def decide(self, view: View) -> Plan:
        """Run the passes, scaled to meet the budget where there is one.

        Raises:
            SpecError: the switches leave nothing that could meet the budget, or a weight is not finite.
        """
        self._check()
        scores = Scores(view, self)
        keep = self.budget.keep
        if keep is None:
            return self._passes(scores, 1.0, 1.0)
        if self.budget.kind == "prunable_stored":
            return self._stored(scores, keep)
        target = round(keep * view.structure.prunable)
        if not self.weight_pass:
            return self._nominal_groups(scores, target)
        return _trim(self._scaled(scores, target), scores, target, lambda plan: self._count(scores, plan))

    def _check(self) -> None:
        stored = self.budget.kind == "prunable_stored"
        if stored and self.groups not in _SHRINKING:
            raise SpecError(
                f"groups = {self.groups}: a stored budget is met by what surgery can take out: {', '.join(_SHRINKING)}"
            )
        if self.budget.keep is None:
            return
        if not self.group_pass and (stored or not self.weight_pass):
            raise SpecError(f"budget {self.budget} is met by the group pass: leave group_pass on")
        if (stored or not self.weight_pass) and self.rho == self.beta == 0:
            raise SpecError(f"budget {self.budget} is met by the group pass, and rho = beta = 0 rank no group")

    # --- both passes ----------------------------------------------------------------------------------------------

    def _passes(self, scores: Scores, weights: float, groups: float) -> Plan:
        """Return the plan of both passes with their thresholds scaled; the best of each family stays."""
        survivors = scores.survivors(weights)
        if not self.group_pass:
            return scores.plan(survivors)
        members = [_reaching(score, groups) for score in scores.members(survivors)]
        return scores.plan(survivors, members)

    def _count(self, scores: Scores, plan: Plan) -> int:
        """Return the weights that are left, dead parts taken out."""
        return self._whole(scores, plan).nonzero(scores.view.structure)

    def _whole(self, scores: Scores, plan: Plan) -> Plan:
        """Return the plan so far and ``plan``, dead parts taken out."""
        whole = scores.view.plan.then(plan)
        return propagated(scores.view, whole) if self.propagate else whole

    # --- nominal budgets ------------------------------------------------------------------------------------------

    def _scaled(self, scores: Scores, target: int) -> Plan:
        """Return the sparsest plan found that still holds ``target`` weights.

        The weight pass is scaled; where the group pass alone removes too much, that one is scaled down instead.
        """

        def count(plan: Plan) -> int:
            return self._count(scores, plan)

        if count(self._passes(scores, 0.0, 1.0)) < target:
            return _bisect(lambda factor: self._passes(scores, 0.0, factor), count, target, 1.0)
        high = 1.0
        while self.alpha + self.tau and count(self._passes(scores, high, 1.0)) > target and high < 1e6:
            high *= 2
        return _bisect(lambda factor: self._passes(scores, factor, 1.0), count, target, high)

    def _nominal_groups(self, scores: Scores, target: int) -> Plan:
        """Return the plan that removes whole members, of the lowest score, until ``target`` weights are left."""
        survivors, structure = scores.survivors(0.0), scores.view.structure

        def count(plan: Plan) -> int:
            return self._count(scores, plan)

        if self.groups in ("structural", "head", "ffn_neuron"):  # stored by the member, counted by what is not zero
            least = scores.least
            return self._aimed_members(scores, survivors, count, target, least, close=0)
        ranked, sizes = scores.members(survivors), scores.sizes(survivors)

        def plan_at(aim: float) -> Plan:
            return scores.plan(survivors, keep_top(ranked, sizes, aim))

        return aimed(plan_at, count, target, structure.prunable, close=0)

    def _aimed_members(
        self,
        scores: Scores,
        survivors: list[torch.Tensor],
        count: Callable[[Plan], int],
        target: float,
        least: float,
        close: float,
    ) -> Plan:
        """Return the plan of heads and neurons that leaves nearest to ``target``; ``least`` is stored of any plan."""
        prunable = scores.view.structure.prunable

        def plan_at(aim: float) -> Plan:
            return scores.plan(survivors, self._best_members(scores, survivors, max(aim, least) / prunable))

        return aimed(plan_at, count, target, prunable, close=close)

    # --- stored budgets -------------------------------------------------------------------------------------------

    def _stored(self, scores: Scores, keep: float) -> Plan:
        """Return the plan of both passes, the second scaled so that ``keep`` of the weights are stored."""
        survivors = scores.survivors(1.0)
        if self.groups == "column":
            return self._stored_columns(scores, survivors, keep * scores.view.structure.prunable)
        structure, target = scores.view.structure, keep * scores.view.structure.prunable
        least = min(target, scores.least)  # below: refused

        def stored(plan: Plan) -> int:
            return self._whole(scores, plan).stored(structure)

        return self._aimed_members(scores, survivors, stored, target, least, close=self.smallest(structure) / 2)

    def _best_members(self, scores: Scores, survivors: list[torch.Tensor], keep: float) -> list[torch.Tensor]:
        """Return which heads and neurons stay, a bool tensor a family."""
        structure = scores.view.structure
        ranked = dict(zip(scores.keys, scores.members(survivors), strict=True))
        if self.groups == "structural":
            kept = fit_members(structure, ranked, keep)
        else:
            groups = [structure.group(key) for key in scores.keys]
            rest = fixed_weights(scores.view.plan, [g for g in structure.groups if g.key not in ranked])
            kept = keep_members(groups, [ranked[key] for key in scores.keys], keep * structure.prunable - rest)
        return [_bits(kept[key], len(ranked[key])) for key in scores.keys]

    def _stored_columns(self, scores: Scores, survivors: list[torch.Tensor], target: float) -> Plan:
        """Return the plan whose compact matrices, neurons and heads store ``target`` weights."""
        structure = scores.view.structure

        def plan_of(alive: list[torch.Tensor]) -> Plan:
            whole = scores.view.plan.then(scores.plan(survivors, alive))
            return compacted(structure, propagated(scores.view, whole))

        plan = fit_columns(structure, scores.matrices, scores.members(survivors), plan_of, target)
        alive = [plan.mask(matrix).any(dim=0) for matrix in scores.matrices]
        return scores.plan(survivors, alive).then(scores.wholes(alive, plan))


def _reaching(score: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return which scores reach the threshold; the best one does always."""
    bits = score >= threshold
    bits[score.argmax()] = True
    return bits


def _bits(kept: torch.Tensor, count: int) -> torch.Tensor:
    import torch

    bits = torch.zeros(count, dtype=torch.bool)
    bits[kept] = True
    return bits


def _bisect(
    plan_at: Callable[[float], Plan], count: Callable[[Plan], int], target: int, high: float, enough: float = ENOUGH
) -> Plan:
    """Return the plan of the largest factor in [0, high] found that still keeps ``target`` weights.

    Stops early where no more than ``enough`` of the target is left to trim.
    """
    low, best = 0.0, plan_at(0.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        plan = plan_at(middle)
        found = count(plan)
        if found >= target:
            low, best = middle, plan
            if found <= target * (1 + enough):
                break
        else:
            high = middle
    return best


def _trim(plan: Plan, scores: Scores, target: int, count: Callable[[Plan], int]) -> Plan:
    """Drop the lowest-scored weights that a plan still holds until ``target`` are left, dead parts taken out."""
    from benchmark.whisper.plan import Plan

    matrices = scores.view.structure.matrices
    for _ in range(BISECTIONS):
        surplus = count(plan) - target
        if surplus <= 0:
            break
        masks = [scores.view.plan.then(plan).mask(matrix) for matrix in matrices]
        left = scores.without_lowest(masks, surplus)
        plan = Plan(kept=plan.kept, masks={m.name: bits for m, bits in zip(matrices, left, strict=True)})
    return plan

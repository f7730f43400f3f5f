"""What the weight-adaptive rule ranks by: weights in spreads of their matrix, groups by what is left of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.pruning.penalties import Family, families

if TYPE_CHECKING:
    import torch

    from benchmark.pruning.adaptive import WeightAdaptive
    from benchmark.whisper.plan import Plan
    from benchmark.whisper.view import View

MAD_OF_A_GAUSSIAN = 0.6744897501960817
"""Median absolute deviation of a standard normal: dividing by it makes the robust scale comparable to ``std``."""


class Scores:
    """The scores of one view under one rule; lists are in the order of the structure's matrices, or of ``families``.

    Families of removed layers are left out.
    """

    def __init__(self, view: View, rule: WeightAdaptive) -> None:
        self.view, self.rule = view, rule
        self.families: list[Family] = [
            family
            for family in families(view.structure, rule.groups)
            if family.grouped and view.plan.has(family.parts[0].matrix)
        ]
        self.matrices = [matrix for matrix in view.structure.matrices if view.plan.has(matrix)]
        self.least = sum(g.weights for g in view.structure.groups if bool(view.plan.members(g).any()))
        self.keys = [family.parts[0].matrix.group for family in self.families]
        self._whole = rule.groups in ("structural", "head", "ffn_neuron")
        self._place = {matrix.name: index for index, matrix in enumerate(view.structure.matrices)}
        self.weights = [self._in_spreads(index) for index in range(len(view.structure.matrices))]

    # --- pass 1 ---------------------------------------------------------------------------------------------------

    def _in_spreads(self, index: int) -> torch.Tensor:
        """Return ``unit * |w| / spread(W)``, removed weights at minus infinity, exact zeros just above, in W's shape.

        With a floor ``tau``, the spread is at least ``tau / alpha`` deviations of the matrix' kind, so that the
        threshold ``alpha`` means ``max(alpha * spread(W), tau * std(kind))``.
        """
        import torch

        matrix = self.view.structure.matrices[index]
        weight, alive = self.view.weight(matrix).cpu(), self.view.mask(matrix).cpu()
        # mad: over what is not zero; where a penalty made most weights zero, the median itself would be
        living = weight[alive & (weight != 0)] if self.rule.scale == "mad" else weight[alive]
        if living.numel() == 0:
            return torch.where(alive, 0.0, -torch.inf)
        if self.rule.scale == "std":
            spread = living.std(correction=0)
        elif self.rule.scale == "fixed":
            spread = self._deviation_of_all
        else:
            spread = (living - living.median()).abs().median() / MAD_OF_A_GAUSSIAN
        spread = spread.clamp_min(torch.finfo(weight.dtype).tiny)
        if self.rule.tau:
            floor = self.rule.tau * self._deviation_of_kind[matrix.kind]
            spread = torch.maximum(spread, floor / self.rule.alpha) if self.rule.alpha else floor
        distance = (weight - living.mean()).abs() if self.rule.centre == "mean" else weight.abs()
        return torch.where(alive, torch.where(weight == 0, 0.0, distance / (spread / self.unit)), -torch.inf)

    @cached_property
    def unit(self) -> float:
        """What scores are in units of: with one spread for all, that one, so that ``|w|`` itself ranks, unrounded."""
        return float(self._deviation_of_all) if self.rule.scale == "fixed" else 1.0

    @cached_property
    def _deviation_of_kind(self) -> dict[str, torch.Tensor]:
        """Return the standard deviation of all living weights of each kind of matrix, over all layers."""
        return {kind: _deviation(sums) for kind, sums in self._sums.items()}

    @cached_property
    def _deviation_of_all(self) -> torch.Tensor:
        """Return the standard deviation of all living prunable weights of the model."""
        import torch

        return _deviation(torch.stack(list(self._sums.values())).sum(dim=0))

    @cached_property
    def _sums(self) -> dict[str, torch.Tensor]:
        """Return number, sum and sum of squares of the living weights of each kind of matrix, in fp64."""
        import torch

        sums: dict[str, torch.Tensor] = {}
        for matrix in self.view.structure.matrices:
            living = self.view.weight(matrix).cpu()[self.view.mask(matrix).cpu()].double()
            one = torch.stack([torch.tensor(float(living.numel())), living.sum(), living.square().sum()])
            sums[matrix.kind] = sums.get(matrix.kind, torch.zeros(3).double()) + one
        return sums

    def survivors(self, factor: float) -> list[torch.Tensor]:
        """Return the bits of the weight pass at ``factor`` times its thresholds; an exact zero never survives."""
        alpha = self.rule.alpha or (1.0 if self.rule.tau else 0.0)  # with tau alone, scores are in units of it
        threshold = factor * alpha * self.unit if self.rule.weight_pass else 0.0
        return [(score >= threshold) & (score > 0) for score in self.weights]

    def without_lowest(self, masks: list[torch.Tensor], surplus: int) -> list[torch.Tensor]:
        """Return ``masks`` less the ``surplus`` lowest-scored weights they hold; ties fall in order."""
        import torch

        held = torch.cat([score[mask] for score, mask in zip(self.weights, masks, strict=True)])
        threshold = held.kthvalue(surplus).values
        spare = surplus - int((held < threshold).sum())  # of those that equal the threshold, the first ones go
        result = []
        for score, mask in zip(self.weights, masks, strict=True):
            ties = mask & (score == threshold)
            first = ties & (ties.flatten().cumsum(0).reshape(ties.shape) <= spare)
            spare -= int(first.sum())
            result.append(mask & (score >= threshold) & ~first)
        return result

    # --- pass 2 ---------------------------------------------------------------------------------------------------

    def members(self, survivors: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return one number per member, a tensor a family: below 1 the thresholds as given would remove it.

        The smaller of (surviving share / (rho * mean share)) and (L2 norm / (beta * mean norm)), means over all
        members of the family, or of all families of its kind (heads and neurons: over those that were alive before).
        Dead ones: minus infinity.
        """
        left = [self._left(family, survivors) for family in self.families]
        alive = [
            self._alive(family) if self._whole else counts > 0
            for family, (counts, _) in zip(self.families, left, strict=True)
        ]
        shares = [counts / family.size for family, (counts, _) in zip(self.families, left, strict=True)]
        norms = [squares.sqrt() for _, squares in left]
        return self._relative([(shares, self.rule.rho), (norms, self.rule.beta)], alive)

    def sizes(self, survivors: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the surviving weights of each member, a tensor a family."""
        return [self._left(family, survivors)[0] for family in self.families]

    def _left(self, family: Family, survivors: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return count and sum of squares of what survives in each member, in double precision."""
        counts, squares = [], []
        for part in family.parts:
            mask = survivors[self._place[part.matrix.name]]
            weight = self.view.weight(part.matrix).cpu() * mask
            counts.append(part.totals(mask.float()).double())
            squares.append(part.totals(weight.square()).double())
        return sum(counts[1:], counts[0]), sum(squares[1:], squares[0])

    def _alive(self, family: Family) -> torch.Tensor:
        return self._alive_in(family.parts[0].matrix.group)

    def _alive_in(self, key: str) -> torch.Tensor:
        return self.view.plan.members(self.view.structure.group(key))

    def _relative(self, terms: list[tuple[list[torch.Tensor], float]], alive: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the smallest of the terms, each in limits of its peers' mean."""
        import torch

        kinds = self._peers()
        found = [torch.full(bits.shape, torch.inf).double() for bits in alive]
        for values, limit in terms:
            if not limit:
                continue
            counted = [value[bits] if self._whole else value for value, bits in zip(values, alive, strict=True)]
            pools = {kind: [c for c, own in zip(counted, kinds, strict=True) if own == kind] for kind in kinds}
            means = {kind: torch.cat(pool).mean() for kind, pool in pools.items()}
            for at, (value, kind) in enumerate(zip(values, kinds, strict=True)):
                found[at] = torch.minimum(found[at], value / (limit * means[kind]).clamp_min(1e-300))
        return [torch.where(bits, score, -torch.inf) for bits, score in zip(alive, found, strict=True)]

    def _peers(self) -> list[object]:
        """Return whom the members of each family are compared with: families of equal keys."""
        if self.rule.peers == "matrix":
            return list(range(len(self.families)))
        return [tuple(part.matrix.kind for part in family.parts) for family in self.families]

    # --- plans ----------------------------------------------------------------------------------------------------

    def plan(self, survivors: list[torch.Tensor], members: list[torch.Tensor] | None = None) -> Plan:
        """Return the plan that keeps ``survivors`` of the members whose bits (a tensor a family) are set."""
        from benchmark.whisper.plan import Plan

        masks = {m.name: bits for m, bits in zip(self.view.structure.matrices, survivors, strict=True)}
        if members is None:
            return Plan(masks=masks)
        if self._whole:
            kept = {key: bits.nonzero().flatten() for key, bits in zip(self.keys, members, strict=True)}
            return Plan(kept, masks)
        for family, bits in zip(self.families, members, strict=True):
            (part,) = family.parts
            masks[part.matrix.name] = masks[part.matrix.name] & part.spread(bits)
        return Plan(masks=masks)

    def wholes(self, alive: list[torch.Tensor], carried_out: Plan) -> Plan:
        """Return what columns make removable as wholes: compact matrices, neurons and heads that nothing reads.

        ``alive`` holds a bool tensor for each of ``matrices``; ``carried_out`` is the plan in which compact matrices
        were chosen.
        """
        from benchmark.whisper.plan import Plan

        columns = {n: live for n, live in carried_out.columns.items() if n not in self.view.plan.columns}
        kept = {}
        for matrix, bits in zip(self.matrices, alive, strict=True):
            if matrix.axis == 1:
                read = bits.reshape(-1, matrix.width).any(dim=1)
                before = self._alive_in(matrix.group)
                left = read & before if bool((read & before).any()) else before  # a penalty may have zeroed all of it
                kept[matrix.group] = left.nonzero().flatten()[: None if left is not before else 1]
        return Plan(kept, columns=columns)


def _deviation(sums: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation that number, sum and sum of squares give, as fp32 above zero."""
    count, total, square = sums
    return (square / count - (total / count) ** 2).clamp_min(0).sqrt().clamp_min(1e-30).float()

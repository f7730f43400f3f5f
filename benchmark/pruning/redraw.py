"""A random plan with the densities of another rule's: the control that shows whether the rule's choice matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import SerializeAsAny

from benchmark.api import Rule
from benchmark.errors import SpecError
from benchmark.pruning.propagation import propagated

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Matrix, Structure
    from benchmark.whisper.view import View


class Redraw(Rule):
    """Keep as many heads, neurons, layers, input columns and weights of each place as ``rule`` would, but drawn.

    Densities are those after dead parts are gone. In a matrix first the columns that hold anything are drawn, then the
    weights within them.
    """

    rule: SerializeAsAny[Rule]

    def smallest(self, structure: Structure) -> int:
        """Return that of the rule it stands in for."""
        return self.rule.smallest(structure)

    def decide(self, view: View) -> Plan:
        """Ask the rule, and draw as much of each.

        Raises:
            SpecError: the rule's plan has parts that cannot be drawn (tokens, ranks), or the rule cannot decide.
        """
        from benchmark.whisper.plan import Plan
        from benchmark.whisper.structure import TOKENS

        decided = self.rule.decide(view)
        if decided.ranks or TOKENS in decided.kept:
            raise SpecError(f"{type(self.rule).__name__} has no random counterpart: ranks and tokens are not drawn")
        whole = propagated(view, view.plan.then(decided))
        kept = {
            key: self._some(_alive(view, key), len(indices), view, key)
            for key, indices in whole.kept.items()
            if key not in view.plan.kept or len(indices) < len(view.plan.kept[key])
        }
        base = view.plan.then(Plan(kept=kept))
        masks, columns = {}, {}
        for matrix in view.structure.matrices:
            if not base.has(matrix) or (matrix.name not in whole.masks and matrix.name not in whole.columns):
                continue
            live = base.mask(matrix)
            drawn, chosen = self._matrix(view, matrix, live, whole.mask(matrix) if whole.has(matrix) else live)
            masks[matrix.name] = drawn
            if matrix.name in decided.columns:
                columns[matrix.name] = chosen
        return Plan(kept, masks, columns)

    def rewrite(self, view: View, plan: Plan) -> Mapping[str, torch.Tensor]:
        """Change no weight: what the rule would repair is not there."""
        return {}

    def _some(self, pool: torch.Tensor, count: int, view: View, key: str) -> torch.Tensor:
        import torch

        order = torch.randperm(len(pool), generator=view.generator("redraw", key))
        return pool[order[:count]].sort().values

    def _matrix(
        self, view: View, matrix: Matrix, live: torch.Tensor, like: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a mask within ``live`` with as many live columns and weights as ``like``, and those columns."""
        import torch

        pool = live.any(dim=0).nonzero().flatten()
        chosen = self._some(pool, int(like.any(dim=0).sum()), view, f"{matrix.name} columns")
        open_ = torch.zeros_like(live)
        open_[:, chosen] = live[:, chosen]
        places = open_.flatten().nonzero().flatten()
        drawn = torch.zeros(live.numel(), dtype=torch.bool)
        drawn[self._some(places, int(like.sum()), view, f"{matrix.name} weights")] = True
        return drawn.reshape(live.shape), chosen


def _alive(view: View, key: str) -> torch.Tensor:
    import torch

    if key in view.plan.kept:
        return view.plan.kept[key]
    groups = {group.key: group for group in (*view.structure.stacks, *view.structure.groups)}
    return torch.arange(groups[key].count)

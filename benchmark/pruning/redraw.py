"""A random plan with the densities of another rule's: the control that shows whether the rule's choice matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import SerializeAsAny

from benchmark.api import Rule
from benchmark.errors import SpecError
from benchmark.pruning.propagation import propagated
from benchmark.pruning.weights import top

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Group, Matrix, Structure
    from benchmark.whisper.view import View


class Redraw(Rule):
    """Keep as many heads, neurons, layers, input columns and weights of each place as ``rule`` would, but drawn.

    Densities are those after dead parts are gone, and nothing more dies of the draw. So what stands or falls together
    is drawn once: of the dimensions inside an attention those that v and out share, and those that q and k share; the
    neurons of an FFN. Then, in each matrix, the other columns that hold anything, and the weights within all that.
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
        like = propagated(view, view.plan.then(decided))
        kept = {
            key: _some(_alive(view, key).nonzero().flatten(), len(indices), view, key)
            for key, indices in like.kept.items()
            if key not in view.plan.kept or len(indices) < len(view.plan.kept[key])
        }
        base = view.plan.then(Plan(kept))
        masks, columns = {}, {}
        for group in view.structure.groups:
            matrices = view.structure.matrices_of(group.key)
            touched = [m.name in like.masks or m.name in like.columns for m in matrices]
            if not any(touched) or not base.has(matrices[0]):
                continue
            for matrix, lines, drawn in zip(matrices, _inner(view, group, base, like), touched, strict=True):
                if drawn:
                    masks[matrix.name], chosen = _drawn(view, matrix, base.mask(matrix), lines, like)
                    if matrix.name in decided.columns:
                        columns[matrix.name] = chosen
        return Plan(kept, masks, columns)

    def rewrite(self, view: View, plan: Plan) -> Mapping[str, torch.Tensor]:
        """Change no weight: what the rule would repair is not there."""
        return {}


def _inner(view: View, group: Group, base: Plan, like: Plan) -> list[torch.Tensor]:
    """Return the rows (q, k, v, fc1) or columns (out, fc2) that hold anything, as indices, one tensor a matrix.

    As many as in ``like``, of those that ``base`` still has; v and out have the same ones, and so do fc1 and fc2. Rows
    of q are among those of k: a row of k that meets no row of q meets its bias.
    """
    import torch

    matrices = view.structure.matrices_of(group.key)
    live = [base.mask(matrix).any(dim=1 - matrix.axis) for matrix in matrices]
    wanted = [int(like.mask(matrix).any(dim=1 - matrix.axis).sum()) for matrix in matrices]
    both = (live[-2] & live[-1]).nonzero().flatten()
    if group.kind == "ffn_neuron":
        return [_some(both, wanted[0], view, f"{group.key} neurons")] * 2
    draw = torch.rand(len(both), generator=view.generator("redraw", f"{group.key} mixed"))
    heads = torch.zeros(len(live[-1])).index_put((both,), draw).reshape(group.count, group.width)
    first = heads.argmax(dim=1) + torch.arange(group.count) * group.width  # no head is drawn and dies all the same
    mixed = both[top(draw + torch.isin(both, first), wanted[-1])]
    bias = view.bias(matrices[0])
    silent = torch.ones_like(live[0]) if bias is None else bias.cpu() == 0
    draw = torch.rand(len(silent), generator=view.generator("redraw", f"{group.key} keys"))
    draw = (draw + ~live[0]).where(live[1] & ~silent, -torch.inf)  # first those that have no row of q left to draw
    alone = top(draw, wanted[1] - wanted[0])
    queries = _some((live[0] & live[1] & ~alone).nonzero().flatten(), wanted[0], view, f"{group.key} queries")
    return [queries, torch.cat([queries, alone.nonzero().flatten()]), mixed, mixed]


def _drawn(
    view: View, matrix: Matrix, live: torch.Tensor, lines: torch.Tensor, like: Plan
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a mask within ``live`` and ``lines`` with as many live columns and weights as ``like``, and those columns.

    The best weight of each line is drawn first, then that of each column: in all but the emptiest matrices it would be
    drawn anyway.
    """
    import torch

    wanted = like.mask(matrix)
    bits = torch.zeros(live.shape, dtype=torch.bool)
    bits.index_fill_(matrix.axis, lines, value=True)
    bits &= live
    if matrix.axis == 0:
        pool = bits.any(dim=0).nonzero().flatten()
        columns = _some(pool, int(wanted.any(dim=0).sum()), view, f"{matrix.name} columns")
        bits &= torch.zeros(live.shape[1], dtype=torch.bool).index_fill_(0, columns, value=True)
    else:
        columns = lines
    draw = torch.rand(live.shape, generator=view.generator("redraw", f"{matrix.name} weights"))
    draw = torch.where(bits, draw, -torch.inf)
    best = draw.argmax(dim=1 - matrix.axis, keepdim=True)
    draw.scatter_add_(1 - matrix.axis, best, torch.full(best.shape, 2.0))
    if matrix.axis == 0:
        highest, place = draw.max(dim=0, keepdim=True)
        draw.scatter_add_(0, place, (highest < 2).float())
    return top(draw.flatten(), int(wanted.sum())).reshape(live.shape), columns


def _some(pool: torch.Tensor, count: int, view: View, key: str) -> torch.Tensor:
    """Return ``count`` of the indices, drawn uniformly, in order; all where there are fewer."""
    import torch

    order = torch.randperm(len(pool), generator=view.generator("redraw", key))
    return pool[order[: max(count, 0)]].sort().values


def _alive(view: View, key: str) -> torch.Tensor:
    return view.plan.members(view.structure.group(key))

"""What dies with a dead part: exact consequences of a plan inside attention and feed-forward blocks.

Whisper's blocks are pre-norm and its key projections have no bias, so (with ``j`` an inner dimension of a block):

- a dead column ``j`` of fc2: nothing reads neuron ``j``, so it goes;
- a dead row ``j`` of fc1: neuron ``j`` is the constant ``gelu(b_j)``, which moves into fc2's bias, then it goes;
- a dead row ``j`` of v: after the soft-max average it is the constant ``b_j``, which moves into out_proj's bias, then
  column ``j`` of out_proj is dead too; a dead column of out_proj: nothing reads row ``j`` of v;
- a dead row ``j`` of k: the pair of queries and keys adds nothing, so row ``j`` of q is dead too; a dead row of q with
  a bias of zero does the same to k;
- a head goes when all its columns of out_proj are dead.

Nothing else follows exactly: dead columns inside a live head, and dead inputs of q, k, v and fc1, stay stored (or are
gathered by a compact Linear, see ``compacted``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Group, Matrix, Structure
    from benchmark.whisper.view import View

COMPACT_FROM = 0.2
"""Share of dead columns from which gathering the live ones was at least as fast as multiplying zeros, at every size
from 512 to 1024 wide (docs/real-size.md); a single token through the smallest of them breaks even a little later."""
COMPACT_SMALL_FROM = 0.5
"""The same for a matrix below ``SMALL`` weights that is applied token by token, sixteen windows at once: there the
gather itself costs. For a single window the smallest matrices (128 wide) never gain, and lose up to a third."""
SMALL = 2**18


def propagated(view: View, plan: Plan) -> Plan:
    """Return ``plan`` with everything gone that the dead parts of its masks leave without effect.

    ``plan`` is the whole plan so far (not only what a rule adds). Every group keeps at least one member: where all of
    it is dead, the first stays, as zeros.
    """
    from benchmark.whisper.plan import Plan

    kept, masks = dict(plan.kept), dict(plan.masks)
    for group in view.structure.groups:
        parts: dict[str, Matrix] = {matrix.kind: matrix for matrix in view.structure.matrices_of(group.key)}
        if not any(matrix.name in plan.masks for matrix in parts.values()):
            continue
        if not plan.has(next(iter(parts.values()))):
            continue
        alive, more = _ffn(plan, group, parts) if group.kind == "ffn_neuron" else _attention(view, plan, group, parts)
        kept[group.key] = alive
        masks |= more
    return Plan(kept, masks, plan.columns, plan.ranks, plan.quantised)


def constants(view: View, plan: Plan) -> dict[str, torch.Tensor]:
    """Return the biases of fc2 and out_proj, by name, that take up what dead rows of fc1 and v put out constantly.

    ``plan`` is the whole plan before ``propagated``; biases that do not change are left out. In fp64, so that nothing
    but the rounding of the model's own precision is lost.
    """
    changed: dict[str, torch.Tensor] = {}
    for group in view.structure.groups:
        parts: dict[str, Matrix] = {matrix.kind: matrix for matrix in view.structure.matrices_of(group.key)}
        source, reader = (parts["fc1"], parts["fc2"]) if group.kind == "ffn_neuron" else (parts["v"], parts["out"])
        if source.name not in plan.masks or not plan.has(source):
            continue
        dead = ~plan.mask(source).any(dim=1) & plan.members(group).repeat_interleave(group.width)
        bias, into = view.bias(source), view.bias(reader)
        if not bool(dead.any()) or bias is None or into is None:
            continue
        constant = view.activation(source)(bias.double()) if group.kind == "ffn_neuron" else bias.double()
        read = view.weight(reader) * plan.mask(reader).to(view.weight(reader).device)
        change = read[:, dead.to(read.device)].double() @ constant[dead.to(constant.device)]
        if bool(change.any()):
            changed[f"{reader.module}.bias"] = into.double() + change
    return changed


def compacted(structure: Structure, plan: Plan) -> Plan:
    """Return ``plan`` with a compact Linear for each matrix in which it pays (``pays``)."""
    from benchmark.whisper.plan import Plan

    columns = {}
    for matrix in structure.matrices:
        if matrix.name in plan.masks and plan.has(matrix) and matrix.name not in plan.ranks:
            live = plan.mask(matrix).any(dim=0)
            if pays(matrix, plan, int(live.sum())):
                columns[matrix.name] = live.nonzero().flatten()
    return plan.then(Plan(columns=columns))


def refilled(structure: Structure, plan: Plan, *, compact: bool) -> Plan:
    """Return ``plan`` without its masks: all that is stored may be trained again.

    With ``compact``, matrices turn compact first where that pays, so that their dead columns stay gone.
    """
    from benchmark.whisper.plan import Plan

    plan = compacted(structure, plan) if compact else plan
    return Plan(plan.kept, {}, plan.columns, plan.ranks, plan.quantised)


def pays(matrix: Matrix, plan: Plan, live: int) -> bool:
    """Whether gathering ``live`` columns is faster than multiplying all that the plan keeps of the matrix.

    A rule of thumb from measurements (see ``COMPACT_FROM``), not a measurement of this machine: a plan must not depend
    on where it was made.
    """
    return 0 < live <= (1 - compact_from(matrix, plan)) * plan.shape(matrix)[1]


def compact_from(matrix: Matrix, plan: Plan) -> float:
    """Return the share of dead columns from which a compact Linear pays."""
    rows, columns = plan.shape(matrix)
    token_by_token = matrix.stack == "decoder" and not (matrix.block == "encoder_attn" and matrix.kind in ("k", "v"))
    return COMPACT_SMALL_FROM if token_by_token and rows * columns < SMALL else COMPACT_FROM


def _ffn(plan: Plan, group: Group, parts: dict[str, Matrix]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the neurons that are left; where that is none, masks that silence the one that stays."""
    masks = {kind: plan.mask(matrix) for kind, matrix in parts.items()}
    live = masks["fc1"].any(dim=1) & masks["fc2"].any(dim=0) & plan.members(group)
    kept = _at_least_one(live, plan.members(group))
    if bool(live.any()):
        return kept, {}
    # Its constant is folded like all others': were it read still, it would count twice.
    return kept, {parts["fc1"].name: masks["fc1"] & live[:, None], parts["fc2"].name: masks["fc2"] & live[None, :]}


def _attention(
    view: View, plan: Plan, group: Group, parts: dict[str, Matrix]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the heads that are left, and masks with the rows and columns that lost their partner taken out."""
    masks = {kind: plan.mask(matrix) for kind, matrix in parts.items()}
    bias = view.bias(parts["q"])
    silent = ~masks["q"].any(dim=1)
    if bias is not None:
        silent &= bias.cpu() == 0
    pair = masks["k"].any(dim=1) & ~silent
    mixed = masks["v"].any(dim=1) & masks["out"].any(dim=0)
    changed = {}
    for kind, live in (("q", pair), ("k", pair), ("v", mixed)):
        changed[parts[kind].name] = masks[kind] & live[:, None]
    changed[parts["out"].name] = masks["out"] & mixed[None, :]
    heads = mixed.reshape(group.count, group.width).any(dim=1)
    return _at_least_one(heads & plan.members(group), plan.members(group)), changed


def _at_least_one(alive: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    return alive.nonzero().flatten() if bool(alive.any()) else before.nonzero().flatten()[:1]

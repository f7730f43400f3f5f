"""Penalties of a Fit: Sparse Group LASSO, by subgradient in the loss or by a proximal step after the optimiser's."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from benchmark.api import OptimizerStep, Penalty

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.structure import Matrix, Structure
    from benchmark.whisper.view import View

GroupKind = Literal["column", "row", "head", "ffn_neuron", "structural"]
Solver = Literal["subgradient", "proximal"]
Norm = Literal["l2", "frobenius_squared"]


@dataclass(frozen=True)
class Part:
    """One matrix of a family of groups: its members are ``width`` entries each along ``axis``."""

    matrix: Matrix
    axis: int
    width: int

    def totals(self, values: torch.Tensor) -> torch.Tensor:
        """Sum values of the matrix' shape per member; shape ``(members,)``."""
        along = values.sum(dim=1 - self.axis)
        return along if self.width == 1 else along.reshape(-1, self.width).sum(dim=1)

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Return one number a member in a shape that broadcasts to the matrix."""
        wide = values if self.width == 1 else values.repeat_interleave(self.width)
        return wide.unsqueeze(1 - self.axis)


@dataclass(frozen=True)
class Family:
    """Groups of equal size that lie in the same matrices: all columns of one, all heads of an attention, ..."""

    parts: tuple[Part, ...]
    size: int
    """Weights of one member over all its parts."""
    grouped: bool
    """Whether the group norm applies; where not, only the L1 norm does (and the step size is still one a member)."""

    @property
    def stack(self) -> str:
        """``encoder`` or ``decoder``."""
        return self.parts[0].matrix.stack

    def norms(self, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the L2 norm of each member over all parts, shape ``(members,)``; ``weights`` are the matrices.

        Squares that are summed make one temporary of a matrix and are vectorised; ``torch.linalg.vector_norm`` makes
        none and is ten times slower down the columns.
        """
        import torch

        totals = [part.totals(weight.float().square()) for part, weight in zip(self.parts, weights, strict=True)]
        return torch.stack(totals).sum(dim=0).sqrt()


def families(structure: Structure, kind: GroupKind) -> Iterator[Family]:
    """Yield the groups of a kind, each prunable matrix in exactly one family.

    Columns and rows lie in one matrix; a head has rows of q, k and v and columns of out; a neuron has a row of fc1 and
    a column of fc2 (``structural``: both). Where a kind leaves a matrix out, its columns are there without group norm.
    """
    for group in structure.groups:
        matrices = structure.matrices_of(group.key)
        if kind in (group.kind, "structural"):
            yield Family(tuple(Part(m, m.axis, m.width) for m in matrices), group.weights, True)
            continue
        axis = 0 if kind == "row" else 1
        for matrix in matrices:
            yield Family((Part(matrix, axis, 1),), matrix.shape[1 - axis], kind in ("column", "row"))


class SparseGroupLasso(Penalty):
    """Sparse Group LASSO (Simon et al. 2013) with strengths of their own for encoder and decoder.

    ``l1_enc * sum|W| + l1_dec * sum|W| + group_enc * sum ||g||_2 + group_dec * sum ||g||_2`` as in arXiv 2510.12666
    (there lambda 1-4), over all attention projections and FFN matrices. Groups are input columns of each matrix as
    there, or rows, heads, FFN neurons, or heads and neurons (``structural``), which is ours. ``size_weighted``
    multiplies each group's norm by the square root of its size, as Simon et al. do and that paper's formula does not.

    ``norm: frobenius_squared`` is the printed formula read literally, with the norm squared: it is ridge regression,
    knows no groups, and refuses a choice of them.

    ``solver: subgradient`` adds the penalty to the loss. It makes weights small and never exactly zero: the thresholds
    of a rule do the rest. ``solver: proximal`` steps after the optimiser has: per group one scalar step
    ``eta = lr / mean(sqrt(v_hat) + eps)``, first the soft threshold ``eta * l1``, then the shrinkage of the group's
    norm by ``eta * strength`` (the idea of ProxGen, Yun et al. 2021, arXiv 2007.07828, with one scalar a group, in
    whose metric this closed form is exact). It makes exact zeros.
    """

    l1_enc: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    l1_dec: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    group_enc: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    group_dec: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    groups: GroupKind = "column"
    norm: Norm = "l2"
    size_weighted: bool = True
    solver: Solver = "subgradient"

    @model_validator(mode="after")
    def _ridge_has_no_groups(self) -> SparseGroupLasso:
        if self.norm == "frobenius_squared" and "groups" in self.model_fields_set and self.groups != "column":
            raise ValueError(f"norm: frobenius_squared is ridge and knows no groups; leave groups = {self.groups} out")
        if self.norm == "frobenius_squared" and self.solver == "proximal":
            raise ValueError("norm: frobenius_squared has no exact zeros to make; use solver: subgradient")
        return self

    @property
    def proximal(self) -> bool:
        """Whether the solver steps after the optimiser."""
        return self.solver == "proximal"

    def loss(self, view: View) -> torch.Tensor:
        """Return the penalty as an fp32 scalar with gradients."""
        import torch

        from benchmark.pruning.penalty_terms import term

        terms = [torch.zeros((), device=view.parameter(view.structure.matrices[0]).device)]
        for family in families(view.structure, self.groups):
            l1, strength = self._strengths(family)
            if l1 or strength:
                terms.append(term(family, view, l1, strength, squared=self.norm == "frobenius_squared"))
        return torch.stack(terms).sum()

    def pulls(self, structure: Structure) -> Collection[str]:
        """Return the matrices of the families that have a strength."""
        return {
            part.matrix.name
            for family in families(structure, self.groups)
            if any(self._strengths(family))
            for part in family.parts
        }

    def prox_(self, view: View, step: OptimizerStep) -> None:
        """Shrink weights and groups in place; what reaches zero is exactly zero."""
        import torch

        with torch.no_grad():
            for family in families(view.structure, self.groups):
                l1, strength = self._strengths(family)
                if l1 or strength:
                    metric = torch.stack([part.totals(step.metric(part.matrix)) for part in family.parts]).sum(dim=0)
                    _shrink(family, view, step.lr * family.size / metric, l1, strength)

    def _strengths(self, family: Family) -> tuple[float, float]:
        """Return the strengths of the L1 norm and of each group's norm, the weight of its size in it."""
        short = family.stack[:3]
        l1, group = getattr(self, f"l1_{short}"), getattr(self, f"group_{short}")
        weighted = self.size_weighted and self.norm == "l2"
        return l1, group * (math.sqrt(family.size) if weighted else 1.0) if family.grouped else 0.0


def _shrink(family: Family, view: View, eta: torch.Tensor, l1: float, strength: float) -> None:
    """Carry out one family's proximal step with one step size a member, shape ``(members,)``."""
    import torch

    weights = [view.parameter(part.matrix) for part in family.parts]
    if l1:
        for part, weight in zip(family.parts, weights, strict=True):
            threshold = part.spread(eta * l1).to(weight.dtype)
            weight.sub_(weight.clamp(-threshold, threshold))  # the soft threshold: w less what of it is within
    if strength:
        norm = family.norms(weights)
        factor = torch.where(norm > eta * strength, 1 - eta * strength / norm, 0.0)  # a dead group stays dead
        for part, weight in zip(family.parts, weights, strict=True):
            weight.mul_(part.spread(factor).to(weight.dtype))

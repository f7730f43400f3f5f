"""Penalties that Fit adds to the cross-entropy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from benchmark.api import Penalty

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.structure import Matrix
    from benchmark.whisper.view import View


class SparseGroupLasso(Penalty):
    """Sparse Group LASSO (Simon et al. 2013) with strengths of their own for encoder and decoder.

    ``l1_enc * sum|W| + l1_dec * sum|W| + group_enc * sum ||g||_2 + group_dec * sum ||g||_2`` as in arXiv 2510.12666
    (there lambda 1-4), over all attention projections and FFN matrices. Groups are input columns of each matrix as
    there, or whole heads and FFN neurons (rows and columns of all their matrices), which is ours. ``size_weighted``
    multiplies each group's norm by the square root of its size, as Simon et al. do and that paper's formula does not.
    Added to the loss, the penalty makes weights small and never exactly zero: the thresholds of the rule do the rest.
    """

    l1_enc: float = Field(default=0.0, ge=0)
    l1_dec: float = Field(default=0.0, ge=0)
    group_enc: float = Field(default=0.0, ge=0)
    group_dec: float = Field(default=0.0, ge=0)
    groups: Literal["column", "structural"] = "column"
    size_weighted: bool = True

    def loss(self, view: View) -> torch.Tensor:
        """Return the penalty as an fp32 scalar with gradients."""
        structure = view.structure
        first = view.parameter(structure.matrices[0])
        total = first.new_zeros((), dtype=first.dtype).float()
        for stack, l1, strength in (
            ("encoder", self.l1_enc, self.group_enc),
            ("decoder", self.l1_dec, self.group_dec),
        ):
            matrices = [matrix for matrix in structure.matrices if matrix.stack == stack]
            if l1:
                total = total + l1 * sum(view.parameter(matrix).float().abs().sum() for matrix in matrices)
            if strength:
                total = total + strength * self._groups(view, matrices)
        return total

    def _groups(self, view: View, matrices: list[Matrix]) -> torch.Tensor:
        import torch

        if self.groups == "column":
            return sum(
                (
                    self._weight(matrix.shape[0]) * _norm(view.parameter(matrix).float().square().sum(dim=0)).sum()
                    for matrix in matrices
                ),
                start=torch.zeros(()),
            )
        squares: dict[str, torch.Tensor] = {}
        for matrix in matrices:
            along = view.parameter(matrix).float().square().sum(dim=1 - matrix.axis)
            part = along.reshape(-1, matrix.width).sum(dim=1)
            squares[matrix.group] = squares[matrix.group] + part if matrix.group in squares else part
        return sum(
            (self._weight(view.structure.group(key).weights) * _norm(value).sum() for key, value in squares.items()),
            start=torch.zeros(()),
        )

    def _weight(self, size: int) -> float:
        return math.sqrt(size) if self.size_weighted else 1.0


def _norm(squares: torch.Tensor) -> torch.Tensor:
    """Square root with a subgradient of zero at zero: a dead group must not turn into nan."""
    import torch

    alive = squares > 0
    return torch.where(alive, torch.where(alive, squares, 1.0).sqrt(), 0.0)

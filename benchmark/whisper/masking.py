"""A plan held on a live model: pruned weights are zero, and stay zero while it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.hooks import RemovableHandle


class Masker:
    """Zeroes what a plan prunes: weights, and the biases of removed heads, neurons and layers.

    With those biases at zero too, the masked model computes what the shrunk one does: a layer whose output projections
    and their biases are zero adds nothing. Tokens stay where they are: their logits are of no use.

    The masks are prepared once, on the devices of the parameters. An optimiser with momentum or weight decay moves a
    weight whose gradient is zero, so call ``apply_`` after every step; the hooks keep pruned entries out of gradient
    norms and moments.
    """

    def __init__(self, model: nn.Module, structure: Structure, plan: Plan) -> None:
        plan.validate(structure)
        self._handles: list[RemovableHandle] = []
        self._pruned: list[tuple[nn.Parameter, Tensor]] = []
        for matrix in structure.matrices:
            gone = not plan.has(matrix)
            if gone or matrix.name in plan.masks or matrix.group in plan.kept or matrix.name in plan.columns:
                parameter = model.get_parameter(matrix.name)
                self._pruned.append((parameter, plan.mask(matrix).logical_not_().to(parameter.device)))
            bias = getattr(model.get_submodule(matrix.module), "bias", None)
            if gone and bias is not None:
                self._pruned.append((bias, torch.ones_like(bias, dtype=torch.bool)))
            elif matrix.bias is not None and matrix.group in plan.kept:
                bias = model.get_parameter(matrix.bias)
                removed = torch.ones(matrix.shape[0] // matrix.width, dtype=torch.bool)
                removed[plan.kept[matrix.group]] = False
                self._pruned.append((bias, removed.repeat_interleave(matrix.width).to(bias.device)))

    @torch.no_grad()
    def apply_(self) -> None:
        """Set every pruned entry to exactly zero, in place."""
        for parameter, pruned in self._pruned:
            # Filling, not multiplying: a pruned weight that became inf or nan must become zero as well.
            parameter.masked_fill_(pruned.to(parameter.device), 0.0)

    def attach(self) -> None:
        """Give pruned entries a gradient of zero from now on; calling it again changes nothing."""
        if not self._handles:
            trained = [(parameter, pruned) for parameter, pruned in self._pruned if parameter.requires_grad]
            self._handles = [parameter.register_hook(_silence(pruned)) for parameter, pruned in trained]

    def detach(self) -> None:
        """Remove the gradient hooks; calling it again changes nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _silence(pruned: Tensor) -> Callable[[Tensor], Tensor]:
    def hook(gradient: Tensor) -> Tensor:
        return gradient.masked_fill(pruned.to(gradient.device), 0.0)

    return hook

"""One family's share of Sparse Group LASSO as a scalar whose gradient is written out.

Recorded operation by operation, autograd keeps and makes several temporaries of each matrix; written out, the gradient
is one buffer, ``l1 * sign(w) + strength * w / ||group||``, and the forward pass keeps none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from benchmark.pruning.penalties import Family
    from benchmark.whisper.view import View


def term(family: Family, view: View, l1: float, strength: float, *, squared: bool) -> torch.Tensor:
    """Return ``l1 * sum|w| + strength * sum ||g||`` (the norm ``squared`` where asked) as an fp32 scalar."""
    weights = [view.parameter(part.matrix) for part in family.parts]
    value: torch.Tensor = _Term.apply(family, l1, strength, squared, *weights)
    return value


class _Term(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, family: Family, l1: float, strength: float, squared: bool, *weights: torch.Tensor
    ) -> torch.Tensor:
        total = torch.zeros((), device=weights[0].device)
        if l1:
            for weight in weights:
                total += l1 * weight.float().abs().sum()
        norms = family.norms(weights) if strength else total.new_zeros(0)
        if strength:
            total += strength * (norms.square() if squared else norms).sum()
        ctx.save_for_backward(norms, *weights)
        ctx.family, ctx.l1, ctx.strength, ctx.squared = family, l1, strength, squared
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: torch.Tensor) -> Any:
        norms, *weights = ctx.saved_tensors
        if ctx.squared:
            factor = 2 * ctx.strength * outer * torch.ones_like(norms)
        else:
            # A dead group has a subgradient of zero: it must not turn into nan.
            factor = torch.where(norms > 0, ctx.strength * outer / norms, 0.0)
        gradients = []
        for part, weight in zip(ctx.family.parts, weights, strict=True):
            gradient = weight.sign().mul_(ctx.l1 * outer) if ctx.l1 else torch.zeros_like(weight)
            if ctx.strength:
                gradient.addcmul_(weight, part.spread(factor).to(weight.dtype))
            gradients.append(gradient)
        return None, None, None, None, *gradients

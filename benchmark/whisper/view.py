"""What a rule and a penalty may look at: weights, masks and a seeded generator, and never any data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from benchmark.api import Statistic
from benchmark.errors import SpecError
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Matrix, Structure

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

Statistics = Mapping[Statistic, Mapping[str, Tensor]]
"""What Calibrate steps gathered: kind, then name, to a tensor on the CPU."""


class View:
    """A window on a live model under a plan. Tensors lie on the model's device; nothing here may be written to."""

    def __init__(
        self,
        model: WhisperForConditionalGeneration | nn.Module,
        structure: Structure,
        plan: Plan,
        seed: int,
        statistics: Statistics | None = None,
    ) -> None:
        plan.validate(structure)
        self.structure = structure
        self.plan = plan
        self._seed = seed
        self._model = model
        self._statistics = statistics or {}
        self._parameters = {matrix.name: model.get_parameter(matrix.name) for matrix in structure.matrices}
        self._masks: dict[str, Tensor] = {}

    def weight(self, matrix: Matrix) -> Tensor:
        """Return the matrix in fp32 and without gradient, shape ``matrix.shape``: what ``decide`` reads.

        Raises:
            SpecError: a weight is not finite; no order of the weights means anything then.
        """
        weight = self._parameters[matrix.name].detach().to(torch.float32)
        if not torch.isfinite(weight).all():
            raise SpecError(f"matrix {matrix.name} holds weights that are not finite; nothing can be ranked in it")
        return weight

    def parameter(self, matrix: Matrix) -> nn.Parameter:
        """Return the live parameter, so that a penalty's gradient reaches it."""
        return self._parameters[matrix.name]

    def bias(self, matrix: Matrix) -> Tensor | None:
        """Return the bias of the matrix' Linear layer, shape ``(out,)``, in fp32 or wider, detached; None for k."""
        bias = getattr(self._model.get_submodule(matrix.module), "bias", None)
        return None if bias is None else bias.detach().to(torch.promote_types(bias.dtype, torch.float32))

    def activation(self, matrix: Matrix) -> Callable[[Tensor], Tensor]:
        """Return the activation function between fc1 and fc2 of the matrix' layer."""
        layer: Any = self._model.get_submodule(f"{matrix.layers}.{matrix.layer}")
        return cast(Callable[[Tensor], Tensor], layer.activation_fn)

    def statistic(self, kind: Statistic, name: str) -> Tensor:
        """Return what a Calibrate step gathered, on the CPU; ``name`` is a matrix' or one that the kind defines.

        Raises:
            SpecError: no Calibrate step since the last Fit gathered that.
        """
        found = self._statistics.get(kind, {}).get(name)
        if found is None:
            wanted = f"Calibrate(utterances=..., statistics=({kind!r},))"
            raise SpecError(f"no statistic {kind!r} of {name}: put {wanted} right before the Prune that needs it")
        return found

    def mask(self, matrix: Matrix) -> Tensor:
        """Return what the plan so far keeps of the matrix: bool, ``matrix.shape``, on the weight's device."""
        if matrix.name not in self._masks:
            self._masks[matrix.name] = self.plan.mask(matrix).to(self._parameters[matrix.name].device)
        return self._masks[matrix.name]

    def generator(self, *keys: str | int) -> torch.Generator:
        """Return a CPU generator that depends on the seed and the keys alone, whatever was drawn before."""
        digest = hashlib.sha256(json.dumps([self._seed, *keys]).encode()).digest()
        return torch.Generator(device="cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)

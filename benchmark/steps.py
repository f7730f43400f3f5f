"""Programs as plain data: budgets, steps, and the bases of what a step carries (penalty, rule). No torch import.

Everything here takes part in an identity, and is a frozen pydantic model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator

from benchmark.errors import SpecError, nearest

if TYPE_CHECKING:
    import torch

    from benchmark.whisper.plan import Plan
    from benchmark.whisper.structure import Matrix, Structure
    from benchmark.whisper.view import View

BudgetKind = Literal["none", "prunable_nominal", "prunable_stored", "params", "macs"]


class Frozen(BaseModel):
    """A value: immutable, compared by content, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, options: Mapping[str, Any], where: str) -> Any:
        """Validate ``options``; an error is one line that names the place, the field and the value.

        Raises:
            SpecError: an unknown field (the nearest is suggested) or a value out of its range.
        """
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "value"
            if first["type"] == "extra_forbidden":
                hint = nearest(str(first["loc"][-1]), cls.model_fields) if len(first["loc"]) == 1 else ""
                raise SpecError(f"{where}: unknown key {field!r}{hint}") from None
            message = first["msg"].removeprefix("Value error, ")
            raise SpecError(f"{where}: {field} = {first['input']!r}: {message}") from None


class Budget(Frozen):
    """What a cell must reach: a kind of counting, the kept fraction of its denominator, and a tolerance.

    ``keep`` is a fraction in (0, 1]; ``tolerance`` is a fraction of the same denominator.
    """

    kind: BudgetKind = "none"
    keep: float | None = Field(default=None, gt=0, le=1)
    tolerance: float = Field(default=0.005, gt=0, lt=1)

    @model_validator(mode="after")
    def _keep_goes_with_kind(self) -> Budget:
        if (self.kind == "none") != (self.keep is None):
            raise ValueError("a budget has a kept fraction exactly when its kind is not 'none'")
        return self

    def __str__(self) -> str:
        return "none" if self.keep is None else f"{self.kind}@{self.keep:g}"


@dataclass(frozen=True)
class OptimizerStep:
    """The step that an optimiser has just made, as a proximal penalty must know it."""

    lr: float
    metric: Callable[[Matrix], torch.Tensor]
    """Matrix to what its gradient was divided by (Adam: ``sqrt(v_hat) + eps``): positive, its shape, fp32."""


class Penalty(Frozen):
    """A regulariser of a Fit: a differentiable ``loss``, or a proximal step ``prox_`` after each optimiser step.

    Both work in fp32 on the master weights.
    """

    def pulls(self, structure: Structure) -> Collection[str]:
        """Return the names of the matrices that the penalty shrinks, which get no weight decay besides: all of them."""
        return {matrix.name for matrix in structure.matrices}

    @property
    def proximal(self) -> bool:
        """Whether ``prox_`` is called after each optimiser step, instead of adding ``loss`` to the cross-entropy."""
        return False

    def loss(self, view: View) -> torch.Tensor:
        """Return the penalty as a scalar tensor that carries gradients to the prunable weights."""
        raise NotImplementedError(f"{type(self).__name__} defines no loss")  # an abstract method; Frozen is no ABC

    def prox_(self, view: View, step: OptimizerStep) -> None:
        """Move the prunable weights, in place, to the minimum of penalty plus distance in the optimiser's metric."""
        raise NotImplementedError(f"{type(self).__name__} defines no proximal step")


class Rule(Frozen):
    """Decides what goes. Sees weights, the plan so far and statistics of a Calibrate step, never the data."""

    budget: Budget = Budget()

    def smallest(self, structure: Structure) -> int:
        """Return the weights of the smallest thing the rule removes: half of it is the least possible miss."""
        return 1

    def decide(self, view: View) -> Plan:
        """Return what is left, in indices of the dense model; the harness composes it with the plan so far."""
        raise NotImplementedError(f"{type(self).__name__} decides nothing")  # an abstract method; Frozen is no ABC

    def rewrite(self, view: View, plan: Plan) -> Mapping[str, torch.Tensor]:
        """Return new values of parameters, by name, where the rule repairs what its ``plan`` does; none by default."""
        return {}


Loss = Literal["ce", "ce+kd"]


class Fit(Frozen):
    """Train for ``steps`` optimiser steps; warm-up and decay of the learning rate restart with each Fit.

    A Fit of no steps is left out of what the harness carries out.
    """

    steps: int = Field(ge=0)
    penalty: SerializeAsAny[Penalty] | None = None
    loss: Loss = "ce"
    """Cross-entropy of the transcripts, or with the model as it came as a teacher besides (``harness.training``)."""


Statistic = Literal["input_square", "input_covariance", "gradient", "tokens"]


class Calibrate(Frozen):
    """Run the model over some training utterances and give a rule's view what is asked for, until the next Fit.

    The utterances are a seeded draw from the training pool. ``input_square`` is, per matrix, the mean of ``x ** 2`` of
    each input, shape ``(in,)``; ``input_covariance`` the mean of ``x`` ``(in,)`` and of its outer product
    ``(in, in)``; ``gradient`` the mean gradient of the cross-entropy, of the matrix' shape; ``tokens`` how often each
    token stands in the transcripts of the whole pool, and which ones a tokenizer cannot do without.
    """

    utterances: int = Field(gt=0)
    statistics: tuple[Statistic, ...] = Field(min_length=1)


class Prune(Frozen):
    """Ask the rule for a plan and apply it; pruned weights stay exactly zero from here on."""

    rule: SerializeAsAny[Rule]


class Refill(Frozen):
    """Give the zeros inside what is kept back to training: they start from zero and are trained again.

    What is gone as a whole stays gone (heads, neurons, layers, gathered columns), so the executed model costs what it
    did. ``compact`` first gathers the live columns wherever that pays; a stored budget has counted them already.
    The "hybrid, filled" models of nn_pruning (Lagunas et al. 2021, arXiv 2109.04838).
    """

    compact: bool = True


class Rewind(Frozen):
    """Restore weights and optimiser to path step ``to_step`` (0, or the end of an earlier Fit); keep the plan.

    Gives no steps back: the path step goes on counting, and so does the data.
    """

    to_step: int = Field(ge=0)


class Quantise(Frozen):
    """Store and execute the Linear layers of the result in fewer bits; comes after all training."""

    kind: Literal["int8"] = "int8"


Step = Fit | Calibrate | Prune | Refill | Rewind | Quantise

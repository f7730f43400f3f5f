"""The optimiser of every Fit: AdamW, its moments by parameter name, and the shape of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Set
from typing import Any

import torch

from benchmark.specs import Training

BETAS = (0.9, 0.98)
EPSILON = 1e-6
"""AdamW as Whisper was trained with (Radford et al. 2022, arXiv 2212.04356, table 17)."""


def make_optimizer(
    model: Any, recipe: Training, state: dict[str, dict[str, torch.Tensor]] | None, penalised: Set[str] = frozenset()
) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters, its moments restored from ``state`` (by parameter name).

    ``penalised`` names what a penalty shrinks already: no weight decay there.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    decayed = [parameter for name, parameter in named if name not in penalised]
    spared = [parameter for name, parameter in named if name in penalised]
    groups: list[dict[str, Any]] = [{"params": decayed}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(
        groups,
        lr=recipe.learning_rate,
        betas=BETAS,
        eps=EPSILON,
        weight_decay=recipe.weight_decay,
    )
    for name, parameter in named if state else []:
        moments = (state or {}).get(name)
        if moments is not None:
            optimizer.state[parameter] = {key: value.clone() for key, value in moments.items()}
    return optimizer


def counters_on_cpu_(optimizer: torch.optim.Optimizer) -> None:
    """Put the counters of steps back on the CPU, where AdamW itself keeps them.

    accelerate moves all of a restored state to the device; a counter there is waited for twice a parameter and step.
    """
    for state in optimizer.state.values():
        state["step"] = state["step"].cpu()


def adam_metric(adam: torch.optim.AdamW, parameter: torch.nn.Parameter) -> torch.Tensor:
    """Return what Adam's last step divided by: ``sqrt(v / (1 - beta2 ** t)) + eps``, of the parameter's shape, fp32."""
    state = adam.state[parameter]
    corrected = state["exp_avg_sq"].float() / (1 - BETAS[1] ** float(state["step"]))
    return corrected.sqrt_().add_(EPSILON)


def optimizer_state(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, torch.Tensor]]:
    """Return the optimiser's moments by parameter name, on the CPU."""
    return {
        name: {key: value.detach().cpu().clone() for key, value in optimizer.state[parameter].items()}
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
    }


def rate(step: int, recipe: Training, steps: int) -> float:
    """Return the share of the peak rate at one step (0 ...) of a Fit of so many steps; never zero.

    transformers' own schedules begin at zero, so each Fit would lose a step: IMP, which has many Fits, the most of all.
    """
    warm = round(recipe.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    if step >= steps:  # asked for after the last step, and never used
        return 0.0
    done = (step - warm) / (steps - warm)
    return 1 - done if recipe.decay == "linear" else (1 + math.cos(math.pi * done)) / 2

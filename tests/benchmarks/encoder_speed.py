"""The encoder of whisper-small with half its heads and FFN neurons gone, beside the dense one."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from benchmark.measure.profile import interleaved, paired_ratio
from benchmark.pruning.applying import prune_
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View
from tests.benchmarks.real_size import RULES, whisper_small

RULE = "l1_group"


def halved(dense: Any) -> tuple[Any, Plan]:
    """Return the model after ``l1_group`` at a stored half, and the plan."""
    structure = Structure.of(dense)
    plan = prune_(RULES[RULE], View(dense, structure, Plan(), 0), dense).plan
    return shrink(dense, plan).eval(), plan


def left(dense: Any, plan: Plan, kind: str) -> str:
    """Return the share of the encoder's heads or neurons that is left."""
    groups = [group for group in Structure.of(dense).groups if group.kind == kind and group.stack == "encoder"]
    return f"{sum(len(plan.kept[g.key]) for g in groups if g.key in plan.kept) / sum(g.count for g in groups):.0%}"


def measure(batches: tuple[int, ...], repeats: int) -> list[dict[str, Any]]:
    """Return a row for each batch of 30 s windows: seconds of both encoders, and the median of paired ratios."""
    dense = whisper_small()
    small, plan = halved(dense)
    rows = []
    for batch in batches:
        features = torch.randn(batch, 80, 3000, generator=torch.Generator().manual_seed(0))
        models = {"dense": dense, "small": small}
        with torch.inference_mode():
            calls = {name: partial(model.get_encoder(), features) for name, model in models.items()}
            seconds = interleaved(calls, repeats)
        rows.append(
            {
                "batch": batch,
                "repeats": repeats,
                "heads left": left(dense, plan, "head"),
                "neurons left": left(dense, plan, "ffn_neuron"),
                "dense, s": float(np.median(seconds["dense"])),
                "pruned, s": float(np.median(seconds["small"])),
                "speed-up": round(paired_ratio(seconds["dense"], seconds["small"]), 2),
            }
        )
    return rows

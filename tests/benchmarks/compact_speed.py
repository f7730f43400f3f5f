"""``CompactLinear`` (gather, then a smaller product) against the dense Linear, by size, positions and dead share."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from benchmark.measure.profile import interleaved, paired_ratio
from benchmark.pruning.propagation import COMPACT_FROM, COMPACT_SMALL_FROM, SMALL
from benchmark.whisper.modeling_pruned_whisper import CompactLinear

WIDTHS = {"nano": 128, "base": 512, "small": 768, "medium": 1024}
SIZES = {
    f"{name}, {kind}": (rows * width, columns * width)
    for name, width in WIDTHS.items()
    for kind, rows, columns in (("q, k, v, out", 1, 1), ("fc1", 4, 1), ("fc2", 1, 4))
}
"""Rows and columns of the matrices of one width of the model."""
POSITIONS = {"1 token": 1, "16 tokens": 16, "1500 positions": 1500, "8 x 1500": 12_000}
"""Rows of the input: a decoder's step for one window and for sixteen, an encoder's for one and for eight."""
SHARES = tuple(tenths / 10 for tenths in range(1, 10))
WORK = 1e8
"""Multiply-adds that a timing has at least: one token through a small matrix is too short for a clock."""


def compact(dense: nn.Linear, dead: float, seed: int = 0) -> CompactLinear:
    """Return the layer without a random share of its columns."""
    width = dense.in_features
    draw = torch.Generator().manual_seed(seed)
    live = torch.randperm(width, generator=draw)[: width - round(dead * width)].sort().values
    layer = CompactLinear(live, dense.out_features, bias=True)
    with torch.no_grad():
        layer.linear.weight.copy_(dense.weight[:, live])
        layer.linear.bias.copy_(dense.bias)
    return layer


def again(layer: nn.Module, x: torch.Tensor, times: int) -> None:
    """Run a layer so many times."""
    for _ in range(times):
        layer(x)


def measure(positions: str, repeats: int) -> list[dict[str, Any]]:
    """Return a row for each size: speed-up over dense at each dead share (paired medians), and from which it pays."""
    rows = []
    for name, (outputs, inputs) in SIZES.items():
        count = POSITIONS[positions]
        dense = nn.Linear(inputs, outputs)
        layers: dict[str, nn.Module] = {"dense": dense, **{f"{dead:.0%}": compact(dense, dead) for dead in SHARES}}
        x, times = torch.randn(count, inputs), max(1, round(WORK / (count * inputs * outputs)))
        with torch.inference_mode():
            seconds = interleaved({at: partial(again, layer, x, times) for at, layer in layers.items()}, repeats)
        speed = {f"{dead:.0%}": paired_ratio(seconds["dense"], seconds[f"{dead:.0%}"]) for dead in SHARES}
        rows.append(
            {"matrix": name, "out x in": f"{outputs} x {inputs}", "read": positions, "pays from": pays_from(speed)}
            | {at: round(value, 2) for at, value in speed.items()}
        )
    return rows


def pays_from(speed: dict[str, float]) -> str:
    """Return the smallest dead share from which on every larger one was at least as fast as dense; ``-``: none."""
    found = "-"
    for at, value in reversed(speed.items()):
        if value < 1:
            break
        found = at
    return found


def threshold(row: dict[str, Any]) -> float:
    """Return the share from which the harness gathers where a matrix of that size is read so."""
    return COMPACT_SMALL_FROM if "token" in row["read"] and is_small(row) else COMPACT_FROM


def is_small(row: dict[str, Any]) -> bool:
    """Return whether the harness takes the matrix for a small one."""
    outputs, inputs = (int(number) for number in row["out x in"].split(" x "))
    return outputs * inputs < SMALL

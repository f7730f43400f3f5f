"""Markdown tables of measurements, and the machine they are of."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch
import transformers

from benchmark.measure.profile import device_key


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table; the first row's keys are the head, numbers stand to the right."""
    head = list(rows[0])
    right = ["---:" if isinstance(rows[0][name], int | float) else "---" for name in head]
    lines = [head, right, *([shown(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: Any) -> str:
    """Return a number with three significant digits, anything else as it is."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def machine() -> str:
    """Return what the numbers of this process are of, in words."""
    libraries = f"torch {torch.__version__}, transformers {transformers.__version__}, numpy {numpy.__version__}"
    threads = f"{torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
    return f"{threads}; device key `{device_key()}`; Python {platform.python_version()}, {libraries}"

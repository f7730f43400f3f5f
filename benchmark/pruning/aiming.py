"""A budget is met after dead parts are gone: aim at another number than the one asked for, until what is left fits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.whisper.plan import Plan

ROUNDS = 40


def aimed(
    plan_at: Callable[[float], Plan],
    left: Callable[[Plan], int],
    target: float,
    highest: float,
    *,
    close: float,
    rounds: int = ROUNDS,
) -> Plan:
    """Return the plan of the aim that leaves nearest to ``target`` weights; the first aim is the target itself.

    ``plan_at(aim)`` keeps the more the higher the aim is, at most at ``highest``; ``left`` counts what stays of a plan.
    Stops where no more than ``close`` weights are missed, or where aims differ by less than one weight.
    """
    low, high, aim = 0.0, highest, min(target, highest)
    below, above, miss = math.nan, math.nan, math.inf  # what the plans at both ends miss the target by, where known
    for turn in range(rounds):
        plan = plan_at(aim)
        found = left(plan)
        over = found - target
        if abs(over) < miss:
            best, miss = plan, abs(over)
        low, below, high, above = (low, below, aim, over) if over > 0 else (aim, over, high, above)
        if abs(over) <= close or high - low < 1:
            break
        if math.isnan(below) or math.isnan(above):  # in proportion, as far as there is room
            aim = min(max(aim * target / found, low), high) if found else high
        elif turn % 2:
            aim = (low + high) / 2
        else:
            aim = low + (high - low) * below / (below - above)
    return best

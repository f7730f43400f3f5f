"""The program that all one-shot methods share."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.api import Fit, Penalty, Prune, Rule, Step


def one_shot(rule: Rule, before: int, total_steps: int, penalty: Penalty | None = None) -> Iterator[Step]:
    """Train for ``before`` steps (with the penalty, if any), prune once, train for the rest."""
    yield Fit(steps=before, penalty=penalty)
    yield Prune(rule=rule)
    yield Fit(steps=total_steps - before)

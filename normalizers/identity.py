"""The normaliser that does nothing."""

from __future__ import annotations

from typing import ClassVar

from benchmark.api import Normalizer
from benchmark.registry import REGISTRY
from normalizers._rules import RuleInfo


@REGISTRY.register("normalizer", "identity")
class Identity(Normalizer):
    """The text as it is: for raw scores, and as the point of comparison for every other normaliser.

    Folds: nothing. Keeps: everything, white space included. Source: none needed.
    """

    rules: ClassVar[tuple[RuleInfo, ...]] = ()

    def __call__(self, text: str) -> str:
        """Return ``text``."""
        return text

"""The normaliser that does nothing."""

from __future__ import annotations

from benchmark.api import Normalizer
from benchmark.registry import REGISTRY


@REGISTRY.register("normalizer", "identity")
class Identity(Normalizer):
    """The text as it is: for raw scores, and as the point of comparison for every other normaliser.

    Folds: nothing. Keeps: everything, white space included. Source: none needed.
    """

    def __call__(self, text: str) -> str:
        """Return ``text``."""
        return text

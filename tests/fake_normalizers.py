"""Normalisers for tests of what chooses and applies them, and a registry that holds nothing else."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from benchmark.api import Normalizer, Unit
from benchmark.registry import Registry
from benchmark.text import chosen
from tests.fake_runs import Plain


class Words(Plain):
    """Words of the invented language xa."""

    name = "words"
    languages: ClassVar[tuple[str, ...]] = ("xa", "hi")


class Letters(Plain):
    """Characters of the invented language xb."""

    name = "letters"
    languages: ClassVar[tuple[str, ...]] = ("xb",)
    unit: ClassVar[Unit] = "char"


class Broken(Plain):
    """Of language xc: raises, or returns no string, whatever it is given."""

    name = "broken"
    languages: ClassVar[tuple[str, ...]] = ("xc",)

    def __call__(self, text: str) -> Any:
        """Raise."""
        raise KeyError(text)


def only(patch: pytest.MonkeyPatch, *plugins: type[Normalizer]) -> Registry:
    """Let texts name these normalisers and no others."""
    fresh = Registry()
    fresh._loaded |= {"", "normalizers"}
    for plugin in plugins:
        fresh.register("normalizer", plugin.name)(plugin)
    patch.setattr(chosen, "REGISTRY", fresh)
    return fresh

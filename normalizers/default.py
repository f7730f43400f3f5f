"""The rules that hold in every script, for a language without a normaliser of its own."""

from __future__ import annotations

from typing import ClassVar

from benchmark.registry import REGISTRY
from benchmark.text.common import COMMON
from benchmark.text.rules import RuleBased, TextRule


@REGISTRY.register("normalizer", "default")
class Default(RuleBased):
    """What holds in every script: display characters, case, digits, punctuation, encodings. No rule of any language.

    Folds: case and width, digits of every script to ASCII, grouped numbers (1,000), punctuation and symbols to spaces,
    stops in initials, apostrophes in words, canonical encodings.
    Keeps: every letter and combining mark, the decimal point, signs that are read out (%, &, +, money).
    Source: own rules on Unicode's properties. A language chooses it by name; nothing falls back to it.
    """

    program: ClassVar[tuple[TextRule, ...]] = COMMON

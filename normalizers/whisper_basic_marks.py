"""Whisper's basic rules with one difference: combining marks are part of a word."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar

import regex

from benchmark.registry import REGISTRY
from benchmark.text.common import WHITESPACE
from benchmark.text.rules import RuleBased, TextRule

_BRACKETS = re.compile(r"[<\[][^>\]]*[>\]]")
_PARENTHESES = re.compile(r"\(([^)]+?)\)")
_SIGNS = regex.compile(r"[\p{P}\p{S}]")


def asides(text: str) -> str:
    """Drop what stands in brackets or parentheses, as Whisper does; repeated, so that nothing nested is left over."""
    before = None
    while text != before:
        before = text
        text = _PARENTHESES.sub("", _BRACKETS.sub("", text))
    return text


def compatible(text: str) -> str:
    """Return lower case in NFKC; each can undo the other (KELVIN SIGN), so both are repeated until neither does."""
    before = None
    while text != before:
        before = text
        text = unicodedata.normalize("NFKC", text.lower())
    return text


@REGISTRY.register("normalizer", "whisper_basic_marks")
class WhisperBasicMarks(RuleBased):
    """Whisper's basic normaliser with combining marks preserved, so that Indic, Thai or Hebrew words stay whole.

    Folds: case, NFKC, everything in brackets and parentheses, and every symbol or punctuation to a space.
    Keeps: letters, digits and all combining marks: the one difference to ``whisper_basic``, which shows what that one
    fault costs. Joiners and spelling habits are not folded.
    Source: the rules of Whisper's BasicTextNormalizer (Radford et al. 2022, appendix C), written anew as a fixed point.
    """

    program: ClassVar[tuple[TextRule, ...]] = (
        TextRule("asides", True, "what stands in brackets or parentheses goes", ("so (laughs) it", "so it"), asides),
        TextRule("unicode", True, "lower case and NFKC: compatible forms", ("ﬁne Ｎow", "fine now"), compatible),
        TextRule(
            "punctuation", True, "punctuation and symbols to a space; marks stay", ("है, वह।", "है वह"),
            lambda text: str(_SIGNS.sub(" ", text)),
        ),
        WHITESPACE,
    )  # fmt: skip

"""Whisper's basic rules with one difference: combining marks are part of a word."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import ClassVar

import regex

from benchmark.registry import REGISTRY
from benchmark.text.common import WHITESPACE, char_class, normal_form
from benchmark.text.rules import RuleBased, TextRule

_BRACKETS = re.compile(r"[<\[][^>\]]*[>\]]")
_PARENTHESES = re.compile(r"\(([^)]+?)\)")
_BARE = re.compile(r"[()\[\]<>]")
_SIGNS = regex.compile(r"[\p{P}\p{S}]\p{M}*+")
_SHAPES = regex.compile(r"[\ufe00-\ufe0f\p{Me}]")  # variation selectors, and what encloses (keycaps)
_LOOSE = regex.compile(r"(?<![\p{L}\p{M}\p{N}\p{Cf}\p{Cs}\p{Co}\p{Cn}])\p{M}++")


def asides(text: str) -> str:
    """Drop what stands in brackets or parentheses, as Whisper does.

    What is never closed is not looked at: the search for its end would take a time that grows with the square.
    """
    closed = max(text.rfind(">"), text.rfind("]")) + 1
    text = _BRACKETS.sub("", text[:closed]) + text[closed:]
    closed = text.rfind(")") + 1
    return _PARENTHESES.sub("", text[:closed]) + text[closed:]


@cache
def _compatible_brackets() -> regex.Pattern[str]:
    """Characters that NFKC makes brackets of; Whisper looks for asides before, so they are no asides."""
    made = {char for char in map(chr, range(0x80, 0x20000)) if set("()[]<>") & set(unicodedata.normalize("NFKC", char))}
    return regex.compile(char_class(made))


def compatible(text: str) -> str:
    """Return lower case in NFKC; each can undo the other (KELVIN SIGN), so both are repeated until neither does."""
    text = _compatible_brackets().sub(lambda match: _BARE.sub(" ", unicodedata.normalize("NFKC", match.group())), text)
    before = None
    while text != before:
        before = text
        text = normal_form("NFKC", text.lower())
    return text


def signs(text: str) -> str:
    """Make every symbol and punctuation a space, with the marks on it, and marks that are part of no word."""
    return str(_LOOSE.sub(" ", _SHAPES.sub(" ", _SIGNS.sub(" ", text))))


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
            signs,
        ),
        WHITESPACE,
    )  # fmt: skip

"""Whisper's own normaliser for every language but English, as a reference."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from benchmark.api import Config, Normalizer
from benchmark.registry import REGISTRY


class WhisperBasicConfig(Config):
    """The two arguments of the class in transformers, with its defaults."""

    remove_diacritics: bool = Field(default=False, description="drop combining marks after NFKD")
    split_letters: bool = Field(default=False, description="put a space between all letters")


@REGISTRY.register("normalizer", "whisper_basic")
class WhisperBasic(Normalizer):
    """Whisper's BasicTextNormalizer, unchanged, because many word error rates were reported with it.

    Folds: case, NFKC, everything in brackets and parentheses, and every mark, symbol or punctuation to a space.
    Keeps: letters and digits. Known fault: marks include the vowel signs, viramas and nuktas of Indic scripts, so
    Hindi words fall into pieces that are compared as words; do not use it to judge Hindi.
    Source: ``transformers.models.whisper.english_normalizer.BasicTextNormalizer`` (after OpenAI's whisper).
    """

    Config: ClassVar[type[Config]] = WhisperBasicConfig
    reference: ClassVar[bool] = True

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        # Here and not above: it takes a second. This module of transformers needs no torch.
        from transformers.models.whisper.english_normalizer import BasicTextNormalizer

        self._basic = BasicTextNormalizer(**self.config.model_dump())

    def __call__(self, text: str) -> str:
        """Return what transformers returns."""
        return str(self._basic(text))

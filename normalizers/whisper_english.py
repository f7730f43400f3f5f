"""Whisper's own normaliser for English, as a reference."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import ClassVar

from benchmark.api import Normalizer
from benchmark.registry import REGISTRY


@REGISTRY.register("normalizer", "whisper_english")
class WhisperEnglish(Normalizer):
    """Whisper's EnglishTextNormalizer, unchanged, because nearly all English word error rates are reported with it.

    Folds: what the basic one does, and fillers (hmm, uh), contractions (won't = will not), titles (Mr), number words to
    digits (twenty one = 21), money, British to American spellings.
    Keeps: letters without their accents. Known faults, kept: it is not idempotent ("$ 5 and 3 cents"), the map makes
    "archeology</span>" of "archaeology", and brackets and runs of spaces take a time that grows with the square. One
    difference: where transformers raises (numbers of more than 4,300 digits), halves of the text are normalised alone.
    Source: ``transformers.models.whisper.english_normalizer.EnglishTextNormalizer`` with the spelling map of OpenAI's
    whisper, release 20250625.
    """

    version: ClassVar[str] = "openai.20250625"
    languages: ClassVar[tuple[str, ...]] = ("en",)
    reference: ClassVar[bool] = True

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        # Here and not above: it takes a second. This module of transformers needs no torch.
        from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

        self._english = EnglishTextNormalizer(_spellings())

    def __call__(self, text: str) -> str:
        """Return what transformers returns; where it raises, what it returns for the halves of the text."""
        try:
            return str(self._english(text))
        except ValueError:  # Python converts no number of so many digits
            words = text.split()
            if len(words) > 1:
                middle = len(words) // 2
                return f"{self(' '.join(words[:middle]))} {self(' '.join(words[middle:]))}"
            middle = len(text) // 2
            return f"{self(text[:middle])} {self(text[middle:])}"


@cache
def _spellings() -> dict[str, str]:
    text = files("normalizers").joinpath("data", "english_spelling.json").read_text(encoding="utf-8")
    return dict(json.loads(text))

"""``nano-hi``: the embedded model, shipped in the package."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.api import Model
from benchmark.errors import DataError
from benchmark.registry import REGISTRY

FOLDER = Path(__file__).parent / "nano_hi"


@REGISTRY.register("model", "nano-hi")
class NanoHi(Model):
    """A Whisper of 1.5 million parameters for SYNTHETIC Hindi (corpus `synthetic-hi`), shipped in the package.

    Real WhisperForConditionalGeneration and processor classes, windows of 3 s. Made again by `prunebench nano build`.
    It knows the sentences of one small grammar; it recognises no real speech. Card: `nano_hi/README.md`.
    """

    @property
    def folder(self) -> Path:
        """Where the checkpoint lies."""
        return FOLDER

    @cached_property
    def revision(self) -> str:
        """The first 16 hex digits of SHA-256 over the weights file."""
        path = FOLDER / "model.safetensors"
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise DataError(
                f"{path}: {error.strerror}; install the package again, or run `prunebench nano build`"
            ) from None

    def load(self) -> tuple[Any, Any]:
        """Return ``(model, processor)`` in fp32, in evaluation mode."""
        import torch
        from transformers import WhisperForConditionalGeneration, WhisperProcessor
        from transformers.utils import logging

        logging.disable_progress_bar()
        model = WhisperForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32)
        return model.eval(), WhisperProcessor.from_pretrained(FOLDER)

"""``nano-hi`` and ``nano-multi``: the embedded models, shipped in the package."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmark.api import Model
from benchmark.errors import DataError
from benchmark.registry import REGISTRY

if TYPE_CHECKING:
    from benchmark.whisper.structure import Structure

HERE = Path(__file__).parent


class Nano(Model):
    """A checkpoint that lies beside this file; a subclass names its folder."""

    folder: ClassVar[Path]

    @cached_property
    def revision(self) -> str:
        """The first 16 hex digits of SHA-256 over the weights file."""
        path = self.folder / "model.safetensors"
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
        model = WhisperForConditionalGeneration.from_pretrained(self.folder, dtype=torch.float32)
        return model.eval(), WhisperProcessor.from_pretrained(self.folder)

    def file(self, name: str) -> Path | None:
        """Return a file beside the weights."""
        path = self.folder / name
        return path if path.is_file() else None

    def structure(self) -> Structure:
        """Return the prunable matrices, by the configuration beside the weights."""
        from transformers import WhisperConfig

        from benchmark.whisper.structure import Structure

        return Structure.from_config(WhisperConfig.from_pretrained(self.folder))


@REGISTRY.register("model", "nano-hi")
class NanoHi(Nano):
    """A Whisper of 1.5 million parameters for SYNTHETIC Hindi (corpus `synthetic-hi`), shipped in the package.

    Real WhisperForConditionalGeneration and processor classes, windows of 3 s. Made again by `prunebench nano build`.
    It knows the sentences of one small grammar; it recognises no real speech. Card: `nano_hi/README.md`.
    """

    folder: ClassVar[Path] = HERE / "nano_hi"


@REGISTRY.register("model", "nano-multi")
class NanoMulti(Nano):
    """A Whisper of 2.4 million parameters for SYNTHETIC speech in seven languages, shipped in the package.

    Hindi, Tamil, Bengali, Marathi, English, German and Turkish (corpora `synthetic-<code>`); windows of 3 s. Made again
    by `prunebench nano build --languages hi,ta,bn,mr,en,de,tr`. It knows the sentences of one small grammar a language;
    it recognises no real speech. Error rates by language: `nano_multi/README.md`.
    """

    folder: ClassVar[Path] = HERE / "nano_multi"

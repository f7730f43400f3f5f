"""``whisper``: any Whisper checkpoint, from a folder or from the Hugging Face hub."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from benchmark.api import Config, Model
from benchmark.errors import DataError, SpecError
from benchmark.registry import REGISTRY

_CHUNK = 1 << 22
_COMMIT = 40


class WhisperConfig(Config):
    """Which checkpoint."""

    source: str = Field(default="openai/whisper-tiny", min_length=1, description="a folder, or a name on the hub")
    revision: str | None = Field(default=None, description="of a hub name: the commit, 40 hex digits; pins the weights")


@REGISTRY.register("model", "whisper")
class Whisper(Model):
    """Any Whisper that transformers opens: `source` is a local folder, or a name on the Hugging Face hub.

    A folder's revision is a digest of its weights; its path, as written, is part of a cell's id, so write a short one.
    A hub name needs the commit (`revision`): a branch moves, and a record must say which weights it is about. The hub
    is asked when the model is loaded, never before, and not at all where its cache holds that commit.
    """

    Config = WhisperConfig

    @property
    def _folder(self) -> Path | None:
        path = Path(self.config.source)
        return path if path.is_dir() else None

    @cached_property
    def revision(self) -> str:
        """The commit on the hub, or 16 hex digits of SHA-256 over a folder's weights.

        Raises:
            SpecError: a hub name without its commit, a path where nothing is, or a folder with a commit.
            DataError: a folder without weights in safetensors.
        """
        commit = self.config.revision
        if self._folder is not None:
            if commit is not None:
                raise SpecError(
                    f"model 'whisper': {self.config.source!r} is a folder here, whose weights are its revision; leave "
                    "revision out"
                )
            return _digest(self._folder)
        if commit is None or len(commit) != _COMMIT or set(commit) - set("0123456789abcdef"):
            raise SpecError(
                f"model 'whisper': {self.config.source!r} is no folder here; as a name on the hub it needs its commit: "
                f"revision: <{_COMMIT} hex digits> (its page shows it under Files, History), not {commit!r}"
            )
        return commit

    def load(self) -> tuple[Any, Any]:
        """Return ``(model, processor)`` in fp32, in evaluation mode.

        Raises:
            DataError: what is there is no Whisper that transformers opens, or the hub cannot be reached.
        """
        import torch
        from safetensors import SafetensorError
        from transformers import AutoConfig, WhisperForConditionalGeneration, WhisperProcessor
        from transformers.utils import logging

        logging.disable_progress_bar()
        source = self.config.source
        pinned: dict[str, Any] = {} if self._folder is not None else {"revision": self.revision}
        try:
            kind = AutoConfig.from_pretrained(source, **pinned).model_type
            if kind != "whisper":  # transformers would fill a Whisper with random weights
                raise ValueError(f"it is a model of type {kind!r}, and no Whisper")
            opened: Any = WhisperForConditionalGeneration  # which the types say gives a model, and nothing about it
            model, found = opened.from_pretrained(source, dtype=torch.float32, output_loading_info=True, **pinned)
            if found["missing_keys"]:
                raise ValueError(f"its files lack the weights {sorted(found['missing_keys'])[0]}")
            processor = WhisperProcessor.from_pretrained(source, **pinned)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            said = " ".join(str(error).split())
            raise DataError(f"model 'whisper': {source} cannot be opened: {said[:300]}") from None
        return model.eval(), processor


def _digest(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError(f"{folder}: no *.safetensors there; save the model with save_pretrained first")
    digest = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()[:16]

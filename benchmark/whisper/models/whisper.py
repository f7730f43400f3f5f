"""``whisper``: any Whisper checkpoint, from a folder or from the Hugging Face hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from benchmark.api import Config, Model
from benchmark.errors import DataError, SpecError
from benchmark.registry import REGISTRY

if TYPE_CHECKING:
    from benchmark.whisper.structure import Structure

_COMMIT = 40
_BESIDE = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json"),
    *("special_tokens_map.json", "normalizer.json"),
)
"""What makes a transcript besides the weights."""
_PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class WhisperConfig(Config):
    """Which checkpoint."""

    source: str = Field(default="openai/whisper-tiny", min_length=1, description="a folder, or a name on the hub")
    revision: str | None = Field(default=None, description="of a hub name: the commit, 40 hex digits; pins the weights")
    dtype: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="in which it is decoded, timed and stored; trained are fp32 weights (see training)"
    )
    attention: Literal["sdpa", "eager"] = Field(default="sdpa", description="which code computes attention")


@REGISTRY.register("model", "whisper")
class Whisper(Model):
    """Any Whisper that transformers opens: `source` is a local folder, or a name on the Hugging Face hub.

    OpenAI's, Distil-Whisper's and fine-tuned ones, multilingual or English-only, with 80 or 128 mel bands. A folder's
    revision is a digest of its weights, configs and tokenizer; where it lies is no part of a cell's id.
    A hub name needs the commit (`revision`): a branch moves, and a record must say which weights it is about. The hub
    is asked when the model is loaded, never before, and not at all where its cache holds that commit.
    """

    Config = WhisperConfig

    @classmethod
    def places(cls, options: Mapping[str, Any]) -> frozenset[str]:
        """Return ``source`` where it is a folder, which is where no commit stands beside it."""
        return frozenset({"source"} if options.get("revision") is None else ())

    def meant(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given options without a folder's path, and without a precision and attention that are the usual.

        What this class knew first stays as it was written, so that ids of old records stay.
        """
        fields = self.Config.model_fields
        usual = {name for name in ("dtype", "attention") if given.get(name) == fields[name].default}
        return {name: value for name, value in super().meant(given).items() if name not in usual}

    @property
    def _folder(self) -> Path | None:
        path = Path(self.config.source)
        return path if path.is_dir() else None

    @cached_property
    def revision(self) -> str:
        """The commit on the hub, or 16 hex digits of SHA-256 over a folder's weights, configs and tokenizer.

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
        """Return ``(model, processor)`` in the precision that was asked for, in evaluation mode.

        Raises:
            DataError: what is there is no Whisper that transformers opens, or the hub cannot be reached.
        """
        import torch
        from safetensors import SafetensorError
        from transformers import AutoConfig, WhisperForConditionalGeneration, WhisperProcessor
        from transformers.utils import logging

        from benchmark.whisper.checkpoints import completed

        logging.disable_progress_bar()
        asked = {"dtype": getattr(torch, _PRECISIONS[self.config.dtype]), "attn_implementation": self.config.attention}
        source = self.config.source
        pinned: dict[str, Any] = {} if self._folder is not None else {"revision": self.revision}
        try:
            kind = AutoConfig.from_pretrained(source, **pinned).model_type
            if kind != "whisper":  # transformers would fill a Whisper with random weights
                raise ValueError(f"it is a model of type {kind!r}, and no Whisper")
            opened: Any = WhisperForConditionalGeneration  # which the types say gives a model, and nothing about it
            model, found = opened.from_pretrained(source, output_loading_info=True, **asked, **pinned)
            if found["missing_keys"]:
                raise ValueError(f"its files lack the weights {sorted(found['missing_keys'])[0]}")
            processor = WhisperProcessor.from_pretrained(source, **pinned)
            return completed(model.eval(), processor), processor
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, DataError) as error:
            said = " ".join(str(error).split())
            raise DataError(f"model 'whisper': {source} cannot be opened: {said[:300]}") from None

    def structure(self) -> Structure | None:
        """Return the prunable matrices, by the folder's configuration, or that of the commit in the hub's local cache.

        None where neither is on this machine: the hub is not asked.

        Raises:
            SpecError: as ``revision``.
            DataError: what is there is no configuration of a Whisper.
        """
        from transformers import WhisperConfig

        from benchmark.whisper.structure import Structure

        path = self.file("config.json")
        if path is None:
            return None
        try:
            about = json.loads(path.read_bytes())
            kind = about.get("model_type") if isinstance(about, dict) else None
            if kind != "whisper":
                raise ValueError(f"it is of type {kind!r}, and no Whisper")
            return Structure.from_config(WhisperConfig.from_dict(about))
        except Exception as error:  # there is no end to what transformers raises at a configuration that is odd
            said = " ".join(str(error).split())
            raise DataError(f"model 'whisper': {path} cannot be used: {said[:300]}") from None

    def file(self, name: str) -> Path | None:
        """Return a file of the folder, or of the commit in the hub's local cache, if it is on this machine.

        Raises:
            SpecError: as ``revision``.
        """
        if self._folder is not None:
            path = self._folder / name
            return path if path.is_file() else None
        from huggingface_hub import try_to_load_from_cache

        commit = self.revision
        try:
            found = try_to_load_from_cache(self.config.source, name, revision=commit)
        except ValueError:  # a path that is not here, and no name on the hub either
            return None
        return Path(found) if isinstance(found, str) else None


def _digest(folder: Path) -> str:
    """Return a digest of the weights and of what lies beside them and makes a transcript; large files are read once."""
    from benchmark.corpora._digests import digests

    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise DataError(f"{folder}: no *.safetensors there; save the model with save_pretrained first")
    files = [*weights, *(path for name in _BESIDE if (path := folder / name).is_file())]
    digest = hashlib.sha256()
    for path, found in zip(files, digests(files), strict=True):
        digest.update(f"{path.name} {found}\n".encode())
    return digest.hexdigest()[:16]

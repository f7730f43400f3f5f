"""Greedy or beam decoding of log-mel windows: the one place where text comes out of a model. No torch on import."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from benchmark.api import Frozen
from benchmark.errors import DataError, SpecError, nearest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

Cache = Literal["dynamic", "static"]
_WHISPERS = (
    *("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id", "prev_sot_token_id"),
    *("suppress_tokens", "begin_suppress_tokens", "no_timestamps_token_id", "max_initial_timestamp_index"),
    *("is_multilingual", "lang_to_id", "task_to_id", "alignment_heads"),
)
"""What of a checkpoint's generation config is in force while it is decoded."""
_TASK = "transcribe"
_ENGLISH = "en"
REPETITIVE = 2.4
"""Compression ratio above which Whisper takes a text for a loop (Radford et al. 2022, section 4.5)."""


class Decoding(Frozen):
    """How text is decoded; part of a cell's identity, except ``batch`` and ``cache``, which are transport."""

    beams: int = Field(default=1, ge=1, description="1 is greedy")
    max_new_tokens: int | None = Field(
        default=None, ge=1, description="tokens after the prompt; the model's own limit when absent"
    )
    batch: int = Field(default=50, ge=1, description="windows decoded at once; no part of a cell's identity")
    cache: Cache = Field(
        default="dynamic",
        description="static: of full length from the start, and on a GPU compiled; no part of a cell's identity",
    )

    def identity(self) -> dict[str, Any]:
        """Return what takes part in a cell's id: everything but how it is carried out."""
        return self.model_dump(exclude={"batch", "cache"})

    def signature(self) -> str:
        """Return e.g. ``greedy,max=44``, ``beam4,max=44``, or ``greedy,max=model`` for the model's own limit."""
        search = "greedy" if self.beams == 1 else f"beam{self.beams}"
        return f"{search},max={self.max_new_tokens or 'model'}"


@dataclass(frozen=True)
class Transcripts:
    """What a model said, one entry an utterance, in the order of the features."""

    texts: list[str]
    tokens: np.ndarray
    """Generated tokens, shape ``(N,)`` int64: without the prompt, with the end token where there is one."""
    truncated: np.ndarray
    """Shape ``(N,)`` bool: no end token before the limit (a runaway)."""
    looped: np.ndarray
    """Shape ``(N,)`` bool: the tokens repeat themselves (``is_loop``)."""
    limit: int
    """Tokens that could have been generated."""


def transcribe(
    model: Any,
    processor: Any,
    features: np.ndarray,
    *,
    language: str,
    decoding: Decoding,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
    seconds: np.ndarray | None = None,
    only: np.ndarray | None = None,
) -> Transcripts:
    """Decode log-mel windows, ``decoding.batch`` at a time; what comes back is in the order of the windows.

    Args:
        model: a ``WhisperForConditionalGeneration``; it is moved to ``device``, and computes in its own precision.
        processor: a ``WhisperProcessor`` (or its tokenizer).
        features: shape ``(N, mels, frames)``, float16 as a rule, may be a memory map; frames must fill the window.
        language: Whisper's code (``hi``); forced, with the task, on a multilingual model, and ignored on others.
        decoding: beams, limit and batch.
        device: where to compute.
        progress: called after each batch with the number of utterances done.
        seconds: length of the speech in each window, shape ``(N,)``: those of like length, whose texts are of like
            length, are then decoded together, the longest first. A batch takes as many steps as its longest text.
        only: indices of the windows that are decoded (all when None); one entry an index comes back.

    Raises:
        DataError: the windows have another shape than the model's.
        SpecError: the model does not know the language, or the limit exceeds its positions.
    """
    import numpy as np
    import torch

    _check_windows(model, features)
    prompt = _prompt(model, language)
    limit = room(model, len(prompt), decoding)
    model.to(device)
    rows = np.arange(len(features)) if only is None else np.asarray(only)
    order = np.arange(len(rows)) if seconds is None else np.argsort(-np.asarray(seconds)[rows], kind="stable")
    texts = np.full(len(rows), "", object)
    tokens, ended, looped = (np.zeros(len(rows), kind) for kind in (np.int64, np.bool_, np.bool_))
    with evaluation(model), settled(model, decoding, limit), torch.inference_mode():
        for start in range(0, len(rows), decoding.batch):
            places = order[start : start + decoding.batch]
            said, ended[places] = _generated(model, features[rows[places]], prompt)
            tokens[places] = [len(row) for row in said]
            looped[places] = [is_loop(row, model.config.vocab_size) for row in said]
            texts[places] = processor.batch_decode(said, skip_special_tokens=True)
            if progress is not None:
                progress(start + len(places))
    return Transcripts(texts.tolist(), tokens, np.logical_not(ended), looped, limit)


def _generated(model: Any, features: np.ndarray, prompt: list[int]) -> tuple[list[list[int]], np.ndarray]:
    """Return the tokens that follow the prompt in each window of one batch, and which of them ended."""
    import torch
    from transformers.generation.utils import GenerationMixin

    batch = windows(model, features)
    prompts = torch.tensor([prompt], device=batch.device).expand(len(batch), -1)
    mask = prompts.new_ones(len(batch), batch.shape[2])  # Whisper reads none, transformers warns without one
    sequences = GenerationMixin.generate(model, batch, decoder_input_ids=prompts, attention_mask=mask)
    generated = sequences[:, len(prompt) :].cpu().numpy()
    counts, ended = until_end(generated, model.generation_config.eos_token_id)
    return [row[:count].tolist() for row, count in zip(generated, counts, strict=True)], ended


def is_loop(tokens: Sequence[int], vocabulary: int) -> bool:
    """Whether a text repeats itself: its ids, as bytes, compress to less than 1/2.4 of their size.

    The ratio is that of transformers' Whisper (``_retrieve_compression_ratio``), over token ids. OpenAI's is over
    UTF-8, where Indic scripts repeat a byte in every letter; on token ids all languages are treated alike.
    """
    width = (int(vocabulary).bit_length() - 1) // 8 + 1
    plain = b"".join(int(token).to_bytes(width, "little") for token in tokens)
    return len(plain) / len(zlib.compress(plain)) > REPETITIVE


def windows(model: Any, features: np.ndarray) -> torch.Tensor:
    """Return features of shape ``(B, mels, frames)`` as a tensor on the model's device, in its precision."""
    import numpy as np
    import torch

    # np.array copies: a slice of a read-only memory map must not become a writable tensor
    return torch.from_numpy(np.array(features)).to(device=model.device, dtype=model.dtype)


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Switch off dropout, layer drop and SpecAugment; the mode that was there comes back."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _check_windows(model: Any, features: np.ndarray) -> None:
    encoder = model.get_encoder()
    stride = encoder.conv1.stride[0] * encoder.conv2.stride[0]
    wanted = (model.config.num_mel_bins, stride * model.config.max_source_positions)
    if features.ndim != 3 or features.shape[1:] != wanted:
        raise DataError(
            f"features have shape {features.shape}; this model takes (N, {wanted[0]} mels, {wanted[1]} frames)"
        )


def is_multilingual(model: Any) -> bool:
    """Whether a prompt of this model names language and task."""
    return _names_languages(model.generation_config)


def _names_languages(config: Any) -> bool:
    return bool(getattr(config, "lang_to_id", None)) and getattr(config, "is_multilingual", True)


def refuse_unknown(config: Any, language: str) -> None:
    """Refuse a language that a model does not know, by its generation config.

    Raises:
        SpecError: it does not know it.
    """
    if _names_languages(config):
        known = [token.strip("<|>") for token in config.lang_to_id]
        if language not in known:
            raise SpecError(f"this model does not know the language {language!r}{nearest(language, known)}")
    elif getattr(config, "is_multilingual", None) is False and language != _ENGLISH:
        raise SpecError(f"this model knows English (en) alone, and not {language!r}: take a multilingual one")


def _prompt(model: Any, language: str) -> list[int]:
    """Return the ids a transcript starts with: start, language and task (multilingual only), no time stamps."""
    config = model.generation_config
    refuse_unknown(config, language)
    ids = [config.decoder_start_token_id]
    if is_multilingual(model):
        ids += [config.lang_to_id[f"<|{language}|>"], config.task_to_id[_TASK]]
    plain = getattr(config, "no_timestamps_token_id", None)
    return ids if plain is None else [*ids, plain]


def room(model: Any, prompt: int, decoding: Decoding) -> int:
    """Return how many tokens may be generated; the model's positions hold the prompt too."""
    free = int(model.config.max_target_positions) - prompt
    if decoding.max_new_tokens is None:
        return free
    if decoding.max_new_tokens > free:
        raise SpecError(
            f"decoding.max_new_tokens = {decoding.max_new_tokens}: this model has room for {free} "
            f"({model.config.max_target_positions} positions, {prompt} of them for the prompt)"
        )
    return decoding.max_new_tokens


def check_decoding(model: Any, language: str, decoding: Decoding) -> None:
    """Raise what ``transcribe`` would, before anything is decoded.

    Raises:
        SpecError: the model does not know the language, or the limit exceeds its positions.
    """
    room(model, len(_prompt(model, language)), decoding)


@contextmanager
def settled(model: Any, decoding: Decoding, limit: int) -> Iterator[None]:
    """Swap in a generation config under which ``GenerationMixin.generate`` decodes each window exactly once.

    That method, and not Whisper's own ``generate`` around it, which would decode a window again from its last time
    stamp, fall back to sampling where a checkpoint's thresholds ask for it, and hide whether a text ended. A badly
    pruned model does emit time stamps; its score must not depend on that machinery. On texts without time stamps the
    two agree token by token. Of the checkpoint's own config counts what makes a prompt and what Whisper never says
    (``_WHISPERS``): penalties, thresholds, clocks, stop strings and other ways to search are no part of the signature.
    The config is swapped, not passed: transformers refills what is None in a passed one from the model's own.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig(
        **{name: value for name in _WHISPERS if (value := getattr(own, name, None)) is not None},
        num_beams=decoding.beams,
        cache_implementation="static" if decoding.cache == "static" else None,
        max_new_tokens=limit,
        do_sample=False,
        use_cache=True,
        return_dict_in_generate=False,
    )
    try:
        yield
    finally:
        model.generation_config = own


def until_end(generated: np.ndarray, end: int | list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return per row the tokens up to and with the first end token (all where there is none), and whether there is one.

    ``generated`` has shape ``(B, T)``; a row that ended early is padded, often with the end token itself.
    """
    import numpy as np

    is_end = np.isin(generated, end)
    ended: np.ndarray = np.any(is_end, axis=1)
    return np.where(ended, is_end.argmax(axis=1) + 1, generated.shape[1]).astype(np.int64), ended

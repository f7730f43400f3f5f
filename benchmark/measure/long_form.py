"""Speech longer than the model's window, decoded window after window by Whisper's own rule. No torch on import.

Radford et al. 2022, section 3.8: each window begins where the last one's final time stamp ended. What makes Whisper's
rule depend on chance is off: no fallback to sampling at a higher temperature, no threshold that drops a window, and no
text of one window in the prompt of the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark.errors import DataError
from benchmark.measure.decoding import (
    Decoding,
    Transcripts,
    evaluation,
    is_loop,
    is_multilingual,
    room,
    settled,
    transcribe,
    until_end,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

RATE = 16_000
_PROMPT = 3
"""Start, language and task; a prompt of time stamps has no more."""
_ABOUT_ITSELF = ("Both `max_new_tokens`", "Passing `generation_config` together")
STANDSTILL = 10
"""Windows decoded for each that the speech fills, beyond which a model is held to go round on one spot.

A time stamp must move on by 0.02 s at least, so a badly pruned model can take 1,500 windows for one of 30 s.
"""


def transcribe_long(
    model: Any,
    processor: Any,
    waveforms: Sequence[Callable[[], np.ndarray]],
    *,
    language: str,
    decoding: Decoding,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Transcripts:
    """Decode speech of any length, one utterance after the other.

    Args:
        model: a ``WhisperForConditionalGeneration``; it is moved to ``device``, and computes in its own precision.
        processor: its ``WhisperProcessor``.
        waveforms: each gives mono float32 samples at 16 kHz, shape ``(samples,)``, when it is that one's turn.
        language: Whisper's code, forced on a multilingual model.
        decoding: beams, and the limit of tokens in each window.
        device: where to compute.
        progress: called after each utterance with the number done.

    Returns:
        What was said; an utterance is ``truncated`` where one of its windows was, so that nothing ended it, and
        ``looped`` where one is a loop. One at which the model stood still (``STANDSTILL``) is decoded by windows side
        by side without time stamps, and is ``truncated``.

    Raises:
        DataError: the model has no time stamps to go on by.
        SpecError: the limit exceeds the model's positions.
    """
    import numpy as np
    import torch

    check_stamps(model)
    limit = room(model, _PROMPT, decoding)
    texts: list[str] = []
    tokens, cut, looped = (np.zeros(len(waveforms), kind) for kind in (np.int64, np.bool_, np.bool_))
    model.to(device)
    with evaluation(model), torch.inference_mode():
        for number, waveform in enumerate(waveforms):
            said = _heard(model, processor, waveform(), limit, language=language, decoding=decoding, device=device)
            texts.append(said.text)
            tokens[number], cut[number], looped[number] = said.tokens, said.truncated, said.looped
            if progress is not None:
                progress(number + 1)
    return Transcripts(texts, tokens, cut, looped, limit)


def check_stamps(model: Any) -> None:
    """Refuse a model that cannot go on from window to window.

    Raises:
        DataError: it has no time stamps.
    """
    plain = getattr(model.generation_config, "no_timestamps_token_id", None)
    if plain is None or model.config.vocab_size - plain - 1 <= model.config.max_source_positions:  # one each, and zero
        raise DataError(
            "this model has no time stamps, so it cannot decode speech longer than its window: leave such utterances "
            "out (longest: <seconds of the window>, long_form: false)"
        )


def transcribe_all(
    model: Any,
    processor: Any,
    features: np.ndarray,
    waveform: Callable[[int], np.ndarray],
    seconds: np.ndarray,
    *,
    language: str,
    decoding: Decoding,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> tuple[Transcripts, int]:
    """Decode utterances of any length: those that fit from their windows, batch by batch, longer ones from their audio.

    Args:
        features: log-mels of each utterance's first window, shape ``(N, mels, frames)``.
        waveform: gives the samples of the utterance at an index.
        seconds: length of each utterance, shape ``(N,)``.
        model, processor, language, decoding, device, progress: as of ``transcribe``.

    Returns:
        What was said, in order, and how many utterances were longer than the window.

    Raises:
        DataError, SpecError: as ``transcribe`` and ``transcribe_long``.
    """
    import numpy as np

    longer = np.flatnonzero(seconds > window_of(processor))
    common: dict[str, Any] = {"language": language, "decoding": decoding, "device": device}
    if not len(longer):
        return transcribe(model, processor, features, seconds=seconds, progress=progress, **common), 0
    fitting = np.setdiff1d(np.arange(len(seconds)), longer)
    short = transcribe(model, processor, features, seconds=seconds, only=fitting, progress=progress, **common)
    after = None if progress is None else (lambda done: progress(len(fitting) + done))
    later = [partial(waveform, int(place)) for place in longer]
    long = transcribe_long(model, processor, later, progress=after, **common)
    order = np.argsort(np.concatenate([fitting, longer]), kind="stable")
    tokens, truncated, looped = (
        np.concatenate([getattr(short, part), getattr(long, part)])[order] for part in ("tokens", "truncated", "looped")
    )
    texts = [*short.texts, *long.texts]
    told = Transcripts([texts[place] for place in order], tokens, truncated, looped, short.limit)
    return told, len(longer)


def window_of(processor: Any) -> float:
    """Return the seconds of a model's window."""
    return float(processor.feature_extractor.n_samples) / RATE


@dataclass(frozen=True)
class _Said:
    text: str
    tokens: int
    truncated: bool
    looped: bool


class _StandsStillError(Exception):
    """The model decodes one spot again and again."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep two warnings of transformers about its own calls from the progress bars.

    Whisper's ``generate`` fills in the default of ``max_length`` and then, at each window, warns that it is set beside
    ``max_new_tokens``; and that suppressed tokens, which it takes out of the config, stand beside a config.
    """
    logger = logging.getLogger("transformers.generation.utils")

    def wanted(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_ABOUT_ITSELF)

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


@contextmanager
def _at_most(model: Any, passes: int) -> Iterator[None]:
    """Raise ``_StandsStillError`` when the encoder is asked once more than so often."""
    done = 0

    def count(*_: Any) -> None:
        nonlocal done
        done += 1
        if done > passes:
            raise _StandsStillError

    handle = model.get_encoder().register_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _heard(model: Any, processor: Any, waveform: np.ndarray, limit: int, **options: Any) -> _Said:
    """Return what was said in one utterance, by Whisper's rule, or window by window where the model stands still."""
    try:
        with settled(model, options["decoding"], limit), _quiet():
            return _one(model, processor, waveform, options["language"])
    except _StandsStillError:
        return _side_by_side(model, processor, waveform, **options)


def _one(model: Any, processor: Any, waveform: np.ndarray, language: str) -> _Said:
    """Return what was said in one utterance, by Whisper's rule.

    Raises:
        _StandsStillError: the model does not move on.
    """
    import numpy as np

    heard = processor.feature_extractor(
        waveform,
        sampling_rate=RATE,
        return_tensors="pt",
        truncation=False,
        padding="longest",
        return_attention_mask=True,
    )
    features = heard["input_features"].to(device=model.device, dtype=model.dtype)
    forced = {"language": language, "task": "transcribe"} if is_multilingual(model) else {}
    filled = -(-len(waveform) // processor.feature_extractor.n_samples)
    with _at_most(model, STANDSTILL * filled):
        found = model.generate(
            features,
            attention_mask=heard["attention_mask"].to(model.device),
            return_timestamps=True,
            return_segments=True,
            temperature=0.0,
            **forced,
        )
    segments = found["segments"][0]
    first_stamp = model.generation_config.no_timestamps_token_id + 1
    said = [token for segment in segments for token in segment["tokens"].tolist() if token < first_stamp]
    # All segments of a window share its result, which begins with the prompt; their idxs count from there.
    decoded = {id(part["result"]): part["result"][part["idxs"][0] :].cpu().numpy() for part in reversed(segments)}
    tokens, truncated, looped = 0, False, False
    for generated in decoded.values():
        counts, ended = until_end(generated[np.newaxis], model.generation_config.eos_token_id)
        text = [token for token in generated[: counts[0]].tolist() if token < first_stamp]
        tokens += int(counts[0])
        truncated |= not ended[0]
        looped |= is_loop(text, model.config.vocab_size)
    return _Said(processor.tokenizer.decode(said, skip_special_tokens=True).strip(), tokens, truncated, looped)


def _side_by_side(model: Any, processor: Any, waveform: np.ndarray, **options: Any) -> _Said:
    """Return what was said in windows that follow each other, each decoded once; cut words are lost."""
    extractor = processor.feature_extractor
    parts = [waveform[start : start + extractor.n_samples] for start in range(0, len(waveform), extractor.n_samples)]
    features = extractor(parts, sampling_rate=RATE, return_tensors="np")["input_features"]
    said = transcribe(model, processor, features, **options)
    text = " ".join(filter(None, (part.strip() for part in said.texts)))
    return _Said(text, int(said.tokens.sum()), True, bool(said.looped.any()))

"""Speech longer than the model's window, decoded window after window by Whisper's own rule. No torch on import.

Radford et al. 2022, section 3.8: each window begins where the last one's final time stamp ended. What makes Whisper's
rule depend on chance is off: no fallback to sampling at a higher temperature, no threshold that drops a window, and no
text of one window in the prompt of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark.errors import DataError
from benchmark.measure.decoding import Decoding, Transcripts, evaluation, is_loop, is_multilingual, room, transcribe

if TYPE_CHECKING:
    import numpy as np
    import torch

RATE = 16_000
_PROMPT = 3
"""Start, language and task; a prompt of time stamps has no more."""


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
        What was said; an utterance is ``truncated`` where one of its windows was, so that nothing ended it.

    Raises:
        DataError: the model has no time stamps to go on by.
        SpecError: the limit exceeds the model's positions.
    """
    import numpy as np
    import torch

    check_stamps(model)
    limit = room(model, _PROMPT, decoding)
    forced = {"language": language, "task": "transcribe"} if is_multilingual(model) else {}
    texts: list[str] = []
    tokens, cut, looped = (np.zeros(len(waveforms), kind) for kind in (np.int64, np.bool_, np.bool_))
    model.to(device)
    with evaluation(model), torch.inference_mode():
        for number, waveform in enumerate(waveforms):
            said, ended = _one(model, processor, waveform(), {**forced, "num_beams": decoding.beams}, limit)
            texts.append(processor.tokenizer.decode(said, skip_special_tokens=True).strip())
            tokens[number], cut[number] = len(said), not ended
            looped[number] = is_loop(said, model.config.vocab_size)
            if progress is not None:
                progress(number + 1)
    return Transcripts(texts, tokens, cut, looped, limit)


def check_stamps(model: Any) -> None:
    """Refuse a model that cannot go on from window to window.

    Raises:
        DataError: it has no time stamps.
    """
    if getattr(model.generation_config, "no_timestamps_token_id", None) is None:
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


def _one(
    model: Any, processor: Any, waveform: np.ndarray, options: dict[str, Any], limit: int
) -> tuple[list[int], bool]:
    """Return the tokens of one utterance without time stamps, and whether each of its windows ended by itself."""
    heard = processor.feature_extractor(
        waveform,
        sampling_rate=RATE,
        return_tensors="pt",
        truncation=False,
        padding="longest",
        return_attention_mask=True,
    )
    features = heard["input_features"].to(device=model.device, dtype=model.dtype)
    found = model.generate(
        features,
        attention_mask=heard["attention_mask"].to(model.device),
        return_timestamps=True,
        return_segments=True,
        condition_on_prev_tokens=False,
        temperature=0.0,
        do_sample=False,
        compression_ratio_threshold=None,
        logprob_threshold=None,
        no_speech_threshold=None,
        max_new_tokens=limit,
        **options,
    )
    first_stamp = model.generation_config.no_timestamps_token_id + 1
    segments = [segment["tokens"].tolist() for segment in found["segments"][0]]
    said = [token for segment in segments for token in segment if token < first_stamp]
    return said, all(len(segment) < limit for segment in segments)

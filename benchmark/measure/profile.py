"""Wall clock of artefacts, each interleaved with dense in one process. No torch on import.

A machine's speed drifts (clock, heat, neighbours), so an artefact is never compared with a dense that ran at another
time: each repeat times dense and then the artefact, and the speed-up is the median of these ratios.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark.errors import SpecError, nearest
from benchmark.forked import cores
from benchmark.measure.decoding import Decoding, evaluation, transcribe, windows

if TYPE_CHECKING:
    import numpy as np
    import torch

MIN_REPEATS = 3
"""A median and quartiles of fewer say nothing; the time budget gives way to them."""


@dataclass
class _Times:
    """Seconds per repeat: encoder (one batch) and all of generation; and the tokens that came out of one pass."""

    encoder: list[float] = field(default_factory=list)
    generate: list[float] = field(default_factory=list)
    tokens: int = 0


def profile_models(
    models: Mapping[str, tuple[Any, Any]],
    dense_name: str,
    features: np.ndarray,
    audio_seconds: float,
    *,
    language: str,
    decoding: Decoding,
    repeats: int = 5,
    seconds: float = 10.0,
    device: str | torch.device = "cpu",
    progress: Callable[[str, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Time encoder and generation of every artefact, at batch 1 and at ``decoding.batch``.

    Args:
        models: ``(model, processor)`` by name, dense among them.
        dense_name: which of them is dense.
        features: log-mel windows, shape ``(N, mels, frames)``; every timing decodes all of them.
        audio_seconds: seconds of speech in them without padding, so that RTFx = ``audio_seconds`` / seconds.
        language: Whisper's code, see ``transcribe``.
        decoding: how, and the batch.
        repeats: pairs (dense, artefact) at each batch after a warm-up; at least ``MIN_REPEATS``.
        seconds: time for the pairs of one artefact at one batch; after ``MIN_REPEATS`` no pair starts beyond it.
        device: where to compute.
        progress: called after each pair with the artefact's name and the pairs done at this batch.

    Returns:
        One row an artefact and batch, dense first, batch 1 first: ``artefact``, ``batch``, ``repeats``,
        ``encoder_ms`` (per window), ``generate_s``, ``rtfx``, each a median with ``_lo`` and ``_hi`` (quartiles),
        ``speedup`` and ``encoder_speedup`` (median of paired ratios, with quartiles; 1 for dense), ``tokens``,
        ``utterances``, ``audio_seconds``, ``device``, ``dtype``. Dense is the same model in all its pairs, and its row
        is made of all of them.

    Raises:
        SpecError: ``dense_name`` is not among the models, too few repeats, or nothing to decode.
    """
    if dense_name not in models:
        raise SpecError(f"no artefact {dense_name!r} to compare with{nearest(dense_name, models)}")
    if repeats < MIN_REPEATS or not len(features):
        raise SpecError(f"repeats = {repeats} over {len(features)} windows: at least {MIN_REPEATS} over 1 are needed")

    def time_one(name: str, batch: int, into: _Times) -> None:
        _time(*models[name], features, language, decoding.model_copy(update={"batch": batch}), device, into)

    others = [name for name in models if name != dense_name]
    batches = sorted({1, min(decoding.batch, len(features))})
    found = {
        (name, batch): _interleave(time_one, dense_name, name, batch, repeats, seconds, progress)
        for name in others or [dense_name]
        for batch in batches
    }
    about = {"utterances": len(features), "audio_seconds": audio_seconds, "device": device_key(device)}
    dense = {batch: _merged([times for (_, size), (times, _) in found.items() if size == batch]) for batch in batches}
    rows = [_row(dense_name, models[dense_name][0], batch, dense[batch], dense[batch], about) for batch in batches]
    return rows + [
        _row(name, models[name][0], batch, *found[name, batch], about) for name in others for batch in batches
    ]


def _interleave(
    time_one: Callable[[str, int, _Times], None],
    dense_name: str,
    name: str,
    batch: int,
    repeats: int,
    seconds: float,
    progress: Callable[[str, int], None] | None,
) -> tuple[_Times, _Times]:
    """Time dense, artefact, dense, artefact, ... at one batch; dense by itself is timed once a repeat."""
    dense, ours = _Times(), _Times()
    pair = {dense_name: dense, name: ours}
    for one in pair:
        time_one(one, batch, _Times())  # warm-up: first calls allocate, and pick kernels
    calls = [partial(time_one, one, batch, into) for one, into in pair.items()]
    _alternate(calls, repeats, seconds, None if progress is None else partial(progress, name))
    return pair[dense_name], ours


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    *,
    warm_up: bool = True,
    device: str | torch.device = "cpu",
) -> dict[str, list[float]]:
    """Return the seconds of each call by its name, ``repeats`` of each: first, second, ..., first, second, ...

    The k-th times of all calls stand side by side: a ratio is the median of their ratios, not a ratio of medians.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}

    def time_one(name: str) -> None:
        began = _now(device)
        calls[name]()
        times[name].append(_now(device) - began)

    for call in calls.values() if warm_up else ():
        call()
    _alternate([partial(time_one, name) for name in calls], repeats, math.inf, None)
    return times


def paired_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the ratios of times that stand side by side."""
    import numpy as np

    return float(np.median(np.array(above) / np.array(below)))


def _alternate(
    calls: Sequence[Callable[[], None]], repeats: int, seconds: float, after: Callable[[int], None] | None
) -> None:
    """Make all calls in turn, again and again; after ``MIN_REPEATS`` rounds none starts beyond ``seconds``."""
    began = time.perf_counter()
    for done in range(1, repeats + 1):
        for call in calls:
            call()
        if after is not None:
            after(done)
        if done >= MIN_REPEATS and time.perf_counter() - began >= seconds:
            break


def device_key(device: str | torch.device = "cpu") -> str:
    """Return a short stable name of what computes, e.g. ``cpu-intel-xeon-8481c-2c-t1`` or ``cuda-nvidia-h200``.

    On a CPU: its name, the cores that this process may use, and torch's threads. Timings are compared only inside one
    key.
    """
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return f"cuda-{_slug(torch.cuda.get_device_name(device))}"
    if kind != "cpu":
        return kind
    return f"cpu-{_slug(_cpu_name())}-{cores()}c-t{torch.get_num_threads()}"


def _cpu_name() -> str:
    import platform
    from pathlib import Path

    listing = Path("/proc/cpuinfo")
    text = listing.read_text(errors="replace") if listing.exists() else ""  # Linux only, and without a name on ARM
    named = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def _slug(name: str) -> str:
    plain = re.sub(r"\((r|tm|c)\)|\bcpu\b|\bprocessor\b|@.*$", " ", name.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _time(
    model: Any,
    processor: Any,
    features: np.ndarray,
    language: str,
    decoding: Decoding,
    device: str | torch.device,
    into: _Times,
) -> None:
    """Time one encoder batch and one pass over all windows."""
    import torch

    model.to(device)
    batch = windows(model, features[: decoding.batch])
    with evaluation(model), torch.inference_mode():
        began = _now(device)
        model.get_encoder()(batch)
        into.encoder.append(_now(device) - began)
    began = _now(device)
    said = transcribe(model, processor, features, language=language, decoding=decoding, device=device)
    into.generate.append(_now(device) - began)
    into.tokens = int(said.tokens.sum())


def _now(device: str | torch.device) -> float:
    """Return seconds once all queued work is done: a GPU answers before it has computed."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _merged(times: list[_Times]) -> _Times:
    return _Times(
        [second for one in times for second in one.encoder],
        [second for one in times for second in one.generate],
        times[0].tokens,
    )


def _row(name: str, model: Any, batch: int, dense: _Times, ours: _Times, about: Mapping[str, Any]) -> dict[str, Any]:
    import numpy as np

    encoder, generate = np.array(ours.encoder), np.array(ours.generate)
    return {
        "artefact": name,
        "batch": batch,
        "repeats": len(generate),
        **_spread("encoder_ms", 1e3 * encoder / batch),
        **_spread("generate_s", generate),
        **_spread("rtfx", about["audio_seconds"] / generate),
        **_spread("speedup", np.array(dense.generate) / generate),
        **_spread("encoder_speedup", np.array(dense.encoder) / encoder),
        "tokens": ours.tokens,
        "dtype": str(model.dtype).removeprefix("torch."),
        **about,
    }


def _spread(name: str, values: np.ndarray) -> dict[str, float]:
    """Return median and quartiles of a sample under three names."""
    import numpy as np

    lo, middle, hi = np.quantile(values, (0.25, 0.5, 0.75))
    return {name: float(middle), f"{name}_lo": float(lo), f"{name}_hi": float(hi)}

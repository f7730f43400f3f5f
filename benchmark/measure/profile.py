"""Wall clock of artefacts, each interleaved with dense in one process. No torch on import.

A machine's speed drifts (clock, heat, neighbours), so an artefact is never compared with a dense that ran at another
time: each repeat times dense and then the artefact, and the speed-up is the median of these ratios. An artefact is
opened when its turn comes and let go of after it, so that a leaderboard of any length needs the memory of two models.
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
from benchmark.measure.decoding import Cache, Decoding, evaluation, transcribe, windows

if TYPE_CHECKING:
    import numpy as np
    import torch

Loader = Callable[[], tuple[Any, Any]]
"""Opens a model and its processor."""
MIN_REPEATS = 3
"""A median and quartiles of fewer say nothing; the time budget gives way to them."""


@dataclass
class _Times:
    """Seconds per repeat: encoder (one batch) and all of generation; and the tokens that came out of one pass."""

    encoder: list[float] = field(default_factory=list)
    generate: list[float] = field(default_factory=list)
    tokens: int = 0


def profile_models(
    models: Mapping[str, Loader],
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
        models: what opens ``(model, processor)`` by name, dense among them; but for dense, one is open at a time.
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
        ``utterances``, ``audio_seconds``, ``device``, ``cache``, ``dtype``. Dense is the same model in all its pairs,
        and its row is made of all of them.

    Raises:
        SpecError: ``dense_name`` is not among the models, too few repeats, or nothing to decode.
    """
    if dense_name not in models:
        raise SpecError(f"no artefact {dense_name!r} to compare with{nearest(dense_name, models)}")
    if repeats < MIN_REPEATS or not len(features):
        raise SpecError(f"repeats = {repeats} over {len(features)} windows: at least {MIN_REPEATS} over 1 are needed")
    passes = _Passes(features, language, decoding, device, repeats, seconds, progress)
    dense = models[dense_name]()
    others = {name: opens for name, opens in models.items() if name != dense_name}
    found = [passes.beside(dense, name, opens) for name, opens in (others or {dense_name: lambda: dense}).items()]
    merged = {batch: _merged([one.pairs[batch][0] for one in found]) for batch in passes.batches}
    whole = _Beside(dense_name, _dtype(dense), {batch: (times, times) for batch, times in merged.items()})
    shown = [whole, *found] if others else [whole]
    about = passes.about(audio_seconds)
    return [_row(one.name, one.dtype, batch, *pair, about) for one in shown for batch, pair in one.pairs.items()]


@dataclass(frozen=True)
class _Beside:
    """An artefact's times: by batch, those of dense in turn with it and its own."""

    name: str
    dtype: str
    pairs: dict[int, tuple[_Times, _Times]]


@dataclass(frozen=True)
class _Passes:
    """What all timings of one profile share."""

    features: np.ndarray
    language: str
    decoding: Decoding
    device: str | torch.device
    repeats: int
    seconds: float
    progress: Callable[[str, int], None] | None

    @property
    def batches(self) -> list[int]:
        return sorted({1, min(self.decoding.batch, len(self.features))})

    def about(self, audio_seconds: float) -> dict[str, Any]:
        """Return what is the same in all rows."""
        cache = self.decoding.cache
        return {
            "utterances": len(self.features),
            "audio_seconds": audio_seconds,
            "device": device_key(self.device, cache),
            "cache": cache,
        }

    def beside(self, dense: tuple[Any, Any], name: str, opens: Loader) -> _Beside:
        """Time an artefact, or dense by itself, at each batch; what was opened is let go of here."""
        ours = opens()
        return _Beside(
            name, _dtype(ours), {batch: self._interleave(dense, ours, name, batch) for batch in self.batches}
        )

    def _interleave(
        self, dense: tuple[Any, Any], ours: tuple[Any, Any], name: str, batch: int
    ) -> tuple[_Times, _Times]:
        """Time dense, artefact, dense, artefact, ... at one batch; dense by itself is timed once a repeat."""
        first = _Times()
        second = first if ours is dense else _Times()
        pair = [(dense, first)] if ours is dense else [(dense, first), (ours, second)]
        for one, _ in pair:
            self._time(one, batch, _Times())  # warm-up: first calls allocate, and pick kernels
        calls = [partial(self._time, one, batch, into) for one, into in pair]
        after = None if self.progress is None else partial(self.progress, name)
        _alternate(calls, self.repeats, self.seconds, after)
        return first, second

    def _time(self, opened: tuple[Any, Any], batch: int, into: _Times) -> None:
        asked = self.decoding.model_copy(update={"batch": batch})
        _time(*opened, self.features, self.language, asked, self.device, into)


def _dtype(opened: tuple[Any, Any]) -> str:
    return str(opened[0].dtype).removeprefix("torch.")


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


def device_key(device: str | torch.device = "cpu", cache: Cache = "dynamic") -> str:
    """Return a short stable name of what computes, e.g. ``cpu-intel-xeon-8481c-2c-t1`` or ``cuda-nvidia-h200``.

    On a CPU: its name, the cores that this process may use, and torch's threads. A static cache, for which other code
    runs, is said at the end (``-static-cache``). Timings are compared only inside one key.
    """
    return _computes(device) + ("" if cache == "dynamic" else f"-{cache}-cache")


def _computes(device: str | torch.device) -> str:
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


def _row(name: str, dtype: str, batch: int, dense: _Times, ours: _Times, about: Mapping[str, Any]) -> dict[str, Any]:
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
        "dtype": dtype,
        **about,
    }


def _spread(name: str, values: np.ndarray) -> dict[str, float]:
    """Return median and quartiles of a sample under three names."""
    import numpy as np

    lo, middle, hi = np.quantile(values, (0.25, 0.5, 0.75))
    return {name: float(middle), f"{name}_lo": float(lo), f"{name}_hi": float(hi)}

"""What a study can aim at or be bounded by: numbers of a record, of its scores, or of its timing. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmark.errors import nearest

Direction = Literal["minimize", "maximize"]
Source = Literal["score", "record", "timing"]


@dataclass(frozen=True)
class Metric:
    """One number of a trial: where it comes from, which way it is better, and how it is shown."""

    source: Source
    path: tuple[str, ...]
    """Where it stands: in the record, in its timing row, or (scores) the name of the rate."""
    title: str
    direction: Direction = "minimize"
    percent: bool = False


def _counts(name: str, title: str) -> Metric:
    return Metric("record", ("counts", name), title)


METRICS: dict[str, Metric] = {
    "error": Metric("score", ("error",), "error rate in the normaliser's unit", percent=True),
    "wer": Metric("score", ("wer",), "WER", percent=True),
    "cer": Metric("score", ("cer",), "CER", percent=True),
    "params_nominal": _counts("params_nominal", "parameters that are not zero"),
    "params_stored": _counts("params_stored", "parameters as stored"),
    "bytes": _counts("bytes", "bytes as stored"),
    "weight_bytes": _counts("weight_bytes", "bytes of weights in memory"),
    "macs_encoder": Metric("record", ("counts", "macs", "encoder"), "MACs of the encoder, a window"),
    "macs_decoder_token": Metric("record", ("counts", "macs", "decoder_token"), "MACs of the decoder, a token"),
    "macs": Metric("record", ("counts", "macs", "+encoder+cross_kv+decoder_token"), "MACs up to the first token"),
    "density_nominal": Metric("record", ("plan", "nominal"), "prunable weights that are not zero", percent=True),
    "density_stored": Metric("record", ("plan", "stored"), "prunable weights as stored", percent=True),
    "speedup": Metric("timing", ("speedup",), "speed against dense", "maximize"),
    "rtfx": Metric("timing", ("rtfx",), "seconds of audio a second", "maximize"),
    "encoder_ms": Metric("timing", ("encoder_ms",), "milliseconds of the encoder"),
    "peak_memory": Metric("timing", ("peak_memory",), "peak bytes of inference"),
}


def direction_of(name: str) -> Direction:
    """Return which way a metric is better."""
    return METRICS[name].direction


def check_metrics(objectives: Iterable[str], constraints: Mapping[str, float], reference: Mapping[str, float]) -> None:
    """Refuse what no record can say, and what is said twice.

    Raises:
        ValueError: an unknown metric (the nearest is suggested), one twice, or a reference for no objective.
    """
    aims = list(objectives)
    for name in (*aims, *constraints):
        if name not in METRICS:
            raise ValueError(f"no record has {name!r}{nearest(name, METRICS)}")
    if len(set(aims)) < len(aims):
        raise ValueError(f"objective {max(aims, key=aims.count)!r} is named twice")
    for name in reference:
        if name not in aims:
            raise ValueError(f"reference: {name!r} is no objective of this study{nearest(name, aims)}")
    for name in constraints:
        if METRICS[name].direction == "maximize":
            raise ValueError(f"constraints are largest values, and {name!r} is better the larger it is; leave it out")

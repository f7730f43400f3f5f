"""A run folder of invented records, for tests of the store and the reports: no model was ever trained for it.

``python -m tests.fake_runs FOLDER`` writes one to look at.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.api import Normalizer
from benchmark.store.files import write_atomically
from benchmark.store.folders import open_run
from benchmark.store.naming import short_hash
from benchmark.store.records import MODEL, Attempt, Record
from benchmark.store.timings import write_timing

KEEPS = (0.8, 0.6, 0.4)
MASK = ("random", "magnitude", "imp", "sgl_adaptive")
STORED = ("random_structured", "l1_group", "sgl_adaptive")
DEVICE = "fake-cpu-2t"
PRUNABLE, DENSE = 1_179_648, 1_480_704
_WER = {  # invented: error of a word at kept fractions 0.8, 0.6, 0.4
    ("mask", "random"): (0.42, 0.97, 1.9),
    ("mask", "magnitude"): (0.05, 0.055, 0.12),
    ("mask", "imp"): (0.048, 0.05, 0.08),
    ("mask", "sgl_adaptive"): (0.05, 0.07, 0.11),
    ("stored", "random_structured"): (0.35, 0.72, 1.3),
    ("stored", "l1_group"): (0.07, 0.16, 0.38),
    ("stored", "sgl_adaptive"): (0.06, 0.11, 0.24),
}
_WORDS = "नमस्ते यह एक छोटा सा वाक्य है जो सिर्फ़ परीक्षा के लिए लिखा गया पाँच सौ पानी घर बाज़ार किताब".split()  # noqa: SIM905


class Plain(Normalizer):
    """Collapses white space; stands in for a real normaliser."""

    name = "plain"

    def __call__(self, text: str) -> str:
        """Return the text with single spaces."""
        return " ".join(text.split())


def spec(method: str = "dense", kind: str = "none", keep: float | None = None, **changes: Any) -> dict[str, Any]:
    """Return the spec of an invented cell."""
    return {
        "model": {"name": "fake-nano", "revision": "fake", "options": {}},
        "corpus": {"name": "fake-hi", "version": "1", "language": "hi", "options": {}},
        "method": {"name": method, "options": {}},
        "budget": {"kind": kind, "keep": keep, "tolerance": 0.005},
        "training": {"steps": 120, "batch": 16, "learning_rate": 2e-4},
        "decoding": {"beams": 1},
        "seed": 0,
        **changes,
    }


def ok_data(cell_spec: dict[str, Any], stored: float = 1.0, nominal: float = 1.0) -> dict[str, Any]:
    """Return the content of a finished record, but for its transcripts."""
    keep = cell_spec["budget"]["keep"]
    gone, masked = round((1 - stored) * PRUNABLE), round((1 - nominal) * PRUNABLE)
    trained = cell_spec["training"] is not None
    return {
        "status": "ok",
        "error": None,
        "spec": cell_spec,
        "plan": {"digest": short_hash([stored, nominal]), "nominal": nominal, "stored": stored},
        "counts": {
            "prunable": PRUNABLE,
            "prunable_nonzero": PRUNABLE - masked,
            "prunable_stored": PRUNABLE - gone,
            "params_dense": DENSE,
            "params_nominal": DENSE - masked,
            "params_stored": DENSE - gone,
            "bytes": 4 * (DENSE - gone) + 9_000,
            "macs": {
                "encoder": round(190e6 * (0.15 + 0.85 * stored)),
                "cross_kv": round(10e6 * stored),
                "decoder_token": round(0.8e6 * (0.4 + 0.6 * stored)),
                "position": 24,
                "backend": "fake",
            },
        },
        "budget": {
            **{part: cell_spec["budget"][part] for part in ("kind", "tolerance")},
            **{"asked": keep, "reached": keep, "denominator": PRUNABLE},
        },
        "training": {
            "steps": 120 if trained else 0,
            "utterances": 1920 if trained else 0,
            "tokens": 40_320 if trained else 0,
            "calibration_passes": 0,
            "seconds": 31.5 if trained else 0.0,
            "nodes": [],
        },
        "data": {},
        "decoding": {"signature": "greedy,max=44"},
        "environment": {"device": "fake-cpu", "threads": 1, "versions": {}, "commit": "0000000"},
        "seconds": 44.0,
    }


def spoil(texts: Sequence[str], error: float, rng: np.random.Generator) -> list[str]:
    """Return hypotheses whose word error rate is about ``error``; above 1 they run away."""

    def one(text: str) -> str:
        wrong = rng.random(len(text.split())) < min(error, 1)
        words = [str(rng.choice(_WORDS)) + "ं" if bad else word for word, bad in zip(text.split(), wrong, strict=True)]
        return " ".join(words + ["आ"] * rng.poisson(max(error - 1, 0) * len(words)))

    return [one(text) for text in texts]


def sentences(split: str, count: int) -> list[str]:
    """Return the same invented references every time."""
    rng = np.random.default_rng(sum(split.encode()))
    return [" ".join(rng.choice(_WORDS, size=rng.integers(4, 10))) for _ in range(count)]


def commit(
    run: Path, data: dict[str, Any], error: float, splits: dict[str, int] | None = None, salt: str = ""
) -> Record:
    """Write one finished attempt with transcripts of the given error; ``salt`` changes the hash of its test data."""
    attempt = Attempt.create(run, short_hash(data["spec"]) * 2, data["spec"])
    rng = np.random.default_rng(abs(int(short_hash(data["spec"]), 16)))
    write_atomically(attempt.path / MODEL, b"no weights: this is a fake")
    for split, count in (splits or {"test": 80, "test-unseen-voice": 40}).items():
        texts = sentences(split, count)
        said = spoil(texts, error * (1 if split == "test" else 1.8), rng)
        columns = {
            "id": [f"{split}-{number}" for number in range(count)],
            "speaker": ["fake"] * count,
            "reference": texts,
            "hypothesis": said,
            "tokens": [len(text) for text in said],
            "truncated": [len(h.split()) > 1.5 * len(t.split()) for h, t in zip(said, texts, strict=True)],
        }
        name = attempt.write_transcripts("fake-hi", "hi", split, columns)
        data["data"][split] = {"hash": short_hash([split, count, salt]), "utterances": count, "transcripts": name}
    return attempt.commit(data)


def fail(run: Path, cell_spec: dict[str, Any], message: str) -> Record:
    """Write one failed attempt."""
    error = {"type": "BudgetMissedError", "message": message}
    attempt = Attempt.create(run, short_hash(cell_spec) * 2, cell_spec)
    return attempt.commit({"status": "failed", "error": error, "spec": cell_spec, "seconds": 3.0})


def make(run: Path, keeps: Sequence[float] = KEEPS) -> Path:
    """Fill ``run`` with the default leaderboard's rows, one of them failed, and timings; return it."""
    open_run(run, create=True)
    done = [commit(run, ok_data(spec()), 0.047), commit(run, ok_data(spec("shipped", training=None)), 0.05)]
    for block, methods, kind in (("mask", MASK, "prunable_nominal"), ("stored", STORED, "prunable_stored")):
        for method in methods:
            for number, keep in enumerate(keeps):
                cell = spec(method, kind, keep)
                if (method, keep) == ("l1_group", 0.4):
                    fail(run, cell, "asked prunable_stored@0.4, reached 0.431 <script>alert('x')</script> | too far")
                    continue
                data = ok_data(cell, nominal=keep, stored=keep if block == "stored" else 1.0)
                done.append(commit(run, data, _WER[block, method][number]))
    rows = []
    for record in done:
        speedup = 1 / (0.2 + 0.8 * record.data["plan"]["stored"])
        timed = {"batch": 8, "rtfx": 90 * speedup, "rtfx_lo": 85 * speedup, "rtfx_hi": 95 * speedup}
        rows.append({"cell": record.cell, "attempt": record.attempt, **timed, "speedup": speedup, "encoder_ms": 9.0})
    write_timing(run, DEVICE, rows, {"note": "invented"})
    return run


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))

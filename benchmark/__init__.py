"""prunebench: the common Whisper harness. Importing it is torch-free; heavy modules load on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.registry import REGISTRY

if TYPE_CHECKING:
    from benchmark.harness.run import run as run
    from benchmark.store.frame import frame as frame
    from benchmark.store.score import score as score
    from benchmark.whisper.compress import compress as compress
    from benchmark.whisper.files import load as load
    from benchmark.whisper.files import save as save

__version__ = "0.1.0"

register = REGISTRY.register
get = REGISTRY.get
names = REGISTRY.names

_LAZY = {
    "compress": "benchmark.whisper.compress",
    "save": "benchmark.whisper.files",
    "load": "benchmark.whisper.files",
    "run": "benchmark.harness.run",
    "frame": "benchmark.store.frame",
    "score": "benchmark.store.score",
}

__all__ = ["__version__", "get", "names", "register", *_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)

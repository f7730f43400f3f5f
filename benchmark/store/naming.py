"""How a configuration is called in tables: short hashes and labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from benchmark.registry import REGISTRY
from benchmark.specs import COMPOSE


def short_hash(value: Any) -> str:
    """Return eight hex digits that stand for JSON data; empty for None."""
    if value is None:
        return ""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]


def label(method: str, options: Mapping[str, Any]) -> str:
    """Return e.g. ``imp[rounds=3]``: the method's name with the options that were set; parts are joined by ``+``."""
    if method == COMPOSE:
        parts = options.get("parts") or REGISTRY.get("method", COMPOSE).config.model_dump()["parts"]
        return "+".join(label(part["name"], part.get("options") or {}) for part in parts)
    listed = ",".join(f"{key}={value}" for key, value in sorted(options.items()))
    return f"{method}[{listed}]" if listed else method

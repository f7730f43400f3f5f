"""Seeds by declared dependence: a seed is a hash of the things it may depend on, never a draw from a global stream."""

from __future__ import annotations

import hashlib


def derive(*parts: int | str) -> int:
    """Return a 63-bit seed that is a function of ``parts`` alone, equal on every machine and Python version."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1

"""Names for pictures, which have less room than a table."""

from __future__ import annotations

LONGEST = 42
"""Characters that a name in a picture has; what is longer loses its middle (the table has it whole)."""


def shortened(name: str, longest: int = LONGEST) -> str:
    """Return a name of at most ``longest`` characters, without its middle where it is too long.

    Both ends stay: a method's name stands first, and the option that tells two variants apart is often the last.
    """
    if len(name) <= longest:
        return name
    tail = longest // 3
    return f"{name[: longest - tail - 1]}…{name[-tail:]}"

"""What a bootstrap drew anew, in words."""

from __future__ import annotations


def resampled(units: str, seeds: int, *, most: bool = False) -> str:
    """Return what was drawn: ``units`` (as a frame's ``<split>_resampled`` says it) and seeds, where there are several.

    ``most``: no entry has more seeds than these, and some may have fewer.
    """
    if seeds < 2:
        return units
    return f"{units} and of up to {seeds} seeds" if most else f"{units} and {seeds} seeds"

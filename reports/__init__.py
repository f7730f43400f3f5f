"""Tables and plots from records."""

from __future__ import annotations

from pathlib import Path

from benchmark.registry import REGISTRY


def write_all(run: Path | str, out: Path | str, normalizer: str) -> list[Path]:
    """Write every registered report of a run folder into ``out`` and return the paths written.

    Raises:
        StoreError: a run folder or record that cannot be used, or ``out`` cannot be written.
        SpecError: no such normaliser.
    """
    from benchmark.errors import StoreError
    from benchmark.store.frame import frame

    table = frame(run, normalizer=normalizer)
    try:
        return [path for name in REGISTRY.names("report") for path in REGISTRY.get("report", name).write(table, out)]
    except OSError as error:
        raise StoreError(f"{out}: cannot be written ({error.strerror}); give a folder you may write to") from error

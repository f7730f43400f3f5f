"""Where the model of an attempt lies: a folder's path is in the specs of the run folder, and in no record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmark.errors import PrunebenchError, StoreError
from benchmark.registry import REGISTRY
from benchmark.store.folders import MARKER, kept_specs


def model_options(attempt: Path, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that open an attempt's model here.

    What a record leaves out, because it is a place on one machine, is that of the spec which names the cell, or of
    another spec of the run; it counts only where the model there has the record's revision.

    Args:
        attempt: the attempt's folder.
        model: ``model`` of its spec, with ``name``, ``options`` and ``revision``.

    Raises:
        SpecError: no such model plug-in.
        StoreError: no spec of the run knows a place, or the model is not there any more.
    """
    name, options = str(model["name"]), dict(model.get("options") or {})
    missing = REGISTRY.lookup("model", name).places(options) - options.keys()
    if not missing:
        return options
    tried = []
    for given in _offers(attempt, name):
        if given.keys() >= missing:
            candidate = {**options, **{key: given[key] for key in missing}}
            try:
                if REGISTRY.get("model", name, **candidate).revision == model.get("revision"):
                    return candidate
            except PrunebenchError:  # it is not there, or something else is
                pass
            tried += [str(given[key]) for key in sorted(missing)]
    where = f"looked at {', '.join(dict.fromkeys(tried))}" if tried else "no spec of its run says where"
    raise StoreError(
        f"{attempt}: made from a folder with model {name!r} of revision {model.get('revision')}, which is not found "
        f"here ({where}); put the folder back, or run its spec again with {', '.join(sorted(missing))} set"
    )


def _offers(attempt: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield the options of a model in the specs of an attempt's run, those that name the cell first."""
    path = attempt.resolve()
    if len(path.parents) < 3 or not (path.parents[2] / MARKER).is_file():
        return
    run, cell = path.parents[2], path.parent.name
    for kept in [*kept_specs(run, cell), *kept_specs(run)]:
        model = kept.get("model")
        if isinstance(model, dict) and model.get("name") == name and isinstance(model.get("options"), dict):
            yield model["options"]

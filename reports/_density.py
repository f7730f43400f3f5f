"""Where a plan removes: the share of each prunable matrix that is left, nominal and stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import DataError, SpecError, StoreError
from benchmark.registry import REGISTRY
from benchmark.store.records import PLAN, folder_of, read_record
from benchmark.store.sources import model_options

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.whisper.structure import Structure

_BLOCKS = {"self_attn": "self ", "encoder_attn": "cross ", "ffn": ""}


@dataclass(frozen=True)
class Unknown:
    """Why it cannot be said where a plan removes: a part of a sentence."""

    why: str


def densities(row: Mapping[Any, Any]) -> pd.DataFrame | Unknown:
    """Return the shares of a cell's or entry's prunable matrices that are left, by its plan, one row a matrix.

    Columns: ``stack`` (encoder or decoder), ``layer``, ``part`` (``self q``, ``cross out``, ``fc1`` ...), ``nominal``
    (weights that are not exactly zero) and ``stored`` (weights as saved), both as fractions of the dense matrix; two
    factors of a matrix may be more than it was. Not to be changed: page and picture share them.

    Unknown where no plan is kept, or the model's shapes are not known on this machine (``Model.structure``): a report
    fetches no checkpoint to learn them.

    Raises:
        StoreError: the record or the plan cannot be read.
    """
    return _densities(folder_of(row))


@lru_cache(maxsize=512)
def _densities(folder: Path) -> pd.DataFrame | Unknown:
    import pandas as pd

    if not (folder / PLAN).is_file():
        return Unknown("no plan is kept (in a bundle, plans are there if it was made with --plans)")
    data = read_record(folder).data
    asked = data["spec"]["model"]
    try:
        options = model_options(folder, asked)
    except (SpecError, StoreError) as error:
        return Unknown(f"the shapes of the model are not known here ({error})")
    found = _structure(str(asked["name"]), json.dumps(options, sort_keys=True))
    if isinstance(found, Unknown):
        return found

    from benchmark.whisper.plan import Plan

    plan = Plan.load(folder / PLAN)
    counted = (data.get("counts") or {}).get("prunable", found.prunable)
    try:
        plan.validate(found)
        same = counted == found.prunable
    except SpecError:
        same = False
    if not same:
        return Unknown(f"the model {_called(asked)} has other matrices here than the one that was pruned")
    shares = [
        (
            *(matrix.stack, matrix.layer, f"{_BLOCKS[matrix.block]}{matrix.kind}"),
            *(plan.nonzero_of(matrix) / matrix.size, plan.stored_of(matrix) / matrix.size),
        )
        for matrix in found.matrices
    ]
    return pd.DataFrame(shares, columns=["stack", "layer", "part", "nominal", "stored"])


@lru_cache(maxsize=32)
def _structure(name: str, options: str) -> Structure | Unknown:
    """Return the matrices of a model as its plug-in knows them without weights; ``options`` are JSON."""
    given = json.loads(options)
    try:
        found = REGISTRY.get("model", name, **given).structure()
    except (SpecError, DataError) as error:
        return Unknown(f"the shapes of the model are not known here ({error})")
    if found is None:
        called = _called({"name": name, "options": given})
        return Unknown(f"the configuration of the model {called} is not on this machine, and a report fetches nothing")
    return found


def _called(asked: Mapping[str, Any]) -> str:
    """Return a model's name and options as a text."""
    options = ", ".join(f"{name}={value}" for name, value in sorted((asked.get("options") or {}).items()))
    return f"{asked['name']} ({options})" if options else str(asked["name"])

"""Where a plan removes: the share of each prunable matrix that is left, nominal and stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benchmark.registry import REGISTRY
from benchmark.store.records import PLAN, folder_of

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.whisper.structure import Structure

_BLOCKS = {"self_attn": "self ", "encoder_attn": "cross ", "ffn": ""}


def densities(row: Mapping[Any, Any]) -> pd.DataFrame | None:
    """Return the shares of a cell's or entry's prunable matrices that are left, by its plan, one row a matrix.

    Columns: ``stack`` (encoder or decoder), ``layer``, ``part`` (``self q``, ``cross out``, ``fc1`` ...), ``nominal``
    (weights that are not exactly zero) and ``stored`` (weights as saved), both as fractions of the dense matrix; two
    factors of a matrix may be more than it was.

    None where no plan is kept, or the model is not embedded: a report fetches no checkpoint to learn its shapes.

    Raises:
        SpecError: the plan is not of this model.
        StoreError: the plan cannot be read.
    """
    import pandas as pd

    path = folder_of(row) / PLAN
    structure = _structure(str(row["model"]))
    if structure is None or not path.is_file():
        return None

    from benchmark.whisper.plan import Plan

    plan = Plan.load(path)
    found = [
        (
            *(matrix.stack, matrix.layer, f"{_BLOCKS[matrix.block]}{matrix.kind}"),
            *(plan.nonzero_of(matrix) / matrix.size, plan.stored_of(matrix) / matrix.size),
        )
        for matrix in structure.matrices
    ]
    return pd.DataFrame(found, columns=["stack", "layer", "part", "nominal", "stored"])


@lru_cache(maxsize=8)
def _structure(model: str) -> Structure | None:
    """Return the matrices of an embedded model; None for every other."""
    if model not in REGISTRY.names("model") or not REGISTRY.lookup("model", model).embedded:
        return None

    from benchmark.whisper.structure import Structure

    return Structure.of(REGISTRY.get("model", model).load()[0])

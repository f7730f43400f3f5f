"""What a record of somebody else's must satisfy by itself: its id, its counts and its budget follow from each other.

This finds slips and careless edits. It is no proof: who can run the suite can also invent a consistent record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, StrictInt, ValidationError

from benchmark.errors import SpecError
from benchmark.reading import parse_as
from benchmark.specs import COMPOSE, IDENTITY_VERSION, Cell, digest
from benchmark.store.frame import FROM_RECORD, dig
from benchmark.store.records import Record

CLOSE = 1e-9
_Count = Field(ge=0)
_COUNTED = {"prunable_nominal": "prunable_nonzero", "prunable_stored": "prunable_stored"}


class _Macs(BaseModel):
    encoder: StrictInt = _Count
    cross_kv: StrictInt = _Count
    decoder_token: StrictInt = _Count


class _Counts(BaseModel):
    prunable: StrictInt = Field(gt=0)
    prunable_nonzero: StrictInt = _Count
    prunable_stored: StrictInt = _Count
    params_dense: StrictInt = Field(gt=0)
    params_nominal: StrictInt = _Count
    params_stored: StrictInt = Field(gt=0)
    bytes: StrictInt = Field(gt=0)
    macs: _Macs


class _Plan(BaseModel):
    nominal: float = Field(ge=0, le=1)
    stored: float = Field(ge=0, le=1)


class _Reached(BaseModel):
    kind: str
    asked: float | None
    reached: float | None
    denominator: StrictInt


class _Trained(BaseModel):
    steps: StrictInt = _Count
    seconds: float = Field(ge=0, allow_inf_nan=False)


class _Result(BaseModel):
    """The part of a result's record that is counted; what it holds besides is nobody's number."""

    counts: _Counts
    plan: _Plan
    budget: _Reached
    training: _Trained


def fault(record: Record) -> str | None:
    """Return what does not fit in a record, in a few words; None where all does."""
    spec = record.data["spec"]
    if spec.get("identity") != IDENTITY_VERSION:
        return f"its spec is of identity {spec.get('identity')!r:.20}, and this prunebench reads {IDENTITY_VERSION}"
    try:
        cell = parse_as(Cell, {key: value for key, value in spec.items() if key != "identity"}, "spec")
    except SpecError as error:
        return str(error)
    if cell.id != record.cell or digest(spec)[:16] != record.cell:
        return f"its spec is that of cell {cell.id}"
    if cell.method.name == COMPOSE and not _has_parts(cell.method.options):
        return "its composition has parts without a name or with options that are no mapping"
    return _types_fault(record) or (_counts_fault(record, cell) if record.ok else None)


def _has_parts(options: Mapping[str, Any]) -> bool:
    parts = options.get("parts", [])
    return isinstance(parts, list) and all(
        isinstance(part, dict) and isinstance(part.get("name"), str) and isinstance(part.get("options") or {}, dict)
        for part in parts
    )


def _types_fault(record: Record) -> str | None:
    """Return what a frame could not take into a column of its kind."""
    kinds = {"str": (str,), "Int64": (int,), "float64": (int, float)}
    for path, kind in FROM_RECORD.values():
        value = dig(record.data, path)
        if value is not None and (not isinstance(value, kinds[kind]) or isinstance(value, bool)):
            return f"{path} = {value!r:.40} is not of the kind {kind}"
    return None


def _counts_fault(record: Record, cell: Cell) -> str | None:
    try:
        result = _Result.model_validate(record.data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))} = {first['input']!r:.40}: {first['msg']}"
    counts, plan, budget = result.counts, result.plan, result.budget
    steps = cell.training.steps if cell.training else 0
    asked: dict[str, Any] = {"kind": cell.budget.kind, "asked": cell.budget.keep, "denominator": counts.prunable}
    said = {"kind": budget.kind, "asked": budget.asked, "denominator": budget.denominator}
    part = getattr(counts, _COUNTED.get(cell.budget.kind, ""), None)
    checks = {
        "counts: not prunable_nonzero <= prunable_stored <= prunable": counts.prunable_nonzero
        <= counts.prunable_stored
        <= counts.prunable,
        "counts: params_stored exceed params_dense": counts.params_stored <= counts.params_dense,
        "counts: params_nominal exceed params_stored": counts.params_nominal <= counts.params_stored,
        "plan.nominal is not prunable_nonzero / prunable": _close(
            plan.nominal, counts.prunable_nonzero / counts.prunable
        ),
        "plan.stored is not prunable_stored / prunable": _close(plan.stored, counts.prunable_stored / counts.prunable),
        f"budget: says {said}, and its spec {asked}": said == asked,
        f"budget.reached = {budget.reached} is not what is counted": part is None
        or (budget.reached is not None and _close(budget.reached, part / counts.prunable)),
        f"training.steps = {result.training.steps}, and its spec says {steps}": result.training.steps == steps,
    }
    return next((said for said, right in checks.items() if not right), None)


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= CLOSE

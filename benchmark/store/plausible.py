"""What a record of somebody else must satisfy by itself: its form and id, and that its numbers follow from each other.

This finds slips and careless edits, and nothing gets in that a report would stumble over. It is no proof: who can run
the suite can also invent a consistent record.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from benchmark.errors import SpecError
from benchmark.measure.decoding import Decoding
from benchmark.reading import parse_as
from benchmark.specs import COMPOSE, IDENTITY_VERSION, Cell, digest
from benchmark.store.frame import FROM_RECORD, dig
from benchmark.store.records import Record
from benchmark.store.schema import FORMS, Result
from benchmark.store.scoring import column

CLOSE = 1e-9
COARSE = 0.125
"""Of the prunable weights: how far a budget may be missed where the smallest group that can go is so large."""
_STAMP = re.compile(r"(\d{8}T\d{6})\.\d{6}Z-[0-9a-f]{6}", re.ASCII)
_COUNTED = {"prunable_nominal": "prunable_nonzero", "prunable_stored": "prunable_stored"}
_DEEPEST = 4
"""Compositions of compositions."""


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
    if not 0 <= cell.seed < 2**31:
        return f"spec.seed = {cell.seed} is none"
    if cell.method.name == COMPOSE and not _has_parts(cell.method.options):
        return "its composition has parts without a name or with options that are no mapping"
    try:
        json.dumps(record.data, ensure_ascii=False).encode()
        found = FORMS[record.data["status"]].model_validate(record.data)
    except UnicodeEncodeError:
        return "it has half a character in a text"
    except ValidationError as error:
        return _said(error)
    said = stamp_fault(record.attempt) or _types_fault(record)
    return said or (_result_fault(found, cell) if isinstance(found, Result) else None)


def stamp_fault(stamp: str) -> str | None:
    """Return what is wrong with the name of an attempt or a timing: the newest counts, so it may not be invented."""
    found = _STAMP.fullmatch(stamp)
    try:
        when = dt.datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC) if found else None
    except ValueError:
        when = None
    if when is None:
        return f"{stamp!r:.60} is no time stamp as attempts have"
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    return f"{stamp} lies in the future" if when > tomorrow else None


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))} = {first['input']!r:.40}: {first['msg']}"


def _types_fault(record: Record) -> str | None:
    """Return what a frame could not take into a column of its kind: model and corpus may say more than we know."""
    kinds = {"str": (str,), "Int64": (int,), "float64": (int, float)}
    for path, kind in FROM_RECORD.values():
        value = dig(record.data, path)
        if value is not None and (not isinstance(value, kinds[kind]) or isinstance(value, bool)):
            return f"{path} = {value!r:.40} is not of the kind {kind}"
    return None


def _has_parts(options: Mapping[str, Any], depth: int = 0) -> bool:
    parts = options.get("parts", [])
    return (
        depth < _DEEPEST
        and isinstance(parts, list)
        and all(
            isinstance(part, dict)
            and isinstance(part.get("name"), str)
            and isinstance(inner := part.get("options") or {}, dict)
            and (part["name"] != COMPOSE or _has_parts(inner, depth + 1))
            for part in parts
        )
    )


def _result_fault(result: Result, cell: Cell) -> str | None:
    counts, plan, budget = result.counts, result.plan, result.budget
    steps = cell.training.steps if cell.training else 0
    asked: dict[str, Any] = {"kind": cell.budget.kind, "asked": cell.budget.keep, "denominator": counts.prunable}
    said = {"kind": budget.kind, "asked": budget.asked, "denominator": budget.denominator}
    decoding = Decoding(**cell.decoding).signature()
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
        f"training.steps = {result.training.steps}, and its spec says {steps}": result.training.steps == steps,
        f"decoding.signature = {result.decoding.signature!r:.40}, and its spec means {decoding}": decoding
        == result.decoding.signature,
    }
    wrong = next((said for said, right in checks.items() if not right), None)
    return wrong or _budget_fault(result, cell) or _data_fault(result, cell)


def _budget_fault(result: Result, cell: Cell) -> str | None:
    got, keep = result.budget.reached, cell.budget.keep
    if keep is None or cell.budget.kind not in _COUNTED:
        return None if got is None else f"budget.reached = {got}, and nothing was asked"
    counted = getattr(result.counts, _COUNTED[cell.budget.kind]) / result.counts.prunable
    if got is None or not _close(got, counted):
        return f"budget.reached = {got} is not what is counted"
    allowed = max(cell.budget.tolerance, min(result.budget.allowed or 0.0, COARSE))
    if abs(got - keep) > allowed + CLOSE:
        return f"budget: {keep:g} was asked, and {got:.4f} is missed by more than {allowed:.4f}"
    return None


def _data_fault(result: Result, cell: Cell) -> str | None:
    asked: dict[str, int | None] = cell.corpus["evaluate"] if isinstance(cell.corpus.get("evaluate"), dict) else {}
    if not asked or set(asked) != set(result.data):
        return f"it was tested on {sorted(result.data)}, and its spec asks for {sorted(asked)}"
    if len({column(split) for split in asked}) < len(asked):
        return f"its splits {sorted(asked)} have one column in a frame"
    for split, limit in asked.items():
        used = result.data[split].utterances
        if limit is not None and (not isinstance(limit, int) or used > limit):
            return f"{split}: {used} utterances, and its spec asks for {limit}"
    return None


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= CLOSE

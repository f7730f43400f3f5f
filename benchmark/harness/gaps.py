"""Cells that a run folder's leaderboards name and that have no record: gaps, which reports must show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import SpecError
from benchmark.store.folders import started
from benchmark.store.records import RECORD


def asked(runs: Sequence[Path | str], lost: list[str]) -> dict[str, dict[str, Any]]:
    """Return the identities of the cells without a record that were asked for in run folders, by id.

    Specs are grown again only where something is missing. A cell that cannot be made out any more (its method is not
    installed, or has another version now) is counted in ``lost``.

    Raises:
        StoreError: not a run folder, or a spec there that cannot be used.
    """
    found: dict[str, dict[str, Any]] = {}
    there = {path.parent.parent.name for run in runs for path in Path(run).glob(f"runs/*/*/{RECORD}")}
    for run in runs:
        for spec, cells in started(run):
            missing = set(cells) - there - found.keys()
            if missing:
                made_out, why = _identities(spec)
                found |= {cell: made_out[cell] for cell in missing & made_out.keys()}
                others = missing - made_out.keys()
                if others:
                    lost.append(
                        f"{run}: {len(others)} cell(s) that the leaderboard {spec.get('name')!r} names have no record, "
                        f"and what they are cannot be told here ({why})"
                    )
    return found


def _identities(spec: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], str]:
    """Return the cells of a spec by id, and why there are none, or fewer than it once had."""
    from pydantic import ValidationError

    from benchmark.harness.tree import grown
    from benchmark.specs import Leaderboard

    try:
        trees = grown(Leaderboard.model_validate(spec))
    except SpecError as error:
        return {}, str(error)
    except ValidationError as error:
        return {}, f"its spec is no longer valid: {error.errors()[0]['msg']}"
    return {path.cell.id: path.cell.identity() for tree in trees for path in tree.cells}, "made by another version"

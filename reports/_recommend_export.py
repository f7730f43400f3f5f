"""The commands that write an artefact out: from the run folder, or made again where its file is not kept."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.reproduce import narrowed_spec, of_cell
from benchmark.store.folders import MARKER, kept_specs
from benchmark.store.records import Record, folder_of, read_record
from reports._cells import absent

if TYPE_CHECKING:
    import pandas as pd

SPEC = "again.yaml"
"""What the spec is called that makes an artefact again."""


@dataclass(frozen=True)
class Export:
    """Commands to be given one after the other."""

    commands: tuple[str, ...]
    spec: str | None = None
    """What ``again.yaml`` must hold before, where a command names it."""
    fill_in: tuple[str, ...] = ()
    """Places in that spec that say where data lie, and that no record knows."""
    load: str | None = None
    """Python that opens the artefact where it lies: int8 layers have no form that ``prunebench export`` writes."""


def export(row: pd.Series, normalizer: str) -> Export:
    """Return how to write out the artefact of a candidate.

    Raises:
        StoreError: the record or its run folder cannot be read.
    """
    name = re.sub(r"\W+", "-", str(row["label"])).strip("-")
    to = name if absent(row["keep"]) else f"{name}-{100 * row['keep']:g}"
    whole = absent(row["quantised"])
    if row["there"]:
        last = _command("export", row["cell"], "--runs", row["run"], "--to", to)
        return Export((last,)) if whole else Export((), load=_load(folder_of(row)))
    run = f"{to}-run"
    again = _again(read_record(folder_of(row)), normalizer, run)
    if not whole:
        return replace(again, load=_load(Path(run) / "runs" / str(row["cell"]) / "ATTEMPT"))
    last = _command("export", row["cell"], "--runs", run, "--to", to)
    return replace(again, commands=(*again.commands, last))


def _load(folder: Path) -> str:
    return f"import benchmark; model = benchmark.load({str(folder)!r})"


def _command(*parts: Any) -> str:
    return shlex.join(["prunebench", *map(str, parts)])


def _again(record: Record, normalizer: str, run: str) -> Export:
    """Return how to make a cell again in a new run folder that keeps its artefact."""
    import yaml

    recipe = of_cell(record, normalizer)
    folder = record.path.parents[2]
    kept = kept_specs(folder, record.cell) if (folder / MARKER).is_file() else []
    if recipe.spec is None and any(spec.get("keep_artefacts") == "all" for spec in kept):
        return Export((f"{recipe.command} --out {shlex.quote(run)}",))
    spec = narrowed_spec(kept[0], record) if kept else yaml.safe_load(recipe.spec or "")
    text = yaml.safe_dump(spec | {"keep_artefacts": "all"}, allow_unicode=True, sort_keys=False)
    return Export((_command("run", SPEC, "--out", run),), text, () if kept else recipe.fill_in)

"""Somebody's run folder, its bundle, and ways to change one: for tests of bundles. All records are invented."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.specs import Cell
from benchmark.store.bundles import CLAIMED
from benchmark.store.records import MODEL, PLAN, Attempt
from tests.fake_runs import ok_data, sentences, spoil

Call = Callable[..., tuple[int, str, str]]
Change = Callable[[dict[str, bytes]], None]
CORPUS = {"name": "fake-hi", "version": "1", "language": "hi", "options": {}, "evaluate": {"test": 12}}
STAMPS = iter(range(10**6))


def cell_of(method: str, kind: str = "none", keep: float | None = None, seed: int = 0, **corpus: Any) -> Cell:
    return Cell.model_validate({
        "model": {"name": "fake-nano", "revision": "fake", "options": {}},
        "corpus": {**CORPUS, **corpus},
        "method": {"name": method, "options": {}, "version": "1"},
        "budget": {"kind": kind, "keep": keep},
        "training": {"steps": 120},
        "decoding": {"beams": 1, "max_new_tokens": 44},
        "seed": seed,
    })  # fmt: skip


def result(run: Path, cell: Cell, error: float, digest: str = "ab" * 32, utterances: int = 12) -> Path:
    """Commit a consistent invented result whose id is that of its spec; return the attempt's folder."""
    keep = cell.budget.keep or 1.0
    data = ok_data(cell.identity(), nominal=keep, stored=keep if cell.budget.kind == "prunable_stored" else 1.0)
    counts = data["counts"]
    data["plan"] |= {
        "nominal": counts["prunable_nonzero"] / counts["prunable"],
        "stored": counts["prunable_stored"] / counts["prunable"],
    }
    if cell.budget.keep is not None:
        data["budget"]["reached"] = data["plan"]["nominal"]
    attempt = Attempt.create(run, cell.id, cell.identity())
    (attempt.path / MODEL).write_bytes(b"weights " * 1000)
    (attempt.path / PLAN).write_bytes(b"a plan")
    texts = sentences("test", utterances)
    heard = spoil(texts, error, np.random.default_rng(next(STAMPS)))
    columns = {"id": [f"u{n}" for n in range(utterances)], "reference": texts, "hypothesis": heard}
    name = attempt.write_transcripts("fake-hi", "hi", "test", columns)
    data["data"]["test"] = {"hash": digest, "utterances": utterances, "transcripts": name}
    return attempt.commit(data).path


CELLS = [
    cell_of("dense"),
    cell_of("imp", "prunable_nominal", 0.4),
    cell_of("l1_group", "prunable_stored", 0.4),
    cell_of("imp", "prunable_nominal", 0.4, seed=1),
]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repack(source: Path, to: Path, change: Change, *, honest: bool = True) -> Path:
    """Write a changed copy of a bundle; an honest one lists the digests of what it holds now."""
    found = members(source)
    change(found)
    if honest and "bundle.json" in found:
        about = json.loads(found["bundle.json"])
        about["sha256"] = {k: hashlib.sha256(v).hexdigest() for k, v in found.items() if k != "bundle.json"}
        found["bundle.json"] = json.dumps(about).encode()
    with zipfile.ZipFile(to, "w") as archive:
        for name, data in found.items():
            archive.writestr(name, data)
    return to


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def of(found: dict[str, bytes], cell: Cell, ends: str) -> str:
    (name,) = [name for name in found if name.startswith(f"runs/{cell.id}/") and name.endswith(ends)]
    return name


def edit(cell: Cell, ends: str, how: Callable[[Any], None]) -> Change:
    """Change one JSON file of a cell's attempt."""

    def change(found: dict[str, bytes]) -> None:
        name = of(found, cell, ends)
        data = json.loads(found[name])
        how(data)
        found[name] = json.dumps(data).encode()

    return change


def claims(how: Callable[[list[dict[str, str]]], None]) -> Change:
    def change(found: dict[str, bytes]) -> None:
        rows = list(csv.DictReader(io.StringIO(found["scores.csv"].decode())))
        how(rows)
        text = io.StringIO()
        writer = csv.DictWriter(text, CLAIMED)
        writer.writeheader()
        writer.writerows(rows)
        found["scores.csv"] = text.getvalue().encode()

    return change


def texts(cell: Cell, how: Callable[[dict[str, list[Any]]], None]) -> Change:
    """Change the transcripts of a cell."""

    def change(found: dict[str, bytes]) -> None:
        name = of(found, cell, ".parquet")
        columns = pq.read_table(io.BytesIO(found[name])).to_pydict()
        how(columns)
        to = io.BytesIO()
        pq.write_table(pa.table(columns), to)
        found[name] = to.getvalue()

    return change


IMP, L1 = CELLS[1], CELLS[2]


def bump(key: str) -> Change:
    def how(rows: list[dict[str, str]]) -> None:
        row = next(row for row in rows if row["cell"] == IMP.id)
        row[key] = str(float(row[key]) / 2) if key in ("wer", "cer") else str(int(row[key]) - 1)

    return claims(how)


def another_reference(columns: dict[str, list[Any]]) -> None:
    columns["reference"][3] = "अ"


def put(*path: str, to: Any) -> Callable[[Any], None]:
    def how(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return how


def in_spec(*path: str, to: Any) -> Change:
    def change(found: dict[str, bytes]) -> None:
        edit(IMP, "record.json", put("spec", *path, to=to))(found)
        edit(IMP, "/spec.json", put(*path, to=to))(found)

    return change

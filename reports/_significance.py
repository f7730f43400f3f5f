"""Pairs of entries under two tests: paired bootstrap over seeds and speakers or utterances, and MAPSSWE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.measure.bootstrap import p_values
from benchmark.measure.mapsswe import edits, over_seeds
from benchmark.measure.multiple import holm
from benchmark.measure.scores import Normalised, language_of, scored
from benchmark.store.comparing import SIGNIFICANT, Entries, bounds
from benchmark.store.records import Record, folder_of, read_record
from benchmark.store.scoring import is_dense
from reports import _content as content
from reports._resampled import resampled

if TYPE_CHECKING:
    import pandas as pd

MOST_CELLS = 1_000
MOST_ENTRIES = 40
"""More entries of one budget are too many to show in pairs."""


@dataclass(frozen=True)
class Race:
    """The entries of one block and kept fraction: every pair, and each against dense; numbers are fractions."""

    board: str
    drawn: str
    """What was resampled, and how often."""
    block: str
    keep: float | None
    pairs: list[dict[str, Any]]
    to_dense: list[dict[str, Any]]
    left_out: int
    """Entries that are too many to be compared in pairs; 0 where they are compared."""


@dataclass(frozen=True)
class _Tested:
    """A board's cells as both tests want them: on common resamples, and where each errs."""

    entries: Entries
    edits: Mapping[str, np.ndarray]
    resamples: int


def races(frame: pd.DataFrame) -> Iterator[Race]:
    """Yield the races of all boards, in the order of the tables; what has no budget is compared with dense only.

    Raises:
        StoreError: transcripts that cannot be read, or no scores in the frame.
    """
    normalised: Normalised | None = None
    for board in content.boards(frame):
        rows = board.rows[board.rows["status"].eq("ok") & board.rows[content.score_column(board.rows)].notna()]
        if len(rows) < 2:
            continue
        normalised = normalised or Normalised(str(frame.attrs["normalizer"]))
        cells = frame[frame["entry"].isin(rows["entry"]) & frame["status"].eq("ok")]
        tested = _tested(cells, content.first_split(frame), normalised)
        units = f"{rows[f'{content.column(content.first_split(frame))}_resampled'].iloc[0]}"
        drawn = resampled(units, int(rows["seeds"].max()), most=True)
        said = f"Resampled: {drawn}, {tested.resamples:,} times."
        yield from _races(board, rows, tested, said)


def _tested(cells: pd.DataFrame, split: str, normalised: Normalised) -> _Tested:
    found = [read_record(folder_of(row)) for row in cells[["run", "cell", "attempt"]].to_dict("records")]
    entries = Entries.of(cells, [scored(record, split, normalised) for record in found])
    at = {record.cell: _edits(record, split, normalised) for record in found}
    return _Tested(entries, at, entries.rates.resampled.shape[1])


def _edits(record: Record, split: str, normalised: Normalised) -> np.ndarray:
    """Return where a cell errs, in the normaliser's unit."""
    table = record.transcripts(split)
    ours = normalised.of(language_of(record))
    said, heard = (ours(table[name].tolist(), table["id"].tolist()) for name in ("reference", "hypothesis"))
    if ours.normalizer.unit == "char":
        said, heard = ([" ".join("".join(text.split())) for text in some] for some in (said, heard))
    return edits(said, heard)


def _races(board: content.Board, rows: pd.DataFrame, tested: _Tested, drawn: str) -> Iterator[Race]:
    reference = rows[is_dense(rows)]
    dense = None if reference.empty else reference.iloc[0]
    labels = dict(zip(rows["entry"], rows["label"], strict=True))
    for (block, keep), race in rows.groupby(["block", "keep"], sort=False, dropna=False):
        names = list(race["entry"])
        ranked = list(race.loc[race["quantised"].isna(), "entry"])  # int8 is a reference: another race than pruning
        few = len(ranked) <= MOST_ENTRIES and block != "reference"
        kept = None if content.absent(keep) else float(str(keep))
        about = {"board": board.title, "block": block, "keep": kept}
        pairs = _pairs(list(combinations(ranked, 2)), labels, tested, about) if few else []
        for pair, p in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True):
            pair |= {"p_holm": float(p), "told_apart": bool(p < SIGNIFICANT)}
        against: list[dict[str, Any]] = []
        if dense is not None:
            sides = [(name, str(dense["entry"])) for name in names if name != dense["entry"]]
            against = _pairs(sides, labels, tested, about)
            fine = race.set_index("entry")["non_inferior"]
            for pair in against:
                pair["non_inferior"] = (
                    bool(fine[pair["entry_a"]]) if not content.absent(fine[pair["entry_a"]]) else None
                )
        left_out = 0 if few or block == "reference" else len(ranked)
        yield Race(board.title, drawn, str(block), kept, pairs, against, left_out)


def _pairs(
    sides: Sequence[tuple[str, str]], labels: Mapping[str, str], tested: _Tested, about: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return both tests of each pair over the seeds that both entries have; pairs without one are left out."""
    found = []
    members = tested.entries.members
    for a, b in sides:
        seeds = tuple(seed for seed in members[a] if seed in members[b])
        if not seeds:
            continue
        (ours, one), (theirs, other) = tested.entries.mean(a, seeds), tested.entries.mean(b, seeds)
        low, high = bounds(one - other)
        nist = over_seeds(*([tested.edits[members[name][seed]] for seed in seeds] for name in (a, b)))
        difference = ours - theirs
        found.append(
            {
                **about,
                **{"a": labels[a], "b": labels[b], "entry_a": a, "entry_b": b, "seeds": len(seeds)},
                **{"difference": difference, "lo": float(low), "hi": float(high)},
                "p": float(p_values((one - other)[None], np.array([difference]))[0]),
                **{"mapsswe_segments": nist.segments, "mapsswe_mean": nist.mean, "mapsswe_sd": nist.sd},
                **{"mapsswe_z": nist.z, "mapsswe_p": nist.p},
            }
        )
    return found

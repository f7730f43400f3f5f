"""What a leaderboard's card says of its making and its limits: versions, what is not there, what numbers do not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmark.markdown import code, plain, table
from benchmark.registry import REGISTRY
from benchmark.store.records import folder_of, read_record

if TYPE_CHECKING:
    import pandas as pd


def synthetic(frame: pd.DataFrame) -> list[str]:
    """Return the corpora that are known to be synthetic speech."""
    return [
        name
        for name in sorted(set(frame["corpus"].dropna()))
        if _known(name) and REGISTRY.lookup("corpus", name).synthetic
    ]


def _known(corpus: str) -> bool:
    return corpus in REGISTRY.names("corpus")


def not_here(frame: pd.DataFrame) -> Iterator[str]:
    """Yield what a reader would miss: cells without a result, and what was left out."""
    said = {
        "failed": "failed (a budget that was missed is a failure, too)",
        "pruned": "were stopped by a study while they trained",
        "missing": "are asked for by a spec and have no record",
    }
    counted = frame["status"].value_counts()
    lines = [f"{counted[status]} of {len(frame)} cells {text}." for status, text in said.items() if status in counted]
    faults, problems = (list(frame.attrs.get(name, ())) for name in ("faults", "problems"))
    lines += [f"{len(problems)} broken or unreadable, left out: {plain('; '.join(problems))}"] if problems else []
    lines += [f"Scores left out: {plain(fault)}" for fault in faults]
    yield "## What is not in it"
    yield "\n".join(f"- {line}" for line in lines) or f"Nothing: all {len(frame)} cells have a result."


def made(frame: pd.DataFrame) -> Iterator[str]:
    """Yield the versions, commits and devices that made the records, each with the number of its cells.

    Raises:
        StoreError: a record that cannot be read.
    """
    done = frame[frame["status"] == "ok"]
    found: dict[str, Counter[str]] = {}
    for row in done[["run", "cell", "attempt"]].to_dict("records"):
        record = read_record(folder_of(row))
        for name, value in _environment(record.data.get("environment") or {}):
            found.setdefault(name, Counter())[value] += 1
    yield "## What made it"
    if not found:
        yield "The records do not say."
        return
    rows = [[plain(name), _listed(values, len(done))] for name, values in found.items()]
    yield table(["what", "value (cells)"], rows, words=(0, 1))
    device = frame.attrs.get("device")
    timed = f"Timed on {code(device)}, each in turn with the model as it came, in one process."
    yield timed if device else "Nothing was timed."


def _environment(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    versions = dict(said.get("versions") or {})
    yield "prunebench", str(versions.pop("prunebench", "not said"))
    yield "commit", str(said.get("commit") or "not said")
    for name in ("device", "machine", "threads", "python"):
        if said.get(name) is not None:
            yield name, str(said[name])
    yield from ((name, str(value)) for name, value in sorted(versions.items()))


def _listed(values: Counter[str], cells: int) -> str:
    if len(values) == 1 and values.total() == cells:
        return code(next(iter(values)))
    return ", ".join(f"{code(value)} ({count})" for value, count in values.most_common())


def limits(frame: pd.DataFrame) -> Iterator[str]:
    """Yield what the numbers do not say."""
    spoken = synthetic(frame)
    if spoken:
        yield (
            f"{', '.join(map(code, spoken))}: **synthetic** speech. Nothing here carries over to recorded speech "
            "without being measured on it."
        )
    unknown = [name for name in sorted(set(frame["corpus"].dropna())) if not _known(name)]
    if unknown:
        yield f"{', '.join(map(code, unknown))}: not installed here, so whether it is recorded speech is not known."
    yield (
        "The best of a budget is chosen on the split that it is shown on, which flatters it; `of rank 1` says from "
        "how many it cannot be told."
    )
    done = frame[frame["status"] == "ok"]
    seeds = done.groupby("entry")["seed"].nunique()
    most = int(seeds.max()) if len(seeds) else 0
    if most == 1:
        yield "One seed an entry: how much another training run would differ is in no interval."
    elif most:
        yield f"At most {most} seeds an entry: intervals that draw from so few seeds are too narrow."
    if "mask" in set(frame["block"]):
        yield "Masks are not speed: in the mask block zeros are stored and multiplied; only the nominal count falls."
    timed = done["speedup"].notna().sum() if "speedup" in done else 0
    if timed:
        yield f"Speed is of one device ({timed} of {len(done)} cells were timed there); another one has another."
    else:
        yield "Nothing was timed: fewer parameters are not a promise of speed."

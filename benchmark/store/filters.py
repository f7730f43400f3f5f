"""Which records a frame is made of, by what was asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.errors import StoreError
from benchmark.spec_files import YARDSTICK
from benchmark.store.naming import label, short_hash
from benchmark.store.records import Record


@dataclass(frozen=True)
class Filter:
    """What records must be of to be kept; an empty tuple takes all.

    A method is meant by its name (``imp``, with whatever options) or by its label (``imp[rounds=3]``), data by the
    beginning of a test split's hash. A record without test data (it failed) is of any data. Whatever methods are meant,
    ``dense`` stays beside them: every difference is one to it.
    """

    models: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    data: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    yardstick: bool = True
    """Whether ``dense`` (no options, no budget) stays where a method of its model, corpus and decoding does."""

    def apply(self, found: Sequence[Record]) -> list[Record]:
        """Return the records that are meant, in order.

        Raises:
            StoreError: no record has a value that was asked for; those that there are are named.
        """
        for what, said in _SAID.items():
            wanted = getattr(self, what)
            if not wanted:
                continue
            there = [_values(record, what) for record in found]
            for value in wanted:
                if not any(_meant(value, one) for one in there):
                    known = sorted({str(name) for one in there for name in one[:1]})
                    raise StoreError(f"no record here is of {said} {value!r}; there are: {_some(known)}")
            kept = [any(_meant(value, one) for value in wanted) or (what == "data" and not one) for one in there]
            if what == "methods" and self.yardstick:
                settings = {_setting(record) for record, keep in zip(found, kept, strict=True) if keep}
                kept = [
                    keep or (_is_dense(record) and _setting(record) in settings)
                    for record, keep in zip(found, kept, strict=True)
                ]
            found = [record for record, keep in zip(found, kept, strict=True) if keep]
        return list(found)


def _setting(record: Record) -> str:
    return short_hash([record.data["spec"].get(part) for part in ("model", "corpus", "decoding")])


def _is_dense(record: Record) -> bool:
    """Whether a record is of the yardstick, as ``benchmark.store.scoring.is_dense`` has it."""
    spec = record.data["spec"]
    plain = not spec["method"].get("options") and (spec.get("budget") or {}).get("kind", "none") == "none"
    return plain and spec["method"].get("name") == YARDSTICK


_SAID = {
    "models": "model",
    "corpora": "corpus",
    "languages": "language",
    "seeds": "seed",
    "data": "data with hash",
    "methods": "method",
}
"""Filters in the order in which they are applied. Methods come last: what dense stays beside must be known by then."""
_MOST = 20


def _some(known: Sequence[str]) -> str:
    return ", ".join(known[:_MOST]) + (", ..." if len(known) > _MOST else "")


def _meant(value: Any, values: Sequence[Any]) -> bool:
    if isinstance(value, int):
        return value in values
    return any(value == one or (isinstance(one, _Hash) and one.startswith(value)) for one in values)


class _Hash(str):
    """A text that its beginning stands for."""


def _values(record: Record, what: str) -> list[Any]:
    """Return what a record is called in one respect: names that all mean it."""
    spec = record.data["spec"]
    if what == "methods":
        name = str(spec["method"].get("name"))
        return list(dict.fromkeys([label(name, spec["method"].get("options") or {}), name]))
    if what == "seeds":
        return [spec.get("seed")]
    if what == "data":
        return [_Hash(about.get("hash")) for about in (record.data.get("data") or {}).values()]
    part, key = {"models": ("model", "name"), "corpora": ("corpus", "name"), "languages": ("corpus", "language")}[what]
    return [(spec.get(part) or {}).get(key)]

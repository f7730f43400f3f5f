"""Which records a frame is made of, by what was asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from benchmark.errors import StoreError
from benchmark.store.naming import label
from benchmark.store.records import Record


@dataclass(frozen=True)
class Filter:
    """What records must be of to be kept; an empty tuple takes all.

    A method is meant by its name (``imp``, with whatever options) or by its label (``imp[rounds=3]``), data by the
    beginning of a test split's hash. A record without test data (it failed) is of any data.
    """

    models: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    data: tuple[str, ...] = ()

    def apply(self, found: Sequence[Record]) -> list[Record]:
        """Return the records that are meant, in order.

        Raises:
            StoreError: no record has a value that was asked for; those that there are are named.
        """
        for field in fields(self):
            wanted = getattr(self, field.name)
            if not wanted:
                continue
            there = [_values(record, field.name) for record in found]
            for value in wanted:
                if not any(_meant(value, one) for one in there):
                    known = sorted({str(name) for one in there for name in one[:1]})
                    raise StoreError(f"no record here is of {_SAID[field.name]} {value!r}; there are: {_some(known)}")
            found = [
                record
                for record, one in zip(found, there, strict=True)
                if any(_meant(value, one) for value in wanted) or (field.name == "data" and not one)
            ]
        return list(found)


_SAID = {
    "models": "model",
    "corpora": "corpus",
    "languages": "language",
    "methods": "method",
    "seeds": "seed",
    "data": "data with hash",
}
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

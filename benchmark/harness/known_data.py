"""Which test data are known here, so that a score that came from elsewhere can be seen to be of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import PrunebenchError
from benchmark.registry import REGISTRY
from benchmark.store.records import Record, records


@dataclass(frozen=True)
class _Texts:
    """What is known of test data: who vouches for it, and its utterances in order."""

    by: str
    ids: list[str]
    references: list[str]


@dataclass
class Known:
    """The test data that are known here: of records that are trusted, of corpora that anybody can make, or accepted."""

    accepted: Sequence[str] = ()
    """Hashes, or beginnings of at least eight digits, that the user vouches for."""
    _trusted: dict[str, tuple[Record, str]] = field(default_factory=dict)
    _texts: dict[str, _Texts] = field(default_factory=dict)

    def trust(self, run: Path) -> None:
        """Take the data of a run folder's results as known.

        Raises:
            StoreError: not a run folder, or a record that cannot be used.
        """
        for record in records(run):
            for split, about in (record.data["data"] if record.ok else {}).items():
                self._trusted.setdefault(str(about["hash"]), (record, split))

    def fault(self, record: Record, split: str, columns: Mapping[str, list[Any]]) -> str | None:
        """Return why the data of a split cannot be taken for what they say; None where they are known.

        Raises:
            StoreError: a record that is trusted cannot be read any more.
        """
        said = str(record.data["data"][split]["hash"])
        if said not in self._texts:
            found = self._find(record, split, said, columns)
            if isinstance(found, str):
                return found
            self._texts[said] = found
        known = self._texts[said]
        if [str(key) for key in columns["id"]] != known.ids:
            return f"its utterances are not those of data {said[:12]} in {known.by}"
        pairs = zip(known.ids, columns["reference"], known.references, strict=True)
        changed = next((key for key, here, there in pairs if here != there), None)
        return None if changed is None else f"the reference of {changed!r:.60} is not that of {known.by}"

    def _find(self, record: Record, split: str, said: str, columns: Mapping[str, list[Any]]) -> _Texts | str:
        if said in self._trusted:
            known, of = self._trusted[said]
            there = known.columns(of)
            return _Texts(str(known.path.parents[2]), [str(key) for key in there["id"]], there["reference"])
        if any(len(start) >= 8 and said.startswith(start) for start in self.accepted):
            ids = [str(key) for key in columns["id"]]
            return _Texts(f"cell {record.cell}, the first of it here", ids, list(columns["reference"]))
        return self._from_corpus(record, split, said)

    def _from_corpus(self, record: Record, split: str, said: str) -> _Texts | str:
        """Make the data of a synthetic corpus; others may lie anywhere, or would have to be fetched unasked."""
        asked = record.data["spec"]["corpus"]
        unknown = (
            f"data {said[:12]} are not known here: merge into a folder with a result on them, or vouch for them "
            f"yourself with --accept-data {said[:12]}"
        )
        try:
            if not REGISTRY.lookup("corpus", asked["name"]).synthetic:
                return unknown
            corpus = REGISTRY.get("corpus", asked["name"], **asked.get("options", {}))
            made = corpus.load(split, asked["evaluate"][split])
        except (PrunebenchError, LookupError, TypeError, ValueError) as error:  # whatever a foreign spec makes of it
            return f"{unknown} ({type(error).__name__}: {error})"
        if made.data_hash != said:
            return f"its data are {said[:12]}, and {asked['name']} has {made.data_hash[:12]} here; {unknown}"
        return _Texts(f"corpus {asked['name']}", list(made.ids), list(made.texts))

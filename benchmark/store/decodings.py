"""Records of one spec that were decoded differently cannot share a table: they are refused, with the way out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from benchmark.errors import StoreError
from benchmark.measure.scores import decoding_of
from benchmark.store.records import Record


def check_decodings(found: Iterable[Record]) -> None:
    """Refuse records that were asked for the same model, corpus and decoding, and were decoded differently.

    Raises:
        StoreError: such records; one of each of two kinds is named, and what parts them.
    """
    groups: dict[str, list[Record]] = {}
    for record in found:
        asked = [record.data["spec"].get(part) for part in ("model", "corpus", "decoding")]
        groups.setdefault(json.dumps(asked, sort_keys=True, default=str), []).append(record)
    for group in groups.values():
        counted = Counter(map(decoding_of, group)).most_common()
        if len(counted) > 1:
            raise StoreError(_refusal(group, [decoding for decoding, _ in counted]))


def _refusal(group: Sequence[Record], decodings: Sequence[str]) -> str:
    """Return the line for records of several decodings, the most frequent first."""
    usual, other = ([record for record in group if decoding_of(record) == decoding] for decoding in decodings[:2])
    runs, elsewhere = (
        {str(record.path.parents[2]) for record in group if (decoding_of(record) == decodings[0]) is ours}
        for ours in (True, False)
    )
    if runs.isdisjoint(elsewhere):
        way = f"give run folders of one: {', '.join(sorted(runs))} without {', '.join(sorted(elsewhere))}"
    else:
        rest = sum(decoding_of(record) != decodings[0] for record in group)
        way = f"remove the {rest} of {len(group)} that are not {decodings[0]}, such as {other[0].path}, and run again"
    return (
        f"cells {usual[0].cell} ({decodings[0]}) and {other[0].cell} ({decodings[1]}) were decoded differently and "
        f"cannot stand in one table; {way}"
    )

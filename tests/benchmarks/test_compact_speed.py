"""Where the harness gathers live columns, that is not slower than multiplying the zeros."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.benchmarks.compact_speed import POSITIONS, SHARES, is_small, measure, threshold
from tests.benchmarks.tables import machine, table

pytestmark = pytest.mark.benchmark
SLACK = 0.95
"""A tie may be lost by this much: around the threshold the two are equal, and clocks are not exact."""
STREAM_SLACK = 0.85
"""The same for a single token, of which the gather's fixed cost is a larger part."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As artefacts are timed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("positions", POSITIONS)
def test_gathering_pays_from_the_share_at_which_the_harness_gathers(positions: str) -> None:
    rows = measure(positions, repeats=41 if "token" in positions else 5)
    print(f"\n{machine()}\n\n{table(rows)}")
    floor = STREAM_SLACK if positions == "1 token" else SLACK
    lost = [
        (row["matrix"], f"{dead:.0%}", row[f"{dead:.0%}"])
        for row in rows
        for dead in SHARES
        if dead >= threshold(row)
        and row[f"{dead:.0%}"] < floor
        # a small matrix read one token at a time never gains: its threshold is for decoding in batches
        and not (positions == "1 token" and is_small(row))
    ]
    assert not lost

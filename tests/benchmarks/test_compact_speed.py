"""Where the harness gathers live columns, that is not slower than multiplying the zeros."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.benchmarks.compact_speed import POSITIONS, SHARES, measure, threshold
from tests.benchmarks.tables import machine, table

pytestmark = pytest.mark.benchmark
SLACK = 0.95
"""A tie may be lost by this much: around the threshold the two are equal, and clocks are not exact."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As artefacts are timed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("positions", POSITIONS)
def test_gathering_pays_from_the_share_at_which_the_harness_gathers(positions: str) -> None:
    rows = measure(positions, repeats=5)
    print(f"\n{machine()}\n\n{table(rows)}")
    lost = [
        (row["matrix"], f"{dead:.0%}", row[f"{dead:.0%}"])
        for row in rows
        for dead in SHARES
        if dead >= threshold(row) and row[f"{dead:.0%}"] < SLACK
    ]
    assert not lost

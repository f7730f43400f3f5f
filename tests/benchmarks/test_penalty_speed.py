"""Either solver of the penalty costs at most a tenth of a training step, and never a second set of weights."""

from __future__ import annotations

import os
from typing import get_args

import pytest

from benchmark.pruning.penalties import Solver
from tests.benchmarks.penalty_speed import Bench, parts, steps
from tests.benchmarks.tables import machine, table

pytestmark = pytest.mark.benchmark
BATCH = int(os.environ.get("REAL_SIZE_BATCH", "8"))
"""Windows of 30 s. The penalty's cost does not depend on it, so a smaller batch is the harder test."""
REPEATS = 3
LIMIT = 0.10


@pytest.mark.parametrize("solver", get_args(Solver))
def test_a_step_with_the_penalty_beside_one_without(solver: Solver) -> None:
    row = steps(Bench(BATCH), solver, REPEATS)
    print(f"\n{machine()}\n\n{table([row])}")
    assert float(row["added"].rstrip("%")) / 100 <= LIMIT


def test_the_penalty_alone_for_all_kinds_of_groups() -> None:
    bench = Bench(BATCH)
    row = steps(bench, "proximal", 1)
    rows = parts(bench, row["step without, s"], 5)
    print(f"\n{machine()}\n\n{table(rows)}")
    for row in rows:
        assert float(row["share of a step"].rstrip("%")) / 100 <= LIMIT, row
        assert row["temporaries, MB"] < 0.05 * row["weights, MB"], row

"""At whisper-small's size every structured rule is quick and frugal, and half a model is that much faster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.encoder_speed import measure
from tests.benchmarks.real_size import RULES, fresh
from tests.benchmarks.tables import machine, table

pytestmark = pytest.mark.benchmark
SECONDS, GIGABYTES = 60, 6
SPEED_UP = 1.6


@pytest.mark.parametrize("rule", RULES)
def test_decide_surgery_save_load_and_a_forward_pass(rule: str, tmp_path: Path) -> None:
    row = fresh(rule, tmp_path)
    print(f"\n{machine()}\n\n{table([row])}")
    assert row["all, s"] < SECONDS
    assert row["peak, GB"] < GIGABYTES


def test_half_the_heads_and_neurons_make_the_encoder_faster() -> None:
    rows = measure((1, 8), repeats=5)
    print(f"\n{machine()}\n\n{table(rows)}")
    assert [row["batch"] for row in rows if row["speed-up"] < SPEED_UP] == []

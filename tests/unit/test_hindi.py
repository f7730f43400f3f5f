"""The pairs that must become equal or stay distinct, and the switch of each rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.registry import REGISTRY

LINES = (Path(__file__).parents[1] / "data" / "hindi_pairs.tsv").read_text(encoding="utf-8").splitlines()
PAIRS = [line.split("\t") for line in LINES if line and not line.startswith("#")]


@pytest.mark.parametrize(("left", "right", "relation", "rule"), PAIRS)
def test_pairs(left: str, right: str, relation: str, rule: str) -> None:
    normalizer = REGISTRY.get("normalizer", "hindi")
    assert (normalizer(left) == normalizer(right)) == (relation == "equal")


@pytest.mark.parametrize(
    ("left", "right", "rule"), [(left, right, rule) for left, right, relation, rule in PAIRS if relation == "equal"]
)
def test_a_rule_switched_off_keeps_its_pairs_apart(left: str, right: str, rule: str) -> None:
    without = REGISTRY.get("normalizer", "hindi", **{rule: False})
    assert without(left) != without(right)
    assert f"{rule}=off" in without.signature()


def test_whisper_basic_is_transformers_own_with_its_fault() -> None:
    basic = REGISTRY.get("normalizer", "whisper_basic")
    assert basic.reference
    assert basic("हमने उस उम्मीदवार को चुना।") == "हमन उस उम म दव र क च न "

"""docs/scale.md quotes the planner's own numbers for its spec, and names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.harness.tree import grown
from benchmark.spec_files import load_spec, validate

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"`pytest (tests/\S+\.py) -k \"?([^`\"]+)\"?`", TEXT)


def test_quoted_numbers_are_those_of_the_planner() -> None:
    (asked,) = set(re.findall(r"prunebench plan (docs/\S+\.yaml)", TEXT))
    trees = grown(validate(load_spec(str(ROOT / asked))))
    cells = sum(len(tree.cells) for tree in trees)
    shared, unshared = sum(tree.steps_shared for tree in trees), sum(tree.steps_unshared for tree in trees)
    assert cells == 12 * 5 * 3 * 4 and shared < unshared
    assert f"| every cell alone | {cells} | {unshared:,} |" in TEXT
    assert f"| prefixes shared | {cells} | {shared:,} ({100 * (1 - shared / unshared):.1f} % saved) |" in TEXT
    hours = f"{shared:,} / 3600 = {shared / 3600:,.1f} GPU-hours for each second of `s` ({unshared / 3600:,.1f} without"
    assert hours in TEXT


def test_every_fault_names_a_test() -> None:
    faults = [line for line in TEXT.split("| fault |")[1].splitlines()[2:] if line.startswith("|")]
    assert faults and all("`pytest tests/" in line for line in faults)
    assert len(COMMANDS) == TEXT.count("`pytest ")


@pytest.mark.parametrize(("file", "words"), COMMANDS)
def test_a_named_test_is_there(file: str, words: str) -> None:
    names = re.findall(r"^def (test_\w+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    for word in words.split(" or "):
        assert any(word in name for name in names), f"{file} has no test with {word!r} in its name"

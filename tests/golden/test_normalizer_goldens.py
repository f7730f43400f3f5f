"""Strings of each language and what its normaliser makes of them; each says where the expectation comes from.

``tests/data/goldens/NAME.tsv`` has the columns given, expected, source and options (``case=off``; empty: none).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.text.chosen import chosen

FOLDER = Path(__file__).parents[1] / "data" / "goldens"
COLUMNS = ["given", "expected", "source", "options"]


def _rows() -> Iterator[tuple[str, str, str, str]]:
    for path in sorted(FOLDER.glob("*.tsv")):
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line and not line.startswith("#")]
        assert lines[0].split("\t") == COLUMNS, f"{path}: the columns are {', '.join(COLUMNS)}"
        for line in lines[1:]:
            given, expected, source, options = line.split("\t")
            assert source, f"{path}: {given!r} does not say where its expectation comes from"
            yield path.stem + (f"[{options}]" if options else ""), given, expected, source


@pytest.mark.parametrize(("name", "given", "expected", "source"), list(_rows()))
def test_golden(name: str, given: str, expected: str, source: str) -> None:
    try:
        normalizer = chosen(name)
    except SpecError as error:
        if "pip install" in str(error):  # an option that asks for a library of an extra
            pytest.skip(str(error))
        raise
    assert normalizer(given) == expected, source


def test_every_built_in_normaliser_has_goldens() -> None:
    with_goldens = {path.stem for path in FOLDER.glob("*.tsv")} | {"hindi"}  # hindi: its pairs, in test_hindi.py
    built_in = {
        name for name in REGISTRY.names("normalizer") if REGISTRY.owner("normalizer", name).startswith("normalizers.")
    }
    assert built_in <= with_goldens

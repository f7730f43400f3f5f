"""Word lists of normalisers: what is read, and what is wrong in one is named with its line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmark.errors import DataError
from benchmark.text.rules import table


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a folder of data."""
    name = f"words_of_{tmp_path.name}"
    (tmp_path / name / "data").mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path / name


def test_rows_by_the_names_of_the_first_line(package: Path) -> None:
    (package / "data" / "a.tsv").write_text("# a remark\n\nleft\tright\nx\ty\n# another\nz\t\n", encoding="utf-8")
    assert table(package.name, "a.tsv") == ({"left": "x", "right": "y"}, {"left": "z", "right": ""})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"left\tright\nx\n", "b.tsv:2: 1 columns, and the first line names 2"),
        (b"left\nx\ty\n", "b.tsv:2: 2 columns"),
        (b"left\n\xff\n", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(package: Path, content: bytes, said: str) -> None:
    (package / "data" / "b.tsv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        table(package.name, "b.tsv")
    assert said in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        table(package.name, "nowhere.tsv")

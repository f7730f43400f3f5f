"""A language from outside, ``tests/fake_plugin/language``: installed by pip, found, checked, and scored with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration._packages import FAKE_PLUGIN, ROOT, called, installed, russian_run

pytestmark = pytest.mark.slow

TESTS = FAKE_PLUGIN / "language" / "tests"
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(FAKE_PLUGIN / "language", tmp_path_factory.mktemp("fake_language"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return russian_run(tmp_path / "run")


def scores(run: Path, choice: str, site: Path) -> list[dict]:
    asked = ("-m", "benchmark", "score", run, "--normalizer", choice, "--json")
    rows: list[dict] = json.loads(called(*asked, site=site, cwd=run.parent))
    return rows


def test_it_is_listed_described_and_reported_as_loaded(site: Path, tmp_path: Path) -> None:
    rows = json.loads(called("-m", "benchmark", "ls", "normalizers", "--json", site=site, cwd=tmp_path))
    (row,) = [row for row in rows if row["name"] == "russian"]
    assert (row["owner"], row["languages"]) == ("prunebench_russian.Russian", ["ru"])
    card = called("-m", "benchmark", "describe", "normalizer", "russian", site=site, cwd=tmp_path)
    assert re.search(r"^yo +on +judgement .*'ещё' = 'еще' *$", card, re.MULTILINE)
    said = called("-m", "benchmark", "doctor", site=site, cwd=tmp_path)
    assert re.search(r"^outside +russian \(prunebench_russian\)$", said, re.MULTILINE)
    assert "all is well" in said


def test_it_keeps_the_contract_as_our_normalisers_do(site: Path, tmp_path: Path) -> None:
    said = called(*PYTEST, "-k", "russian", "tests/contracts/test_normalizers.py", site=site, cwd=ROOT)
    assert re.search(r"^[1-9]\d* passed, \d+ deselected", said, re.MULTILINE)


def test_its_own_tests_pass_where_it_is_installed(site: Path, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_russian.py").write_bytes((TESTS / "test_russian.py").read_bytes())
    assert re.search(r"^26 passed", called(*PYTEST, "tests", site=site, cwd=tmp_path), re.MULTILINE)


def test_it_scores(site: Path, run: Path) -> None:
    rows = {row["normalizer"]: row for row in scores(run, "russian,default,russian[yo=off]", site)}
    assert rows["russian"]["signature"].startswith("wer|russian:1|word|")
    assert rows["russian"]["wer"] == pytest.approx(1 / 16)  # the word that was misheard, and nothing else
    # Spelled with ё: ещё twice, ёлок and всё; default keeps 10 000 apart from 10000 besides, which are two words.
    assert rows["russian[yo=off]"]["wer"] == pytest.approx((1 + 4) / 16)
    assert rows["default"]["wer"] == pytest.approx((1 + 4 + 2) / 17)
    assert "yo=off" in rows["russian[yo=off]"]["signature"]


def test_its_language_is_enough(site: Path, run: Path) -> None:
    (row,) = scores(run, "auto", site)
    assert row["signature"].startswith("wer|russian:1|word|")
    code = "from benchmark.text.chosen import for_language; print(for_language('ru').signature())"
    assert called("-c", code, site=site, cwd=run.parent) == "russian:1\n"


def test_without_the_package_the_language_has_no_normaliser(run: Path, tmp_path: Path) -> None:
    asked = ("-m", "benchmark", "score", run, "--normalizer", "auto")
    said = called(*asked, site=tmp_path / "nowhere", cwd=tmp_path, code=2)
    assert "no normalizer for language 'ru'" in said and "prunebench new normalizer" in said


def test_the_audit_finds_no_fault(site: Path, tmp_path: Path) -> None:
    asked = ("audit", "--normalizer", "russian", "--text", TESTS / "sentences.txt", "--json")
    found = json.loads(called("-m", "benchmark", *asked, site=site, cwd=tmp_path))
    assert (found["wrongly_equal"], found["variants_apart"]) == ([], [])


def test_a_generated_package_installs_and_its_tests_pass(tmp_path: Path) -> None:
    package, nowhere = tmp_path / "package", tmp_path / "nowhere"
    asked = ("new", "normalizer", "swahili", "--language", "sw", "--package", package)
    called("-m", "benchmark", *asked, site=nowhere, cwd=tmp_path)
    site = installed(package, tmp_path)
    assert re.search(r"^12 passed", called(*PYTEST, package / "tests", site=site, cwd=tmp_path), re.MULTILINE)

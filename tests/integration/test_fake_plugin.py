"""A method from outside, ``tests/fake_plugin/method``: installed by pip, found by its entry point, checked and used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmark.whisper.files import save
from tests.integration._packages import FAKE_PLUGIN, ROOT, called, installed
from tests.tiny import tiny_whisper

SPEC = """
name: outside
grid:
  - methods: [dense]
  - {methods: [peak_group], budget: prunable_stored, keep: [0.5]}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(FAKE_PLUGIN / "method", tmp_path_factory.mktemp("fake_plugin"))


def test_it_is_listed_described_and_reported_as_loaded(site: Path, tmp_path: Path) -> None:
    rows = json.loads(called("-m", "benchmark", "ls", "methods", "--json", site=site, cwd=tmp_path))
    (row,) = [row for row in rows if row["name"] == "peak_group"]
    assert row["owner"] == "prunebench_fake_plugin.PeakGroup"
    assert row["budgets"] == ["prunable_stored"]
    card = called("-m", "benchmark", "describe", "method", "peak_group", site=site, cwd=tmp_path)
    assert "One large weight is enough to stay" in card
    said = called("-m", "benchmark", "doctor", site=site, cwd=tmp_path)
    assert re.search(r"^outside +peak_group \(prunebench_fake_plugin\)$", said, re.MULTILINE)
    assert "all is well" in said


def test_without_the_package_the_method_is_unknown(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    rows = json.loads(called("-m", "benchmark", "ls", "methods", "--json", site=nowhere, cwd=tmp_path))
    assert "peak_group" not in {row["name"] for row in rows}


def test_a_spec_can_name_it(site: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    plan = json.loads(called("-m", "benchmark", "plan", "spec.yaml", "--json", site=site, cwd=tmp_path))
    assert [cell["method"] for cell in plan["cells"]] == ["dense", "peak_group"]
    assert "2 cells" in called("-m", "benchmark", "plan", "spec.yaml", site=site, cwd=tmp_path)


def test_it_keeps_the_contract_as_our_methods_do(site: Path) -> None:
    pytest_ = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "peak_group")
    said = called(*pytest_, "tests/contracts/test_methods.py", site=site, cwd=ROOT)
    assert re.search(r"^8 passed", said, re.MULTILINE)  # program and pruning at three budgets, options, card


def test_it_makes_a_model_smaller(site: Path, tmp_path: Path) -> None:
    save(tiny_whisper(), tmp_path / "whole")
    asked = ("compress", "whole", "--method", "peak_group", "--keep", "0.5", "--to", "small")
    said = called("-m", "benchmark", *asked, site=site, cwd=tmp_path)
    after, before = (int(count.replace(",", "")) for count in re.findall(r"[\d,]+\d", said)[:2])
    # Half of the weights of attention and FFN, and the biases of what goes; the embedding and the norms stay.
    assert 0.5 * 40_960 <= before - after <= 0.52 * 40_960
    assert (tmp_path / "small" / "model.safetensors").is_file()


def test_a_generated_package_installs_and_its_tests_pass(tmp_path: Path) -> None:
    package = tmp_path / "package"
    nowhere = tmp_path / "nowhere"
    called("-m", "benchmark", "new", "method", "my_norm", "--package", package, site=nowhere, cwd=tmp_path)
    site = installed(package, tmp_path)
    pytest_ = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    said = called(*pytest_, package / "tests", site=site, cwd=tmp_path)
    assert re.search(r"^11 passed", said, re.MULTILINE)
    (tmp_path / "spec.yaml").write_text(SPEC.replace("peak_group", "my_norm"))
    assert "2 cells" in called("-m", "benchmark", "plan", "spec.yaml", site=site, cwd=tmp_path)

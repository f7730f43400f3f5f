"""Installed packages that clash or are broken: each is named by ``doctor``, and the healthy ones go on working."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests import fake_runs
from tests.integration._packages import called, installed, package

pytestmark = pytest.mark.slow

PLUGIN = '''
from benchmark.api import Config, Normalizer
from benchmark.registry import REGISTRY

class Options(Config):
    needed: int

@REGISTRY.register("normalizer", "{name}")
class {owner}(Normalizer):
    """A normaliser of a test, in a package of its own."""

    languages = {languages}
'''
WORKS = "    def __call__(self, text):\n        return text.casefold()\n"


def plugin(name: str, body: str = WORKS, owner: str = "Theirs", languages: str = "()") -> str:
    return PLUGIN.format(name=name, owner=owner, languages=languages) + body


ONE = {
    "one_clash": plugin("contested"),
    "one_raises": "raise RuntimeError('not on\\nthis machine')",
    "one_exits": "import sys; sys.exit('no licence')",
    "one_syntax": "def",
    "one_misses": "import no_such_library",
    "one_verb": "import benchmark\n@benchmark.register('verb', 'broken')\ndef add(app):\n    app.no_such_thing()\n",
    "one_abstract": plugin("abstract", "    pass\n"),
    "one_config": plugin("config", "    Config = dict\n" + WORKS),
    "one_required": plugin("required", "    Config = Options\n" + WORKS),
    "one_languages": plugin("languages", WORKS, languages="'hi'"),
    "one_bytes": plugin("bytes", "    def __call__(self, text):\n        return text.encode()\n"),
    "one_crash": plugin("crash", "    def __call__(self, text):\n        return text[0]\n"),
    "one_steals": plugin("hindi"),
    "one_basque": plugin("basque", WORKS, languages="('eu',)"),
}
OTHER = {
    "other_clash": plugin("contested", owner="Others"),
    "other_basque": plugin("euskara", languages="('eu',)"),
    "healthy": plugin("healthy", languages="('gl',)"),
}
FAULTS = (
    "plug-in one_raises could not be loaded: RuntimeError: not on this machine",
    "plug-in one_exits could not be loaded: SystemExit: no licence",
    "plug-in one_syntax could not be loaded: SyntaxError: ",
    "plug-in one_misses could not be loaded: ModuleNotFoundError: No module named 'no_such_library'",
    "plug-in one_verb.add (verb broken) could not be loaded: AttributeError: ",
    "plug-in one_abstract could not be loaded: SpecError: normalizer 'abstract' (one_abstract.Theirs) does not define "
    "__call__",
    "plug-in one_config could not be loaded: SpecError: normalizer 'config' (one_config.Theirs) has a Config that is",
    "plug-in one_languages could not be loaded: SpecError: normalizer 'languages' (one_languages.Theirs) has languages",
    "normalizer required (one_required.Theirs) does not work: SpecError: ",
    "normalizer bytes (one_bytes.Theirs) does not work: for '' it returns b'', which is no text",
    "normalizer crash (one_crash.Theirs) does not work: IndexError: ",
    "plug-in one_steals could not be loaded: SpecError: normalizer 'hindi' is claimed by both normalizers.hindi.Hindi "
    "and one_steals.Theirs; rename one of them",
    "language 'eu' has several normalizers: basque (one_basque.Theirs), euskara (other_basque.Theirs); auto takes none",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    site = folder / "site"
    for name, modules in (("one-package", ONE), ("other-package", OTHER)):
        installed(package(folder / name / "written", name, modules), folder / name, site)
    return site


def test_doctor_names_each_in_a_line(site: Path, tmp_path: Path) -> None:
    said = called("-m", "benchmark", "doctor", site=site, cwd=tmp_path, code=1)
    faults = [line.removeprefix("FAULT ") for line in said.splitlines() if line.startswith("FAULT ")]
    for fault in FAULTS:
        assert any(line.startswith(fault) for line in faults), fault
    (clash,) = [line for line in faults if "'contested'" in line]
    assert "one_clash.Theirs" in clash and "other_clash.Others" in clash
    assert len(faults) == len(FAULTS) + 1
    assert f"{len(faults)} fault(s)" in said


def test_the_healthy_ones_are_listed_and_described(site: Path, tmp_path: Path) -> None:
    said = called("-m", "benchmark", "ls", "normalizers", "--json", site=site, cwd=tmp_path, code=1)
    rows, _, clashes = said.partition("]\nprunebench: error: ")
    names = {row["name"]: row["owner"] for row in json.loads(rows + "]")}
    assert names["healthy"] == "healthy.Theirs"
    assert "'contested'" in clashes and "'hindi'" in clashes and clashes.count("\n") == 2
    assert not {"contested", "hindi", "abstract", "config", "languages"} & set(names)
    assert {"identity", "basque", "euskara"} <= set(names)
    assert "of a test" in called("-m", "benchmark", "describe", "normalizer", "healthy", site=site, cwd=tmp_path)


def test_the_healthy_ones_score(site: Path, tmp_path: Path) -> None:
    fake_runs.make(tmp_path / "run", keeps=[0.5])
    asked = ("score", "run", "--normalizer", "healthy,identity", "--json")
    rows = json.loads(called("-m", "benchmark", *asked, site=site, cwd=tmp_path))
    assert {row["normalizer"] for row in rows} == {"healthy", "identity"}
    assert all(row["normalizer"] in row["signature"] for row in rows)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("contested", "normalizer 'contested' is claimed by both "),
        ("hindi", "normalizer 'hindi' is claimed by both normalizers.hindi.Hindi and one_steals.Theirs"),
        ("abstract", "unknown normalizer 'abstract'"),
        ("required", "needed"),
    ],
)
def test_the_others_are_refused_in_one_line(site: Path, tmp_path: Path, name: str, said: str) -> None:
    fake_runs.make(tmp_path / "run", keeps=[0.5])
    asked = ("score", "run", "--normalizer", name)
    (line,) = called("-m", "benchmark", *asked, site=site, cwd=tmp_path, code=2).splitlines()
    assert line.startswith("prunebench: error: ") and re.search(re.escape(said), line)


def test_a_language_that_two_claim_is_refused_and_another_is_not(site: Path, tmp_path: Path) -> None:
    code = (
        "from benchmark.text.chosen import for_language\nfrom benchmark.errors import SpecError\n"
        "print(for_language('gl').signature())\n"
        "try:\n    for_language('eu')\nexcept SpecError as error:\n    print(error)"
    )
    lines = called("-c", code, site=site, cwd=tmp_path).splitlines()
    assert lines[0] == "healthy:1"
    assert "'eu' has several normalizers (basque, euskara)" in lines[1]

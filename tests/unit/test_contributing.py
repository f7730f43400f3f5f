"""The examples of CONTRIBUTING.md do what it says, in processes of their own: their names stay out of this one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CHECKS = """
import example_method, example_normalizer, example_corpus, example_report
import pandas as pd
import benchmark
from benchmark import get
from benchmark.text.contract import check_normalizer

plain = get("normalizer", "plain")
assert plain("  Ab  c ") == "ab c" and plain.signature() == "plain:1"
assert plain("Het Ĳs!") == "het ijs" and get("normalizer", "plain", ij=False)("ĳs") == "ĳs"
assert get("normalizer", "plain", case=False).signature() == "plain:1[case=off]"
check_normalizer("plain")
check_normalizer("plain", case=False)

split = get("corpus", "tones").load("test", 3)
assert len(split) == 3 and split.waveform(0).shape == (16000,) and len(split.data_hash) == 64

frame = pd.DataFrame({"cell": ["a", "b"], "label": ["x", "y"], "status": ["ok", "failed"], "error": ["", "why"]})
(path,) = get("report", "failures").write(frame, OUT)
assert path.read_text() == "b\\ty\\twhy\\n"

spec = {
    "name": "examples", "corpus": {"name": "tones", "evaluate": {"test": 4}}, "normalizer": "plain", "profile": None,
    "grid": [{"methods": ["dense"]}, {"methods": ["l2_group"], "budget": "prunable_stored", "keep": [0.5]}],
    "training": {"steps": 2, "batch": 2},
}
outcome = benchmark.run(spec, out=OUT + "/run", workers=0, quiet=True)  # workers would not know these plug-ins
assert not outcome.failed, [record.error for record in outcome.failed]
assert benchmark.frame(OUT + "/run", normalizer="plain")["test_wer"].notna().all()
print("checked")
"""


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Write each example to a file of its own, and return the folder."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    for kind, example in zip(("method", "normalizer", "corpus", "report"), found, strict=True):
        (tmp_path / f"example_{kind}.py").write_text(example, encoding="utf-8")
    return tmp_path


def called(*command: str | Path, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_the_examples_work(examples: Path) -> None:
    assert called("-c", f"OUT = {str(examples / 'out')!r}\n{CHECKS}", folder=examples).endswith("checked\n")


def test_the_examples_pass_the_linter(examples: Path) -> None:
    files = sorted(examples.glob("*.py"))
    called("-m", "ruff", "check", "--config", ROOT / "pyproject.toml", *files, folder=examples)
    called("-m", "ruff", "format", "--check", "--config", ROOT / "pyproject.toml", *files, folder=examples)


@pytest.mark.parametrize(
    ("module", "name", "tests"),
    [("example_method", "l2_group", "test_methods.py"), ("example_normalizer", "plain", "test_normalizers.py")],
)
def test_the_examples_keep_the_contract(examples: Path, module: str, name: str, tests: str) -> None:
    said = called(
        *("-m", "pytest", "-q", "-p", module, "-p", "no:cacheprovider", "-k", name, f"tests/contracts/{tests}"),
        folder=examples,
    )
    assert re.search(r"\d+ passed", said)

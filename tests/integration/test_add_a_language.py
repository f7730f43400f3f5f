"""``docs/add-a-language.md`` is true: what it writes and runs is written and run, in an environment of its own.

A block after a line that ends with `` `PATH`: `` is a file; after "Append to", the end of one; after "In ..., change",
lines that take the place of those that begin alike. A ``sh`` block is run, line by line; a ``text`` block that no path
stands before is a part of what the last command printed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from tests.integration._packages import FAKE_PLUGIN, ROOT, russian_run

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "add-a-language.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
LANGUAGE = FAKE_PLUGIN / "language"


@dataclass(frozen=True)
class Place:
    """A folder, and the environment whose commands are run in it."""

    folder: Path
    scripts: Path

    def run(self, line: str) -> str:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        path = os.pathsep.join([str(self.scripts), clean["PATH"]])
        settings = {
            "PATH": path,
            "PIP_CONFIG_FILE": str(self.scripts / "pip.conf"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        done = subprocess.run(
            line, shell=True, capture_output=True, text=True, env=clean | settings, cwd=self.folder, check=False
        )
        assert done.returncode == 0, f"{line}\n{(done.stdout + done.stderr)[-3000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return an environment that borrows ours, in which the guide's package can be installed without touching ours."""
    home = tmp_path_factory.mktemp("guide")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
    scripts = home / "venv" / "bin"
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([scripts / "python", "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    lent = [str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (Path(site) / "lent.pth").write_text("\n".join(dict.fromkeys(lent)) + "\n")
    (scripts / "prunebench").write_text(f"#!{scripts / 'python'}\nfrom benchmark.cli.main import main\nmain()\n")
    (scripts / "prunebench").chmod(0o755)
    (scripts / "pip.conf").write_text("[global]\nno-index = yes\n[install]\nno-build-isolation = no\n")
    folder = home / "here"
    russian_run(folder / "out" / "russian")
    for split in ("train", "test"):
        (folder / "recordings" / split).mkdir(parents=True)
        soundfile.write(folder / "recordings" / split / "one.wav", [0.0] * 16000, 16000)
        (folder / "recordings" / split / "one.txt").write_text("Ещё раз.", encoding="utf-8")
    return Place(folder, scripts)


@pytest.fixture(scope="module")
def walked(place: Place) -> Place:
    """Do everything that the guide does, in its order; ``said`` is what the last command block printed."""
    said = ""
    for block in BLOCK.finditer(GUIDE):
        kind, body = block.group("kind", "body")
        before = GUIDE[: block.start()].rstrip().rpartition("\n")[2]
        path = re.search(r"`([^`]+)`", before)
        named = path is not None and (before.startswith(("`", "Append to `", "In `")))
        if named and path is not None:
            _write(place.folder / path[1], before, body)
        elif kind == "sh":
            said = "\n".join(place.run(line) for line in body.splitlines())
        elif kind == "python":
            (place.folder / "snippet.py").write_text(body, encoding="utf-8")
            said = place.run("python snippet.py")
        else:
            assert kind == "text", f"nobody knows what to do with this block of {kind}: {body}"
            _check_shown(body, said)
    return place


def _write(path: Path, before: str, body: str) -> None:
    if before.startswith("`"):
        path.write_text(body, encoding="utf-8")
    elif before.startswith("Append"):
        path.write_text(path.read_text(encoding="utf-8") + body, encoding="utf-8")
    else:
        text = path.read_text(encoding="utf-8")
        for line in body.splitlines():
            start = line.partition(" = ")[0] + " = "
            text, count = re.subn(rf"^{re.escape(start)}.*$", lambda _, new=line: new, text, flags=re.MULTILINE)
            assert count == 1, f"{path}: {count} lines begin with {start!r}"
        path.write_text(text, encoding="utf-8")


def _check_shown(shown: str, said: str) -> None:
    lines = iter([" ".join(line.split()) for line in said.splitlines()])
    for line in shown.splitlines():
        wanted = " ".join(line.split())
        assert wanted in lines, f"the guide shows {wanted!r}, but what is printed there is:\n{said}"


def test_every_block_is_looked_at() -> None:
    assert GUIDE.count("```") == 2 * len(BLOCK.findall(GUIDE)) >= 30


def test_it_can_be_walked_and_what_comes_out_is_the_fake_plugin(walked: Place) -> None:
    made = walked.folder / "prunebench-russian"
    kept = ("pyproject.toml", "tests/test_russian.py", "prunebench_russian/__init__.py")
    data = [path.relative_to(LANGUAGE) for path in LANGUAGE.rglob("*.tsv")]
    assert len(data) == 3
    for path in (*kept, *data):
        assert (made / path).read_text(encoding="utf-8") == (LANGUAGE / path).read_text(encoding="utf-8"), path
    assert {path.relative_to(made) for path in made.rglob("*.tsv")} == set(data)


def test_what_is_to_be_judged_is_what_the_guide_judges(walked: Place) -> None:
    drawn = (walked.folder / "audit" / "russian_unjudged.tsv").read_text(encoding="utf-8").splitlines()[1:]
    (judged,) = re.findall(r"Append to [^\n]+\n\n```tsv\n(.*?)```", GUIDE, re.DOTALL)
    assert sorted(line.rpartition("\t")[0] for line in judged.splitlines()) == sorted(
        line.rpartition("\t")[0] for line in drawn
    )
    assert {line.rpartition("\t")[2] for line in judged.splitlines()} <= {"equal", "distinct"}


def test_the_normaliser_has_thirty_lines() -> None:
    """Of code: without blank lines, docstrings and what formats them."""
    code = re.sub(r'"""(.*?)"""', "", (LANGUAGE / "prunebench_russian" / "__init__.py").read_text(), flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 31


def test_the_report_is_written(walked: Place) -> None:
    assert "russian:1" in (walked.folder / "report" / "leaderboard.md").read_text(encoding="utf-8")


def test_files_and_chapters_that_are_named_exist() -> None:
    for path in re.findall(r"`((?:tests|normalizers|benchmark|docs)/[\w./-]+)`", GUIDE):
        assert (ROOT / path).exists(), path

"""Packages from outside: made, installed for real by pip into a folder, and used from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmark.store.files import write_atomically
from benchmark.store.folders import open_run
from benchmark.store.naming import short_hash
from benchmark.store.records import MODEL, Attempt
from tests import fake_runs

ROOT = Path(__file__).parents[2]
FAKE_PLUGIN = ROOT / "tests" / "fake_plugin"


def called(*command: object, site: Path, cwd: Path, code: int = 0) -> str:
    """Run Python where ``site`` holds what is installed, and return what it prints, on stderr too if it fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)]), "COLUMNS": "200"}
    environment["OMP_NUM_THREADS"] = "1"  # tiny models: more threads only wait for each other
    arguments = [sys.executable, *(str(part) for part in command)]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
    assert done.returncode == code, (done.stdout + done.stderr)[-3000:]
    return done.stdout + (done.stderr if code else "")


def installed(source: Path, folder: Path, site: Path | None = None) -> Path:
    """Install a package for real, from a copy (setuptools builds in its source), and return where it lies."""
    copied, site = folder / "source", site or folder / "site"
    shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__"))
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-build-isolation")
    called(*pip, "--no-index", "--target", site, copied, site=site, cwd=folder)
    return site


def package(folder: Path, name: str, modules: Mapping[str, str]) -> Path:
    """Write a package whose modules are all plug-ins, and return its folder."""
    folder.mkdir(parents=True)
    points = "".join(f'{module} = "{module}"\n' for module in modules)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "{name}"\nversion = "1"\n'
        f'[project.entry-points."prunebench.plugins"]\n{points}'
        f"[tool.setuptools]\npy-modules = {list(modules)!r}\n"
    )
    for module, code in modules.items():
        (folder / f"{module}.py").write_text(code)
    return folder


def russian_run(run: Path) -> Path:
    """Write a run folder with stored transcripts of Russian, one cell, no model; return it.

    The references are in the spelling with ё, the hypotheses as print writes, and one word of 16 is misheard.
    """
    said = [
        ("Ещё 10 000 ёлок стоят в углу.", "еще 10000 елок стоят в углу"),
        ("Всё хорошо, и все довольны!", "все хорошо и все довольны"),
        ("Она пришла; он ещё спит.", "она пришла он еще стоит"),
    ]
    open_run(run, create=True)
    corpus = {"name": "fake-ru", "version": "1", "language": "ru", "options": {}}
    data = fake_runs.ok_data(fake_runs.spec("shipped", corpus=corpus, training=None))
    attempt = Attempt.create(run, short_hash(data["spec"]) * 2, data["spec"])
    write_atomically(attempt.path / MODEL, b"no weights: this is a fake")
    columns = {
        "id": [f"test-{number}" for number in range(len(said))],
        "speaker": ["fake"] * len(said),
        "reference": [reference for reference, _ in said],
        "hypothesis": [hypothesis for _, hypothesis in said],
        "tokens": [len(hypothesis) for _, hypothesis in said],
        "truncated": [False] * len(said),
    }
    name = attempt.write_transcripts("fake-ru", "ru", "test", columns)
    data["data"]["test"] = {"hash": short_hash(said), "utterances": len(said), "transcripts": name}
    attempt.commit(data)
    return run

"""Packages from outside: made, installed for real by pip into a folder, and used from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

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

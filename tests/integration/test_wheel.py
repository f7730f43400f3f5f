"""The wheel: what is in it, and that it works where only it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmark", "methods", "normalizers", "reports", "studies")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that the checkout stays as it is; ``tests`` lies beside the packages, as there."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    checked(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ``bin`` folder of a new environment that holds the wheel, and borrows its dependencies from here.

    The dependencies are lent by a path file, which does not take over the editable installation of this checkout: the
    packages under test come from the wheel, or from nowhere.
    """
    home = tmp_path_factory.mktemp("environment") / "venv"
    checked(sys.executable, "-m", "venv", "--without-pip", home)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    pip = (sys.executable, "-m", "pip", "--python", scripts / "python", "--disable-pip-version-check")
    checked(*pip, "install", "-q", "--no-index", "--no-deps", wheel)
    site = checked(scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(site) / "lent.pth").write_text("\n".join(sorted(lent)) + "\n")
    return scripts


def checked(*command: object, cwd: Path | None = None) -> str:
    """Run a command as a stranger would, without the paths of this test run, and return what it prints."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, env=clean)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_only_the_five_packages_are_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert not any("__pycache__" in name for name in names)


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert files - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_presets_weights_and_licence_are_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"benchmark/presets/default.yaml", "benchmark/presets/tiny.yaml"} <= set(names)
    assert any(name.startswith("benchmark/whisper/models/") and name.endswith(".safetensors") for name in names)
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_it_plans_from_any_folder(environment: Path, tmp_path: Path) -> None:
    said = checked(environment / "prunebench", "plan", cwd=tmp_path)
    assert "default: 23 cells" in said
    assert "23 missing" in said
    assert not list(tmp_path.iterdir())


def test_it_writes_a_plug_in_from_any_folder(environment: Path, tmp_path: Path) -> None:
    checked(environment / "prunebench", "new", "method", "my_norm", "--package", "mine", cwd=tmp_path)
    assert (tmp_path / "mine" / "prunebench_my_norm.py").is_file()
    checked(environment / "python", "-c", "import benchmark.contracts, benchmark.whisper.tiny", cwd=tmp_path)


def test_the_packages_in_use_are_the_installed_ones(environment: Path, tmp_path: Path) -> None:
    code = f"import importlib; print(*(importlib.import_module(name).__file__ for name in {PACKAGES!r}), sep='\\n')"
    found = checked(environment / "python", "-c", code, cwd=tmp_path).split()
    assert len(found) == len(PACKAGES)
    assert all(Path(path).is_relative_to(environment.parent) for path in found)

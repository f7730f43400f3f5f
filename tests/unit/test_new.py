"""``prunebench new``: what it writes is sound, and it never writes over or half of anything."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmark.api import Method
from benchmark.cli import new as module
from benchmark.cli.main import invoke
from benchmark.registry import REGISTRY

ROOT = Path(__file__).parents[2]
KINDS = ("method", "normalizer")
NAMES = ("my_norm", "group", "scores_method", "budget", "config", "match", "l2", "x" * 40)
"""Plain, like words that the template imports, with a suffix that is dropped, a soft keyword, and the longest."""


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run one command in an empty folder; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = invoke([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def refused(call, tmp_path: Path):
    """Run a command that cannot be carried out: one line, code 2, nothing changed; return the line."""

    def run(*arguments: str | Path) -> str:
        before = contents(tmp_path)
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("prunebench: error: ")
        assert err.count("\n") == 1
        assert contents(tmp_path) == before
        return err

    return run


def contents(folder: Path) -> dict[Path, str | None]:
    return {path: path.read_text() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder that is a checkout as far as it can be told."""
    root = tmp_path / "checkout"
    for part in ("benchmark", "methods", "normalizers/data", "tests/unit", "tests/integration"):
        (root / part).mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "prunebench"\n')
    return root


def python(*command: str | Path, cwd: Path, path: tuple[Path, ...] = ()) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *path))), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


# --- what is written ----------------------------------------------------------------------------------------------


def test_into_the_checkout_one_stands_in(call, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout / "tests" / "unit")
    code, out, err = call("new", "methods", "my_norm")
    assert (code, err) == (0, "")
    written = re.findall("^written: (.*)$", out, re.MULTILINE)
    assert written == [str(checkout / "methods" / "my_norm.py"), "test_my_norm.py"]
    assert all(Path(path).read_text().endswith("\n") for path in written)
    assert f"python -m pytest {written[1]}\n" in out and "prunebench describe method my_norm\n" in out


def test_into_a_package_of_its_own(call, tmp_path: Path) -> None:
    code, out, err = call("new", "method", "my_norm", "--package", "some where/else")
    package = tmp_path / "some where" / "else"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert (code, err) == (0, "")
    assert files == {"pyproject.toml", "prunebench_my_norm.py", "tests/test_my_norm.py"}
    assert "python -m pip install -e 'some where/else'\n" in out
    project = tomllib.loads((package / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["prunebench.plugins"] == {"my_norm": "prunebench_my_norm"}
    assert project["tool"]["setuptools"]["py-modules"] == ["prunebench_my_norm"]


def test_a_kind_with_data_files_is_a_folder_in_a_package_and_a_file_in_a_checkout(
    call, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = checkout.parent / "package"
    assert call("new", "normalizer", "swahili", "--language", "sw", "--package", package)[0] == 0
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    data = {f"data/swahili_{part}.tsv" for part in ("judged", "variants")}
    inside = {f"prunebench_swahili/{path}" for path in ("__init__.py", *data)}
    assert files == {"pyproject.toml", "tests/test_swahili.py", *inside}
    setup = tomllib.loads((package / "pyproject.toml").read_text())
    assert setup["project"]["entry-points"]["prunebench.plugins"] == {"swahili": "prunebench_swahili"}
    assert setup["tool"]["setuptools"] == {
        "packages": ["prunebench_swahili"],
        "package-data": {"prunebench_swahili": ["data/*.tsv"]},
    }
    assert '= ("sw",)' in (package / "prunebench_swahili" / "__init__.py").read_text()
    monkeypatch.chdir(checkout)
    assert call("new", "normalizer", "swahili")[0] == 0
    home = checkout / "normalizers"
    assert {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()} == {"swahili.py", *data}
    assert "= ()" in (home / "swahili.py").read_text() and 'HOME = "normalizers"' in (home / "swahili.py").read_text()


def test_beside_files_that_are_there(call, tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "tests").mkdir(parents=True)
    (package / "README.md").write_text("mine")
    assert call("new", "method", "my_norm", "--package", package)[0] == 0
    assert (package / "README.md").read_text() == "mine"
    assert (package / "tests" / "test_my_norm.py").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_keeps_our_style_whatever_the_name(call, checkout: Path, monkeypatch, kind: str) -> None:
    monkeypatch.chdir(checkout)
    for name in NAMES:
        assert call("new", kind, name)[0] == 0
    files = [*checkout.rglob(f"{kind}s/*.py"), *checkout.rglob("tests/unit/*.py")]
    assert len(files) == 2 * len(NAMES)
    # Named as if they lay in our own folders: what is first-party and what is a test goes by the path.
    for file in files:
        path, text = ROOT / file.relative_to(checkout), file.read_text()
        for command in (("check", "--no-cache", "--quiet"), ("format", "--no-cache", "--check", "--quiet")):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "--stdin-filename", path, "-"],
                input=text,
                capture_output=True,
                text=True,
                cwd=ROOT,
                check=False,
            )
            assert done.returncode == 0, f"{path}: {done.stdout}{done.stderr}"


@pytest.mark.slow
def test_what_is_written_has_types_that_fit(call, tmp_path: Path) -> None:
    for kind in KINDS:
        assert call("new", kind, f"my_{kind}", "--package", tmp_path / kind)[0] == 0
    written = [path for path in tmp_path.rglob("*.py") if path.parent.name != "tests"]
    assert len(written) == len(KINDS)
    said = python("-m", "mypy", "--config-file", ROOT / "pyproject.toml", *written, cwd=ROOT)
    assert said.startswith("Success")


@pytest.mark.parametrize(("kind", "count"), [("method", 3), ("normalizer", 1)])
def test_classes_do_not_shadow_what_the_template_imports(call, tmp_path: Path, kind: str, count: int) -> None:
    for name in NAMES:
        assert call("new", kind, name, "--package", tmp_path / name)[0] == 0
        (file,) = [*(tmp_path / name).glob(f"prunebench_{name}.py"), *(tmp_path / name).glob("*/__init__.py")]
        tree = ast.parse(file.read_text())
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        assert len(classes) == count
        assert not imported & set(classes)
    assert classes[0].startswith("X" + "x" * 39)


@pytest.mark.slow
def test_the_tests_that_are_written_pass_and_can_fail(call, tmp_path: Path) -> None:
    """The whole way through pip is in tests/integration; here the module is loaded by hand."""
    assert call("new", "method", "my_norm", "--package", tmp_path)[0] == 0
    pytest_ = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "prunebench_my_norm", tmp_path / "tests")
    assert re.search("^11 passed", python(*pytest_, cwd=tmp_path, path=(tmp_path,)), re.MULTILINE)
    plugin = tmp_path / "prunebench_my_norm.py"
    plugin.write_text(
        plugin.read_text().replace('per_member(view, group, "square")', '-per_member(view, group, "abs")')
    )
    with pytest.raises(AssertionError, match="test_small_neurons_go_and_large_ones_stay"):
        python(*pytest_, "-k", "neurons", cwd=tmp_path, path=(tmp_path,))


@pytest.mark.slow
def test_the_tests_of_a_normaliser_pass_and_can_fail(call, tmp_path: Path) -> None:
    assert call("new", "normalizer", "swahili", "--language", "sw", "--package", tmp_path)[0] == 0
    pytest_ = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "prunebench_swahili", tmp_path / "tests")
    assert re.search("^12 passed", python(*pytest_, cwd=tmp_path, path=(tmp_path,)), re.MULTILINE)
    changes = {
        "prunebench_swahili/__init__.py": [
            ("_variants().get(word, word)", 'word + "a"', "test_it_keeps_the_contract"),  # no fixed point
            ("program(VARIANTS)", "(VARIANTS,)", "test_golden_text"),  # the common rules are gone
        ],
        "prunebench_swahili/data/swahili_variants.tsv": [
            ("gray\ta colour\n", "gray\ta colour\npractise\tpractice\ta habit\n", "test_what_was_judged"),
            ("grey\tgray", "greyish\tgrayish", "test_golden_text"),
        ],
    }
    for name, faults in changes.items():
        whole = (tmp_path / name).read_text()
        for right, wrong, test in faults:
            assert right in whole
            (tmp_path / name).write_text(whole.replace(right, wrong))
            with pytest.raises(AssertionError, match=f"FAILED .*::{test}"):
                python(*pytest_, "-k", test, cwd=tmp_path, path=(tmp_path,))
        (tmp_path / name).write_text(whole)


def test_it_is_light(tmp_path: Path) -> None:
    code = (
        "import sys; from benchmark.cli.main import invoke\n"
        "invoke(['new', '--help']); early = 'jinja2' in sys.modules\n"
        "assert invoke(['new', 'method', 'my_norm', '--package', 'here']) == 0\n"
        "print(early, [name for name in ('torch', 'transformers', 'pandas', 'datasets') if name in sys.modules])"
    )
    assert python("-c", code, cwd=tmp_path).splitlines()[-1] == "False []"


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["corpus", "mine"], "there is no template of kind 'corpus'; there is: method, normalizer"),
        (["reports", "mine"], "there is no template of kind 'reports'; there is: method, normalizer"),
        (["verb", "mine"], "there is no template of kind 'verb'; there is: method, normalizer"),
        (["method", "my-method"], "'my-method' cannot be the name of a method: take a Python identifier"),
        (["method", "lambda"], "'lambda' cannot be the name of a method"),
        (["method", "2fast"], "'2fast' cannot be the name of a method"),
        (["method", "_hidden"], "'_hidden' cannot be the name of a method"),
        (["method", "../mine"], "'../mine' cannot be the name of a method"),
        (["method", "विधि"], "'विधि' cannot be the name of a method"),
        (["method", "x" * 41], "up to 40 characters"),
        (["method", "method"], "'method' is what a kind of plug-in is called"),
        (["method", "imp"], "method 'imp' is there already: methods.imp.Imp; choose another name"),
        (["method", "mine"], "not inside a checkout of prunebench"),
        (["normalizer", "hindi"], "normalizer 'hindi' is there already: normalizers.hindi.Hindi; choose another name"),
        (
            ["normalizer", "mine", "--language", "hi"],
            "the language has the normalizer 'hindi' (normalizers.hindi.Hindi)",
        ),
        (["normalizer", "mine", "--language", "Russian"], "--language 'Russian': no language code"),
        (["normalizer", "mine", "--language", ""], "--language '': no language code"),
        (["method", "mine", "--language", "ru"], "--language ru: a method is for all languages"),
    ],
)
def test_what_cannot_be_made(refused, arguments: list[str], said: str) -> None:
    assert said in refused("new", *arguments)


def test_a_name_belongs_to_whoever_has_registered_it(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(Method):
        """Is there."""

    monkeypatch.setitem(REGISTRY._plugins, "method", {**REGISTRY._of("method"), "mine": Theirs})
    monkeypatch.setitem(REGISTRY._owners, ("method", "mine"), "their_package.Theirs")
    said = refused("new", "method", "mine", "--package", "here")
    assert "method 'mine' is there already: their_package.Theirs" in said


def test_data_that_exists_is_not_overwritten(refused, checkout: Path, monkeypatch) -> None:
    monkeypatch.chdir(checkout)
    (checkout / "normalizers" / "data" / "mine_judged.tsv").write_text("precious")
    assert "normalizers/data/mine_judged.tsv: exists" in refused("new", "normalizer", "mine")


@pytest.mark.parametrize("there", ["pyproject.toml", "prunebench_mine.py", "tests/test_mine.py"])
def test_files_that_exist_are_not_overwritten(refused, tmp_path: Path, there: str) -> None:
    file = tmp_path / "package" / there
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    assert f"package/{there}: exists, and is not overwritten" in refused(
        "new", "method", "mine", "--package", "package"
    )


@pytest.mark.parametrize("there", ["methods/mine.py", "tests/unit/test_mine.py", "tests/integration/test_mine.py"])
def test_files_of_a_checkout_are_not_overwritten(refused, checkout: Path, monkeypatch, there: str) -> None:
    monkeypatch.chdir(checkout)
    (checkout / there).write_text("precious")
    assert there in refused("new", "method", "mine")


def test_a_link_to_nowhere_is_a_file_that_exists(refused, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").symlink_to(tmp_path / "elsewhere.toml")
    assert "pyproject.toml: exists" in refused("new", "method", "mine", "--package", tmp_path)


def test_nothing_is_left_where_one_file_cannot_be_written(refused, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "tests").write_text("in the way of a folder")
    said = refused("new", "method", "mine", "--package", "package")
    assert "package/tests/test_mine.py: cannot be written" in said and "nothing was written" in said


def test_nothing_is_left_after_an_interruption(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.open

    def interrupted(path: Path, *how: str, **more: str):
        if path.name == "test_mine.py":
            raise KeyboardInterrupt
        return whole(path, *how, **more)

    monkeypatch.setattr(Path, "open", interrupted)
    code, out, _ = call("new", "method", "mine", "--package", "a/b")
    assert (code, out) == (130, "")
    assert not list(tmp_path.iterdir())


# --- other kinds --------------------------------------------------------------------------------------------------


def test_a_kind_comes_with_its_two_templates(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "report.py.j2").write_text("# {{ base }} {{ kind }} {{ module }}\n")
    assert module.kinds(templates) == []
    (templates / "test_report.py.j2").write_text("# {{ name }}\n")
    assert module.kinds(templates) == ["report"]
    (templates / "report_words.tsv.j2").write_text("# {{ package }}\n")
    (templates / "pyproject.toml.j2").write_text("[project]\n")
    monkeypatch.setattr(module, "_TEMPLATES", templates)
    assert call("new", "report", "my_table", "--package", "made")[0] == 0
    made = tmp_path / "made" / "prunebench_my_table"
    assert (made / "__init__.py").read_text() == "# MyTable report prunebench_my_table\n"
    assert (made / "data" / "my_table_words.tsv").read_text() == "# prunebench_my_table\n"

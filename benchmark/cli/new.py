"""``prunebench new KIND NAME``: a working plug-in and its tests, to be changed into one's own.

A kind can be made as soon as ``templates/`` holds ``KIND.py.j2`` and ``test_KIND.py.j2``; what is called
``KIND_PART.tsv.j2`` becomes a file ``data/NAME_PART.tsv`` beside the module. They are given ``name``, ``base`` (the
name as the beginning of a class' name), ``kind``, ``module``, ``package`` (that the data files are in), ``version`` and
``languages`` (a tuple as Python writes it).
"""

from __future__ import annotations

import json
import keyword
import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli._plugins import PLURALS
from benchmark.errors import SpecError, StoreError
from benchmark.registry import REGISTRY

_TEMPLATES = Path(__file__).parent / "templates"
_FOLDERS = {
    "method": "methods",
    "normalizer": "normalizers",
    "corpus": "benchmark/corpora",
    "model": "benchmark/whisper/models",
    "report": "reports",
}
"""Where plug-ins of a kind lie in a checkout."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST = 40
_CODE = re.compile(r"[a-z]{2,3}")


def kinds(templates: Path) -> list[str]:
    """Return the kinds of plug-in that there are templates for."""
    return [kind for kind in _FOLDERS if all((templates / f"{part}{kind}.py.j2").is_file() for part in ("", "test_"))]


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=" | ".join(kinds(_TEMPLATES)))],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, as a spec will say it: my_method.")],
    package: Annotated[
        Path | None, typer.Option("--package", help="Folder for a package of its own, outside a checkout.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option("--language", metavar="CODE", help="Whisper's code of the language that a normalizer is for."),
    ] = None,
) -> None:
    """Write a working plug-in and its tests: into this checkout, or as a package of its own.

    What it does is an example; change it. Files that exist are never overwritten.
    """
    kind = _known(kind)
    _check_name(kind, name)
    if language is not None:
        _check_language(kind, language)
    languages = () if language is None else (language,)
    files = _in_checkout(kind, name, languages) if package is None else _as_package(kind, name, languages, package)
    _write(files)
    for path in files:
        print(f"written: {_shown(path)}")
    print("next:")
    tests = [_shown(path) for path in files if path.name.startswith("test_")]
    if package is not None:
        print(f"  python -m pip install -e {_shown(package)}")
    print(f"  python -m pytest {' '.join(tests)}")
    print(f"  prunebench describe {kind} {name}")


def _known(kind: str) -> str:
    """Return the kind, which may be given in the plural, if there are templates of it."""
    singular, known = PLURALS.get(kind, kind), kinds(_TEMPLATES)
    if singular not in known:
        raise SpecError(f"there is no template of kind {kind!r}; there is: {', '.join(known)}")
    return singular


def _check_name(kind: str, name: str) -> None:
    """Raise unless the name can be that of a new plug-in, of its module, and the beginning of its classes' names."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > _LONGEST:
        raise SpecError(
            f"{name!r} cannot be the name of a {kind}: take a Python identifier of small ASCII letters, digits and "
            f"underscores, a letter first, no keyword, up to {_LONGEST} characters"
        )
    if name in (*PLURALS, *PLURALS.values()):
        raise SpecError(f"{name!r} is what a kind of plug-in is called; give the {kind} a name of its own")
    if name in REGISTRY.names(kind):
        raise SpecError(f"{kind} {name!r} is there already: {REGISTRY.owner(kind, name)}; choose another name")


def _check_language(kind: str, code: str) -> None:
    """Raise unless the language can get a new normaliser: with two of them, `auto` could take neither."""
    if kind != "normalizer":
        raise SpecError(f"--language {code}: a {kind} is for all languages; only a normalizer is for one")
    if not _CODE.fullmatch(code):
        raise SpecError(f"--language {code!r}: no language code; Whisper's are two or three small letters, e.g. ru")
    for name, plugin in REGISTRY.plugins("normalizer"):
        if code in plugin.languages and not plugin.reference:
            owner = REGISTRY.owner("normalizer", name)
            raise SpecError(
                f"--language {code}: the language has the normalizer {name!r} ({owner}); leave --language out, and "
                "choose yours by its name"
            )


def _in_checkout(kind: str, name: str, languages: tuple[str, ...]) -> dict[Path, str]:
    """Return the files for the checkout that the user stands in."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if _is_checkout(folder)), None)
    if root is None:
        raise StoreError(
            f"{here}: not inside a checkout of prunebench; go into one, or write a package of your own: --package DIR"
        )
    for other in (root / "tests").rglob(f"test_{name}.py"):  # pytest takes no two files of one name
        raise StoreError(f"{_shown(other)}: there are tests of that name; choose another name for the {kind}")
    home = _FOLDERS[kind]
    package = home.replace("/", ".")
    facts = _facts(kind, name, languages, f"{package}.{name}", package)
    return {
        root / home / f"{name}.py": _render(f"{kind}.py.j2", facts),
        **_data(kind, name, root / home / "data", facts),
        root / "tests" / "unit" / f"test_{name}.py": _render(f"test_{kind}.py.j2", facts),
    }


def _is_checkout(folder: Path) -> bool:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or not one that can be read: then it is not ours
        return False
    return project.get("project", {}).get("name") == "prunebench" and all(
        (folder / part).is_dir() for part in ("benchmark", "methods", "tests")
    )


def _as_package(kind: str, name: str, languages: tuple[str, ...], folder: Path) -> dict[Path, str]:
    """Return the files of a package; its module has a name that shadows no other package."""
    module = f"prunebench_{name}"
    facts = _facts(kind, name, languages, module, module)
    data = _data(kind, name, folder / module / "data", facts)
    return {
        folder / "pyproject.toml": _render("pyproject.toml.j2", {**facts, "has_data": bool(data)}),
        folder / (f"{module}/__init__.py" if data else f"{module}.py"): _render(f"{kind}.py.j2", facts),
        **data,
        folder / "tests" / f"test_{name}.py": _render(f"test_{kind}.py.j2", facts),
    }


def _data(kind: str, name: str, folder: Path, facts: Mapping[str, object]) -> dict[Path, str]:
    """Return the data files of a plug-in, which lie in ``folder``."""
    parts = sorted(path.name for path in _TEMPLATES.glob(f"{kind}_*.tsv.j2"))
    return {folder / f"{name}{part.removeprefix(kind).removesuffix('.j2')}": _render(part, facts) for part in parts}


def _facts(kind: str, name: str, languages: tuple[str, ...], module: str, package: str) -> dict[str, str]:
    """Return what templates may ask for."""
    from benchmark import __version__

    base = "".join(part[:1].upper() + part[1:] for part in name.removesuffix(f"_{kind}").split("_"))
    listed = f"({', '.join(map(json.dumps, languages))}{',' * (len(languages) == 1)})"
    facts = {"name": name, "base": base, "kind": kind, "module": module, "version": __version__}
    return {**facts, "package": package, "languages": listed}


def _render(template: str, facts: Mapping[str, object]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # Python and TOML, no HTML; names are checked
    )
    return environment.get_template(template).render(facts)


def _write(files: Mapping[Path, str]) -> None:
    """Write all files, none of which may exist; where one cannot be written, take the others back.

    Raises:
        StoreError: a file exists, or cannot be written.
    """
    for path in files:
        if os.path.lexists(path):
            raise StoreError(f"{_shown(path)}: exists, and is not overwritten; choose another name or folder")
    made: list[Path] = []
    path = Path()
    try:
        for path, text in files.items():
            for folder in reversed([p for p in path.parents if not p.exists()]):
                folder.mkdir()
                made.append(folder)
            with path.open("x", encoding="utf-8") as file:  # "x": it may have come into being just now
                made.append(path)
                file.write(text)
    except BaseException as error:
        for thing in reversed(made):
            thing.rmdir() if thing.is_dir() else thing.unlink()
        if isinstance(error, OSError):
            raise StoreError(f"{_shown(path)}: cannot be written ({error.strerror}); nothing was written") from error
        raise


def _shown(path: Path) -> str:
    """Return a path as it can be typed from here."""
    whole, here = path.absolute(), Path.cwd()
    return shlex.quote(str(whole.relative_to(here) if whole.is_relative_to(here) else whole))


@REGISTRY.register("verb", "new")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("new")(new)

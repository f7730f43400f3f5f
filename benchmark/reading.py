"""Specs as plain data: YAML files and presets read strictly, and pydantic's errors as one line. No torch.

Whatever kind of spec it is: a leaderboard (``benchmark.spec_files``), a study, an ablation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from benchmark.errors import SpecError, nearest

_SUFFIXES = (".yaml", ".yml", ".json")
Kind = TypeVar("Kind", bound=BaseModel)


def presets_of(package: str) -> list[str]:
    """Return the names of the specs that come with a package of YAML files."""
    return sorted(item.name.removesuffix(".yaml") for item in files(package).iterdir() if item.name.endswith(".yaml"))


def read_mapping(source: str | Path, package: str, *, needs: str) -> tuple[dict[str, Any], str]:
    """Return the data of a YAML file, or of the preset of that name in ``package``, and what to call it in an error.

    ``needs`` is the key that such a spec cannot do without.

    Raises:
        SpecError: no such file or preset, broken YAML, or no mapping.
    """
    text, where = _read(str(source), package)
    try:
        data = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise SpecError(f"{where}: broken YAML{_at(error)}") from None
    except RecursionError:
        raise SpecError(f"{where}: broken YAML, nested too deeply") from None
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise SpecError(f"{where}: a spec is a mapping with at least the key {needs!r}, and this file holds {found}")
    return data, where


def parse_as(kind: type[Kind], data: dict[str, Any], where: str) -> Kind:
    """Return the spec that plain data describe; ``where`` begins the error.

    Raises:
        SpecError: an unknown key (the nearest is suggested, at any depth) or a value that cannot be.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{where}: {_explain(error, kind)}") from None


def _read(source: str, package: str) -> tuple[str, str]:
    """Return the text of a spec and what to call it."""
    path, known = Path(source), presets_of(package)
    if path.suffix.lower() not in _SUFFIXES and path.name == source:
        if source in known:
            return (files(package) / f"{source}.yaml").read_text(encoding="utf-8"), f"preset {source!r}"
        if not path.is_file():
            raise SpecError(f"unknown preset {source!r}{nearest(source, known)} (or give the path of a YAML file)")
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except FileNotFoundError:
        raise SpecError(f"{path}: no such spec file; presets: {', '.join(known)}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text (byte {error.start}); save the spec as UTF-8") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}); give a YAML file or a preset's name") from None


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping.

        Raises:
            yaml.MarkedYAMLError: a key is there twice.
        """
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key_node.value!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _at(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return f" at line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else f": {problem}"


# --- explaining ---------------------------------------------------------------------------------------------------


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """Return the first thing that is wrong: unknown keys before the keys that are missing because of them."""
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    first = faults[0]
    place = _place(first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {place!r}{_nearest_key(str(first['loc'][-1]), _fields(kind, first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"the key {place!r} is missing"
    said = str(first["msg"]).removeprefix("Value error, ")
    return f"{place} = {first['input']!r}: {said}" if first["loc"] else said  # else it is about the spec as a whole


def _place(loc: Sequence[int | str]) -> str:
    """Return ``grid[1].keep[0]`` from a path into the data."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".") or "the spec"


def _nearest_key(key: str, known: Sequence[str]) -> str:
    """Suggest a key: by spelling, else by a shared beginning (``normaliser`` and ``normalizer`` are close anyway)."""
    begins = [name for name in known if name.startswith(key) or key.startswith(name)]
    return f"; did you mean {begins[0]!r}?" if begins and not get_close_matches(key, known) else nearest(key, known)


def _fields(top: type[BaseModel], loc: Iterable[int | str]) -> list[str]:
    """Return the keys that are known at a place of the spec; none where any key may stand."""
    kind: Any = top
    for part in loc:
        if isinstance(part, int):
            continue
        if not (isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields):
            return []
        annotation = kind.model_fields[part].annotation
        inner = [item for item in get_args(annotation) if isinstance(item, type) and issubclass(item, BaseModel)]
        kind = inner[0] if inner else annotation
    return sorted(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []

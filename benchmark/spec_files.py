"""Specs from YAML files and presets, flags laid over them, and the check that they can be carried out. No torch.

Everything that can be known to be wrong is said here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from benchmark.api import Corpus
from benchmark.errors import SpecError, nearest
from benchmark.registry import REGISTRY
from benchmark.specs import LANGUAGE, CorpusSpec, Leaderboard, MethodSpec, Row
from benchmark.text.chosen import checked

_SUFFIXES = (".yaml", ".yml", ".json")
YARDSTICK = "dense"
"""The method that no leaderboard does without: differences are taken against it."""


def presets() -> list[str]:
    """Return the names of the specs that come with the package."""
    folder = files("benchmark.presets")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_spec(source: str | Path) -> Leaderboard:
    """Read a spec from a YAML file, or by the name of a preset.

    Raises:
        SpecError: no such file or preset, broken YAML, an unknown key, or a value that cannot be.
    """
    text, where = _read(str(source))
    try:
        data = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise SpecError(f"{where}: broken YAML{_at(error)}") from None
    except RecursionError:
        raise SpecError(f"{where}: broken YAML, nested too deeply") from None
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise SpecError(f"{where}: a spec is a mapping with at least the key 'grid', and this file holds {found}")
    return parse(data, where)


def parse(data: dict[str, Any], where: str) -> Leaderboard:
    """Return the spec that plain data describe; ``where`` begins the error.

    Raises:
        SpecError: an unknown key (the nearest is suggested, at any depth) or a value that cannot be.
    """
    try:
        return Leaderboard.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{where}: {_explain(error)}") from None


def as_spec(source: Leaderboard | Mapping[str, Any] | str | Path) -> Leaderboard:
    """Return a checked spec from what a user may have: a spec, a mapping, a YAML file, or the name of a preset.

    Raises:
        SpecError: what is unknown, does not fit, or is none of these.
        DataError: a model or corpus that is not there.
    """
    if isinstance(source, Leaderboard):
        return validate(source)
    if isinstance(source, Mapping):
        return validate(parse(dict(source), "spec"))
    if isinstance(source, (str, Path)):
        return validate(load_spec(source))
    raise SpecError(f"a spec is a preset's name, a YAML file or a mapping, not a {type(source).__name__}")


def override(
    spec: Leaderboard,
    *,
    methods: Sequence[str] | None = None,
    budgets: Sequence[float] | None = None,
    seeds: Sequence[int] | None = None,
    steps: int | None = None,
    normalizer: str | None = None,
    languages: Sequence[str] | None = None,
) -> Leaderboard:
    """Return the spec with what the flags ask for; None leaves a part as it is.

    A method of the spec's grid keeps its rows and options; one that is not in the grid joins every row whose kind of
    budget it supports. ``dense`` always stays. ``budgets`` are kept fractions, for every row that has a budget.

    Raises:
        SpecError: an unknown method, one that fits into no row, or a value out of its range.
    """
    data = spec.model_dump(exclude_unset=True)
    if methods is not None:
        data["grid"] = [row.model_dump(exclude_unset=True) for row in _chosen(spec.grid, methods)]
    if budgets is not None:
        for row in data["grid"]:
            if row.get("budget", "none") != "none":
                row["keep"] = list(budgets)
    if seeds is not None:
        data["seeds"] = list(seeds)
    if steps is not None:
        data["training"] = {**data.get("training", {}), "steps": steps}
    if normalizer is not None:
        data["normalizer"] = normalizer
    if languages is not None:
        data["languages"] = list(languages)
    return parse(data, f"spec {spec.name!r} with flags")


def validate(spec: Leaderboard) -> Leaderboard:
    """Check names, options and kinds of budget against the registry, and return the spec.

    Raises:
        SpecError: what is unknown or does not fit; the nearest name is suggested.
        DataError: a model or corpus that is not there.
    """
    if spec.languages and not spec.corpus.for_any_language:
        raise SpecError(
            f"languages: corpus {spec.corpus.name!r} is the same in all; write {LANGUAGE} in its name or options, "
            f"e.g. synthetic-{LANGUAGE}, or take the preset 'languages'"
        )
    if not spec.languages and spec.corpus.for_any_language:
        raise SpecError(f"corpus {spec.corpus.name!r} holds {LANGUAGE}, and no languages are named: --languages hi,ta")
    for number, row in enumerate(spec.grid):
        _check_row(row, f"grid[{number}]")
    REGISTRY.get("model", spec.model.name, **spec.model.options)
    for one in spec.per_language():
        corpus = _check_corpus(one.corpus)
        checked(spec.normalizer, corpus.language)
    return spec


def _check_corpus(spec: CorpusSpec) -> Corpus:
    """Return the corpus of a spec whose splits can be used."""
    corpus: Corpus = REGISTRY.get("corpus", spec.name, **spec.options)
    if not spec.evaluate:
        raise SpecError(f"corpus.evaluate is empty; name at least one split of: {', '.join(corpus.splits)}")
    for split in (spec.train, *spec.evaluate):
        if split not in corpus.splits:
            raise SpecError(f"corpus {spec.name!r} has no split {split!r}{nearest(split, corpus.splits)}")
    if spec.train in spec.evaluate:
        raise SpecError(f"corpus.evaluate names {spec.train!r}, which is the split that is trained on")
    for split, limit in spec.evaluate.items():
        if limit is not None and limit < 1:
            raise SpecError(f"corpus.evaluate.{split} = {limit}: at least 1 utterance, or null for all")
    return corpus


def fractions(text: str, flag: str = "--budgets") -> list[float]:
    """Return kept fractions from ``0.8,0.6``.

    Raises:
        SpecError: a part is no number, or not above 0 and at most 1.
    """
    found = []
    for part in items(text, flag):
        try:
            value = float(part)
        except ValueError:
            raise SpecError(f"{flag}: {part!r} is not a number; give kept fractions, e.g. 0.8,0.6") from None
        if not 0 < value <= 1:
            raise SpecError(f"{flag}: a kept fraction lies above 0 and at most 1, not {part}")
        found.append(value)
    return found


def integers(text: str, flag: str) -> list[int]:
    """Return whole numbers from ``0,1``.

    Raises:
        SpecError: a part is none.
    """
    try:
        return [int(part) for part in items(text, flag)]
    except ValueError:
        raise SpecError(f"{flag}: {text!r} is not a list of whole numbers, e.g. 0,1,2") from None


def items(text: str, flag: str) -> list[str]:
    """Return the parts of ``a,b`` without spaces, each once.

    Raises:
        SpecError: there is none.
    """
    parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise SpecError(f"{flag}: nothing given; separate several by commas")
    return parts


# --- reading ------------------------------------------------------------------------------------------------------


def _read(source: str) -> tuple[str, str]:
    """Return the text of a spec and what to call it."""
    path = Path(source)
    if path.suffix.lower() not in _SUFFIXES and path.name == source:
        if source in presets():
            return (files("benchmark.presets") / f"{source}.yaml").read_text(encoding="utf-8"), f"preset {source!r}"
        if not path.is_file():
            raise SpecError(f"unknown preset {source!r}{nearest(source, presets())} (or give the path of a YAML file)")
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except FileNotFoundError:
        raise SpecError(f"{path}: no such spec file; presets: {', '.join(presets())}") from None
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


def _explain(error: ValidationError) -> str:
    """Return the first thing that is wrong: unknown keys before the keys that are missing because of them."""
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    first = faults[0]
    place = _place(first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {place!r}{_nearest_key(str(first['loc'][-1]), _fields(first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"the key {place!r} is missing"
    return f"{place} = {first['input']!r}: {first['msg'].removeprefix('Value error, ')}"


def _place(loc: Sequence[int | str]) -> str:
    """Return ``grid[1].keep[0]`` from a path into the data."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".") or "the spec"


def _nearest_key(key: str, known: Sequence[str]) -> str:
    """Suggest a key: by spelling, else by a shared beginning (``normaliser`` and ``normalizer`` are close anyway)."""
    begins = [name for name in known if name.startswith(key) or key.startswith(name)]
    return f"; did you mean {begins[0]!r}?" if begins and not get_close_matches(key, known) else nearest(key, known)


def _fields(loc: Iterable[int | str]) -> list[str]:
    """Return the keys that are known at a place of the spec; none where any key may stand."""
    kind: Any = Leaderboard
    for part in loc:
        if isinstance(part, int):
            continue
        if not (isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields):
            return []
        annotation = kind.model_fields[part].annotation
        inner = [item for item in get_args(annotation) if isinstance(item, type) and issubclass(item, BaseModel)]
        kind = inner[0] if inner else annotation
    return sorted(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


# --- the grid -----------------------------------------------------------------------------------------------------


def _chosen(grid: Sequence[Row], names: Sequence[str]) -> list[Row]:
    present = {method.title for row in grid for method in row.methods}
    added: dict[str, frozenset[str]] = {}
    for name in names:
        asked = MethodSpec.named(name)
        kinds = REGISTRY.get("method", asked.name, **asked.options).budgets
        if name in present:
            continue
        added[name] = kinds
        if not any(row.budget in kinds for row in grid):
            raise SpecError(
                f"method {name!r} can be held to {', '.join(sorted(kinds))}, and no row of the spec has such a "
                "budget; write a row for it into a spec file"
            )
    wanted = {*names, YARDSTICK}
    rows = []
    for row in grid:
        methods = [method for method in row.methods if method.title in wanted]
        methods += [MethodSpec.named(name) for name, kinds in added.items() if row.budget in kinds]
        if methods:
            rows.append(row.model_copy(update={"methods": methods}))
    return rows


def _check_row(row: Row, where: str) -> None:
    if row.budget == "none" and row.keep:
        raise SpecError(f"{where}: kept fractions need a kind of budget, e.g. budget: prunable_nominal")
    if row.budget != "none" and not row.keep:
        raise SpecError(f"{where}: budget {row.budget} needs kept fractions, e.g. keep: [0.8, 0.6]")
    for chosen in row.methods:
        method = REGISTRY.get("method", chosen.name, **chosen.options)
        if row.budget not in method.budgets:
            known = ", ".join(sorted(method.budgets))
            raise SpecError(
                f"{where}: method {chosen.name!r} cannot be held to a budget of kind {row.budget!r}; it knows {known}"
            )

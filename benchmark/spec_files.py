"""Specs from YAML files and presets, flags laid over them, and the check that they can be carried out. No torch.

Everything that can be known to be wrong is said here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.api import Corpus
from benchmark.errors import SpecError, nearest
from benchmark.harness.trackers import trackers
from benchmark.reading import parse_as, presets_of, read_mapping
from benchmark.registry import REGISTRY
from benchmark.specs import LANGUAGE, CorpusSpec, Leaderboard, MethodSpec, Row
from benchmark.text.chosen import checked

PRESETS = "benchmark.presets"
YARDSTICK = "dense"
"""The method that no leaderboard does without: differences are taken against it."""


def presets() -> list[str]:
    """Return the names of the specs that come with the package."""
    return presets_of(PRESETS)


def load_spec(source: str | Path) -> Leaderboard:
    """Read a spec from a YAML file, or by the name of a preset.

    Raises:
        SpecError: no such file or preset, broken YAML, an unknown key, or a value that cannot be.
    """
    data, where = read_mapping(source, PRESETS, needs="grid")
    return parse(data, where)


def parse(data: dict[str, Any], where: str) -> Leaderboard:
    """Return the spec that plain data describe; ``where`` begins the error.

    Raises:
        SpecError: an unknown key (the nearest is suggested, at any depth) or a value that cannot be.
    """
    return parse_as(Leaderboard, data, where)


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
    report_to: Sequence[str] | None = None,
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
    if report_to is not None:
        data["training"] = {**data.get("training", {}), "report_to": list(report_to)}
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
    trackers(spec.training)
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

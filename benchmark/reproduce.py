"""The command that makes a cell, or a leaderboard, again: a preset with flags, or a spec that travels. No torch.

A preset is named only where it was seen to say what the record says: it is read again, with the flags laid over it,
and compared. Else the spec is written out, without where data lie: a path is of one machine, and has to be filled in.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from benchmark.api import Model, Plugin
from benchmark.errors import PrunebenchError
from benchmark.registry import REGISTRY
from benchmark.spec_files import YARDSTICK, load_spec, override, presets
from benchmark.specs import LANGUAGE, CorpusSpec, Leaderboard, MethodSpec, ModelSpec
from benchmark.store.folders import MARKER, kept_specs, started
from benchmark.store.records import Record

SPEC_FILE = "spec.yaml"


@dataclass(frozen=True)
class Recipe:
    """One command, and the spec file that it needs beside it (none where it names a preset)."""

    command: str
    run: str
    """The run folder that it makes, where no other is asked for."""
    spec: str | None = None
    fill_in: tuple[str, ...] = ()
    """Places in the spec that say where data lie, and that must be filled in first, e.g. ``corpus.options.path``."""
    file: str = SPEC_FILE
    """How the spec file is called."""
    cells: frozenset[str] = field(default=frozenset(), repr=False)
    """The cells that are made."""


def of_cell(record: Record, normalizer: str | None = None) -> Recipe:
    """Return how to make one cell again, with the dense model of its seed.

    Raises:
        StoreError: the run folder cannot be used.
    """
    run = record.path.parents[2]
    for kept in kept_specs(run, record.cell) if (run / MARKER).is_file() else ():
        found = _with_flags(kept)
        narrow = found and _narrowed_flags(found, record)
        if narrow:
            return narrow.recipe({record.cell})
    return _written(_alone(record, normalizer), {record.cell})


def of_runs(runs: Sequence[Path | str], cells: Collection[str], file: str = SPEC_FILE) -> list[Recipe]:
    """Return how to make cells again: as few commands as their leaderboards allow, those that make most cells first.

    Cells that no leaderboard of these run folders names are in none. ``file`` is how a spec is called; a second one has
    a number.

    Raises:
        StoreError: a run folder cannot be used.
    """
    wanted = set(cells)
    offers = sorted(
        _offers([pair for run in runs for pair in started(run)]),
        key=lambda offer: (-len(offer.cells & wanted), offer.spec is not None, offer.command),
    )
    chosen: list[Recipe] = []
    for offer in offers:
        if offer.cells & wanted:
            wanted -= offer.cells
            if offer.spec is not None:
                ours = sum(one.spec is not None for one in chosen)
                name = file if not ours else f"{Path(file).stem}-{ours + 1}{Path(file).suffix}"
                offer = replace(offer, command=f"prunebench run {name}", file=name)
            chosen.append(offer)
    return chosen


def _offers(found: Sequence[tuple[Mapping[str, Any], Sequence[str]]]) -> Iterator[Recipe]:
    """Yield a recipe a leaderboard; of a preset of several languages, one for all that differ in nothing else."""
    several: dict[str, tuple[_Flags, set[str]]] = {}
    for spec, cells in found:
        flags = _with_flags(spec)
        if flags is None:
            yield _written(dict(spec), cells)
            continue
        key = flags.replaced(languages=None).command
        first, together = several.setdefault(key, (flags, set()))
        together.update(cells)
        both = [*(first.languages or ()), *(flags.languages or ())]
        several[key] = first.replaced(languages=list(dict.fromkeys(both)) or None), together
    for flags, together in several.values():
        yield flags.whole().recipe(together)


# --- presets --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Flags:
    """A preset and the flags of ``prunebench leaderboard`` that are laid over it."""

    preset: str
    methods: list[str] | None = None
    budgets: list[float] | None = None
    seeds: list[int] | None = None
    steps: int | None = None
    normalizer: str | None = None
    languages: list[str] | None = None

    def replaced(self, **changes: Any) -> _Flags:
        return _Flags(**{**vars(self), **changes})

    @property
    def given(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "preset" and value is not None}

    @property
    def spec(self) -> Leaderboard:
        """The spec that the command carries out."""
        return override(load_spec(self.preset), **self.given)

    @property
    def command(self) -> str:
        parts = ["prunebench", "leaderboard", "--preset", self.preset]
        for name, value in self.given.items():
            listed = value if isinstance(value, list) else [value]
            parts += [f"--{name}", ",".join(format(one, "g") if isinstance(one, float) else str(one) for one in listed)]
        return shlex.join(parts)

    def recipe(self, cells: Collection[str]) -> Recipe:
        return Recipe(self.command, f"out/{self.spec.name}", cells=frozenset(cells))

    def whole(self) -> _Flags:
        """Return it without languages where they are the preset's own."""
        own = load_spec(self.preset).languages
        return self.replaced(languages=None) if sorted(self.languages or own) == sorted(own) else self


def _with_flags(kept: Mapping[str, Any]) -> _Flags | None:
    """Return the preset and flags that say what a kept spec says; None where there is no such preset."""
    try:
        spec = Leaderboard.parse(dict(kept), "a kept spec")
    except PrunebenchError:  # another version wrote it; then no preset of this one can be it
        return None
    if spec.name not in presets():
        return None
    preset = load_spec(spec.name)
    flags = _Flags(
        spec.name,
        seeds=spec.seeds if spec.seeds != preset.seeds else None,
        steps=spec.training.steps if spec.training.steps != preset.training.steps else None,
        normalizer=spec.normalizer if spec.normalizer != preset.normalizer else None,
        languages=_language_of(spec.corpus, preset),
    )
    titles, keep = _titles(spec), _keep(spec)
    for methods, budgets in ((None, None), (titles, None), (None, keep), (titles, keep)):
        trial = flags.replaced(methods=methods, budgets=budgets)
        try:
            if any(_dumped(one) == _dumped(spec) for one in trial.spec.per_language()):
                return trial
        except PrunebenchError:  # such a flag does not go with this preset
            continue
    return None


def _language_of(corpus: CorpusSpec, preset: Leaderboard) -> list[str] | None:
    """Return the language that a corpus was spoken in, for a preset that leaves it open."""
    if not preset.languages:
        return None
    before, _, after = preset.corpus.name.partition(LANGUAGE)
    named = corpus.name.removeprefix(before).removesuffix(after)
    return [named] if preset.corpus.spoken(named) == corpus else None


def _titles(spec: Leaderboard) -> list[str]:
    found = list(dict.fromkeys(method.title for row in spec.grid for method in row.methods))
    return [title for title in found if title != YARDSTICK] or found


def _keep(spec: Leaderboard) -> list[float] | None:
    """Return the kept fractions that all rows with a budget share."""
    found = [row.keep for row in spec.grid if row.budget != "none"]
    return found[0] if found and all(keep == found[0] for keep in found) else None


def _dumped(spec: Leaderboard) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude={"languages"})


def _narrowed_flags(flags: _Flags, record: Record) -> _Flags | None:
    """Return the flags for one cell; None where they would not name it."""
    asked = record.data["spec"]
    method = MethodSpec.model_validate(_parts(asked["method"], "name", "options"))
    keep, seeds = (asked.get("budget") or {}).get("keep"), [asked.get("seed")]
    alone = flags.replaced(methods=[method.title], seeds=seeds if load_spec(flags.preset).seeds != seeds else None)
    try:
        rows = [row for row in alone.spec.grid if row.budget != "none"]
        # where a row does not have it already, it would be asked for what it cannot reach
        if any(row.keep != [keep] for row in rows) and all(keep in row.keep for row in rows):
            alone = alone.replaced(budgets=[keep])
        return alone if _names(alone.spec, record) else None
    except PrunebenchError:
        return None


def _names(spec: Leaderboard, record: Record) -> bool:
    """Whether one of a spec's cells is the record's: same method and options, budget, training, decoding and seed."""
    asked = record.data["spec"]
    model, method, corpus = (asked.get(part) or {} for part in ("model", "method", "corpus"))
    budgets = [
        budget.model_dump()
        for row in spec.grid
        if any((one.name, _set(one)) == (method.get("name"), method.get("options")) for one in row.methods)
        for budget in row.budgets()
    ]
    return (
        asked.get("budget") in budgets
        and asked.get("seed") in spec.seeds
        and asked.get("training") in (None, spec.training.identity())
        and asked.get("decoding") == spec.decoding.identity()
        and (model.get("name"), model.get("options")) == (spec.model.name, _meant(spec.model))
        and any(_is_of(one.corpus, corpus) for one in spec.per_language())
    )


def _set(method: MethodSpec) -> dict[str, Any]:
    """Return a method's options that are not its own defaults: what a cell's id holds."""
    chosen = REGISTRY.get("method", method.name, **method.options)
    options: dict[str, Any] = chosen.config.model_dump(mode="json", exclude_defaults=True)
    return options


def _meant(model: ModelSpec) -> dict[str, Any]:
    """Return a model's options that are in a cell's id."""
    chosen: Model = REGISTRY.get("model", model.name, **model.options)
    return chosen.meant(model.options)


def _is_of(corpus: CorpusSpec, asked: Mapping[str, Any]) -> bool:
    """Whether a record was tested on a corpus; of its options the record has those that are no path."""
    said = asked.get("options") or {}
    alike = all(corpus.options.get(name) == value for name, value in said.items())
    return alike and all(getattr(corpus, part) == asked.get(part) for part in ("name", "train", "evaluate"))


# --- specs that are written out -------------------------------------------------------------------------------------


def narrowed_spec(kept: Mapping[str, Any], record: Record) -> dict[str, Any]:
    """Return a kept spec of a leaderboard with one of its cells, and dense beside it; where data lie is in it."""
    asked = record.data["spec"]
    one = {"name": f"cell-{record.cell}", "grid": _grid(asked), "seeds": [asked["seed"]]}
    return {**kept, **one, "languages": [], "profile": None}


def _alone(record: Record, normalizer: str | None) -> dict[str, Any]:
    """Return the leaderboard of one cell, from what its record says."""
    asked = record.data["spec"]
    return {
        "name": f"cell-{record.cell}",
        "model": _parts(asked.get("model"), "name", "options"),
        "corpus": _parts(asked.get("corpus"), "name", "options", "train", "evaluate"),
        "grid": _grid(asked),
        **_parts(asked, "training", "decoding"),
        **({"normalizer": normalizer} if normalizer is not None else {}),
        "seeds": [asked.get("seed", 0)],
    }


def _grid(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the row of one cell, and that of the dense model that it is compared with where anything is trained."""
    budget = asked.get("budget") or {"kind": "none"}
    row = {"methods": [_parts(asked["method"], "name", "options")], "budget": budget["kind"]}
    row |= _parts(budget, "tolerance")
    row |= {"keep": [budget["keep"]]} if budget.get("keep") is not None else {}
    if asked.get("training") is None or row["methods"] == _DENSE:
        return [row]
    return [{"methods": [YARDSTICK], "budget": "none"}, row]


_DENSE = [{"name": YARDSTICK, "options": {}}]


def _parts(data: Mapping[str, Any] | None, *names: str) -> dict[str, Any]:
    """Return those of the named parts that are there."""
    return {name: data[name] for name in names if data and data.get(name) is not None}


def _written(spec: dict[str, Any], cells: Collection[str]) -> Recipe:
    """Return a spec as YAML, in which what says where a corpus or a model lies has to be filled in."""
    spec, fill_in = {**spec}, []
    for kind in ("model", "corpus"):
        part = {**spec.get(kind, {})}
        if part.get("name") not in REGISTRY.names(kind):
            continue
        options = {**part.get("options", {})}
        plugin: type[Plugin] = REGISTRY.lookup(kind, part["name"])
        places = plugin.places(options)
        for name, about in plugin.Config.model_fields.items():
            if name in places or (about.is_required() and name not in options):
                options[name] = f"FILL IN: {about.description or name}"
                fill_in.append(f"{kind}.options.{name}")
        spec[kind] = {**part, "options": options}
    text = yaml.safe_dump(spec, allow_unicode=True, sort_keys=False)
    run = f"out/{spec.get('name', Leaderboard.model_fields['name'].default)}"
    return Recipe(f"prunebench run {SPEC_FILE}", run, text, tuple(fill_in), cells=frozenset(cells))

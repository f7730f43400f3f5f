"""The prefix tree of all cells' programs: what is trained once because several cells begin alike. No torch import.

A node is one Fit together with the steps that come right before it (Prune, Rewind); its id is a hash of everything
that the weights after it depend on. A cell's evaluation hangs below its last node, with the steps that remain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from benchmark import __version__
from benchmark.api import Budget, Corpus, Fit, Method, Model, Quantise, Rewind, Step
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.specs import IDENTITY_VERSION, Cell, Leaderboard, MethodSpec, VersionedMethod, digest

LONGEST_PROGRAM = 10_000


@dataclass(frozen=True)
class Node:
    """One Fit and the steps before it. ``start`` and ``end`` are path steps."""

    id: str
    parent: str | None
    before: tuple[Step, ...]
    fit: Fit
    start: int
    rewind_to: dict[int, str | None] = field(compare=False, hash=False)
    """Where each Rewind of ``before`` finds its state: path step to node (None: the model as it came)."""

    @property
    def end(self) -> int:
        """Path step after the Fit."""
        return self.start + self.fit.steps


@dataclass(frozen=True)
class CellPath:
    """A cell, its program, the nodes it passes, and the steps left for its evaluation."""

    cell: Cell
    program: tuple[Step, ...]
    nodes: tuple[str, ...]
    tail: tuple[Step, ...]
    rewind_to: dict[int, str | None] = field(compare=False, hash=False)

    @property
    def last(self) -> str | None:
        """The node whose weights are evaluated; None for the model as it came."""
        return self.nodes[-1] if self.nodes else None

    @property
    def steps(self) -> int:
        """Optimiser steps on the path."""
        return sum(step.steps for step in self.program if isinstance(step, Fit))


@dataclass(frozen=True)
class Tree:
    """All nodes by id, parents before children, and all cells in the order of the spec."""

    spec: Leaderboard
    nodes: dict[str, Node]
    cells: list[CellPath]

    @property
    def steps_shared(self) -> int:
        """Optimiser steps that the tree costs."""
        return sum(node.fit.steps for node in self.nodes.values())

    @property
    def steps_unshared(self) -> int:
        """Optimiser steps if every cell trained its own path."""
        return sum(path.steps for path in self.cells)

    @property
    def saving(self) -> float:
        """Share of the steps that sharing saves."""
        return 1 - self.steps_shared / self.steps_unshared if self.steps_unshared else 0.0

    @cached_property
    def children(self) -> dict[str | None, list[str]]:
        """Nodes that start from a node (or from the model as it came)."""
        below: dict[str | None, list[str]] = {}
        for node in self.nodes.values():
            below.setdefault(node.parent, []).append(node.id)
        return below

    @cached_property
    def users(self) -> dict[str, list[CellPath]]:
        """Cells whose path passes a node."""
        found: dict[str, list[CellPath]] = {node: [] for node in self.nodes}
        for path in self.cells:
            for node in path.nodes:
                found[node].append(path)
        return found

    def needs_optimizer(self, node: str) -> bool:
        """Whether a later Fit goes on from this node's optimiser, directly or by rewinding to it."""
        return bool(self.children.get(node)) or node in self._rewound

    @cached_property
    def _rewound(self) -> frozenset[str | None]:
        return frozenset(past for node in self.nodes.values() for past in node.rewind_to.values())


def grown(spec: Leaderboard) -> list[Tree]:
    """Return one tree a language of the spec, or its only one; all are grown before any is worked on.

    Raises:
        SpecError: as ``grow``.
    """
    return [grow(one) for one in spec.per_language()]


def grow(spec: Leaderboard) -> Tree:
    """Unfold a leaderboard of one corpus into cells and merge their programs into a tree.

    Raises:
        SpecError: a name, an option or a budget that does not fit; a program that breaks its contract.
    """
    context = _context(spec)
    nodes: dict[str, Node] = {}
    paths: dict[str, CellPath] = {}
    for seed in spec.seeds:
        for row in spec.grid:
            for chosen in row.methods:
                for budget in row.budgets():
                    path = _plant(spec, context, chosen, budget, seed, nodes)
                    paths.setdefault(path.cell.id, path)
    return Tree(spec, nodes, list(paths.values()))


def barren(spec: Leaderboard) -> CellPath:
    """Return the cell of a leaderboard of one whose configuration makes no program, so that it can be recorded.

    Options that the method refuses are in the cell's id as they were given.
    """
    ((row,), (seed,)) = spec.grid, spec.seeds
    ((chosen,), (budget,)) = row.methods, row.budgets()
    kind: type[Method] = REGISTRY.lookup("method", chosen.name)
    try:
        named = _method_of(chosen, REGISTRY.get("method", chosen.name, **chosen.options))
    except SpecError:
        named = VersionedMethod(name=chosen.name, options=chosen.options, version=kind.version)
    return CellPath(_cell(spec, _context(spec), named, budget, seed, trains=True), (), (), (), {})


def _context(spec: Leaderboard) -> dict[str, Any]:
    """Return what a cell's id says of model and corpus."""
    model: Model = REGISTRY.get("model", spec.model.name, **spec.model.options)
    corpus: Corpus = REGISTRY.get("corpus", spec.corpus.name, **spec.corpus.options)
    return {
        "model": {"name": spec.model.name, "options": model.meant(spec.model.options), "revision": model.revision},
        "corpus": {
            **corpus.identity((spec.corpus.train, *spec.corpus.evaluate)),
            "language": corpus.language,
            "train": spec.corpus.train,
            "evaluate": dict(spec.corpus.evaluate),
        },
    }


def _method_of(chosen: MethodSpec, method: Method) -> VersionedMethod:
    """Return what a cell's id says of its method."""
    options = method.config.model_dump(mode="json", exclude_defaults=True)
    return VersionedMethod(name=chosen.name, options=options, version=method.full_version)


def _cell(
    spec: Leaderboard, context: dict[str, Any], method: VersionedMethod, budget: Budget, seed: int, *, trains: bool
) -> Cell:
    return Cell(
        model=context["model"],
        corpus=context["corpus"],
        method=method,
        budget=budget,
        training=spec.training if trains else None,
        decoding=spec.decoding.identity(),
        seed=seed,
    )


def _plant(
    spec: Leaderboard, context: dict[str, Any], chosen: MethodSpec, budget: Budget, seed: int, nodes: dict[str, Node]
) -> CellPath:
    method: Method = REGISTRY.get("method", chosen.name, **chosen.options)
    check_held(chosen.name, method, budget)
    program = checked_program(chosen.name, method, budget, spec.training.steps)
    trains = any(isinstance(step, Fit) for step in program)
    cell = _cell(spec, context, _method_of(chosen, method), budget, seed, trains=trains)
    # T is no part of a node: the trunk of a longer run is the same trunk. The evaluation sets are not either.
    root = digest(
        {
            "identity": IDENTITY_VERSION,
            "prunebench": __version__,
            "model": context["model"],
            "corpus": {key: value for key, value in context["corpus"].items() if key != "evaluate"},
            "training": {key: value for key, value in spec.training.identity().items() if key != "steps"},
            "seed": seed,
        }
    )
    return _descend(cell, program, root, nodes)


def _descend(cell: Cell, program: tuple[Step, ...], root: str, nodes: dict[str, Node]) -> CellPath:
    """Walk a program down the tree, adding what is not there yet."""
    parent: str | None = None
    above, step_now = root, 0
    trail: list[str] = []
    before: list[Step] = []
    ends: dict[int, str | None] = {0: None}
    for step in program:
        if not isinstance(step, Fit):
            before.append(step)
            continue
        # Unlike in a cell's id, defaults are in this hash: a cached node must not outlive a changed default.
        key = digest({"parent": above, "before": before, "fit": step}, defaults=True)[:24]
        rewinds = {item.to_step: ends[item.to_step] for item in before if isinstance(item, Rewind)}
        nodes.setdefault(key, Node(key, parent, tuple(before), step, step_now, rewinds))
        trail.append(key)
        parent, above, before = key, key, []
        step_now += step.steps
        ends[step_now] = key
    rewinds = {item.to_step: ends[item.to_step] for item in before if isinstance(item, Rewind)}
    return CellPath(cell, program, tuple(trail), tuple(before), rewinds)


def check_held(name: str, method: Method, budget: Budget) -> None:
    """Refuse a kind of budget that a method cannot be held to.

    Raises:
        SpecError: it is none of those that the method knows.
    """
    if budget.kind not in method.budgets:
        raise SpecError(
            f"method {name!r} cannot be held to a budget of kind {budget.kind!r}; "
            f"it knows {', '.join(sorted(method.budgets))}"
        )


def _steps(name: str, method: Method, budget: Budget, total: int) -> Iterator[Step]:
    """Yield a method's steps; what a step refuses (a number that is not finite, say) is the option's fault."""
    try:
        yield from method.steps(budget, total)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "value"
        said = str(first["msg"]).removeprefix("Value error, ")
        raise SpecError(f"method {name!r}: {error.title}.{place} = {first['input']!r}: {said}") from None


def checked_program(name: str, method: Method, budget: Budget, total: int) -> tuple[Step, ...]:
    """Return the program, or say which line of its contract it breaks."""
    program: list[Step] = []
    ends = {0}
    done = 0
    for step in _steps(name, method, budget, total):
        if len(program) >= LONGEST_PROGRAM:
            raise SpecError(f"method {name!r}: program has more than {LONGEST_PROGRAM} steps; is it finite?")
        if not isinstance(step, Step):
            known = "Fit, Calibrate, Prune, Refill, Rewind, Quantise"
            raise SpecError(f"method {name!r} yields {type(step).__name__}, which is no step ({known})")
        if program and isinstance(program[-1], Quantise) and not isinstance(step, Quantise):
            raise SpecError(f"method {name!r} goes on with {type(step).__name__} after Quantise, which comes last")
        if isinstance(step, Rewind) and step.to_step not in ends:
            raise SpecError(
                f"method {name!r} rewinds to path step {step.to_step}, where no Fit ended; "
                f"possible: {', '.join(map(str, sorted(ends)))}"
            )
        if isinstance(step, Fit):
            done += step.steps
            ends.add(done)
        program.append(step)
    if done not in (0, total):
        raise SpecError(f"method {name!r} trains {done} steps, but every cell of a leaderboard trains {total}")
    return tuple(program)

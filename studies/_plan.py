"""What a study will do and cost, before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.api import Fit
from benchmark.cli._tables import print_table
from benchmark.errors import SpecError
from benchmark.harness.tree import CellPath, grow
from benchmark.search import Parameter
from studies._run import checked, plain_board
from studies._space import trial_board
from studies._spec import Point, StudySpec


def show_plan(spec: StudySpec, run: Path) -> None:
    """Print each study's space and the training steps that it costs at most."""
    for point in spec.points():
        found = checked(spec, point)
        print(f"study {point.name}: {point.method.title}, budget {point.budget}, into {run}")
        print_table(("parameter", "range", "default", "what"), [_row(one) for one in found], whole=("parameter",))
        shared, alone = steps(spec, point, found)
        print(f"{spec.trials} trials of {alone} training steps: at most {spec.trials * alone:,} in all")
        if shared:
            rest = spec.trials * (alone - shared)
            print(f"The first {shared} are the same in all trials and trained once: {shared + rest:,} steps")
        print()


def steps(spec: StudySpec, point: Point, found: Sequence[Parameter]) -> tuple[int, int]:
    """Return how many training steps all trials have in common, and how many each has on its path."""
    (base,) = grow(plain_board(spec, point, spec.tune.evaluate)).cells
    common = len(base.nodes)
    for one in found:
        for value in one.choices if one.kind == "choice" else (one.low, one.high):
            values = {other.name: other.default for other in found} | {one.name: value}
            try:
                (path,) = grow(trial_board(spec, point, found, values)).cells
            except SpecError:
                continue
            alike = [a == b for a, b in zip(base.nodes, path.nodes, strict=False)]
            common = min(common, alike.index(False) if False in alike else len(alike))
    return _ends(base)[common], base.steps


def _ends(path: CellPath) -> list[int]:
    """Return the path step after each number of nodes."""
    ends = [0]
    for step in path.program:
        if isinstance(step, Fit):
            ends.append(ends[-1] + step.steps)
    return ends


def _row(one: Parameter) -> tuple[str, str, str, str]:
    return one.name, one.range, _text(one.default), one.description


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

"""The spec of an ablation: a method, and what it is put against, part by part. No torch.

The *full* method is what ``method`` says at each point. A *factor* names a part of it, and its *levels* what else that
part could be, as patches of options. Every arm is an ordinary cell (a seed each), so that the harness carries it out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from benchmark.api import Budget, BudgetKind, Frozen
from benchmark.errors import SpecError
from benchmark.measure.decoding import Decoding
from benchmark.reading import parse_as, read_mapping
from benchmark.specs import CorpusSpec, MethodSpec, ModelSpec, Seed, Training
from studies._spec import PRESETS

Design = Literal["one_at_a_time", "factorial"]


class AblationPoint(Frozen):
    """A budget at which the method is taken apart, and options that the full method has there only."""

    budget: BudgetKind
    keep: float | None = Field(default=None, gt=0, le=1)
    tolerance: float = Field(default=0.005, gt=0, lt=1)
    options: dict[str, Any] = Field(default={}, description="of the full method at this point")

    @model_validator(mode="after")
    def _is_a_budget(self) -> AblationPoint:
        self.asked()
        return self

    def asked(self) -> Budget:
        """Return the budget."""
        return Budget(kind=self.budget, keep=self.keep, tolerance=self.tolerance)

    def __str__(self) -> str:
        return str(self.asked())


class Factor(Frozen):
    """A part of the method, and what it is put against.

    A patch maps an option of the method to its other value (null: what the method takes when nothing is said),
    ``training.<field>`` to another recipe, ``normalizer`` to another one (the same transcripts, scored otherwise), or
    ``method`` to another method, which has only the options that stand beside it.
    """

    name: str = Field(min_length=1)
    full: str = Field(min_length=1, description="name of the full method's own level")
    levels: dict[str, dict[str, Any]] = Field(min_length=1, description="name of a level to its patch")
    only: list[BudgetKind] = Field(default=[], description="the factor holds at points of these kinds; all when empty")

    @model_validator(mode="after")
    def _levels_differ(self) -> Factor:
        for name, patch in self.levels.items():
            if not patch:
                raise ValueError(f"level {name!r} of factor {self.name!r} changes nothing; give it an option")
            if name == self.full:
                raise ValueError(f"level {name!r} of factor {self.name!r} is named like the full method's own")
        return self

    def holds(self, point: AblationPoint) -> bool:
        """Whether the factor is taken apart at a point."""
        return not self.only or point.budget in self.only


class AblationSpec(Frozen):
    """A whole ablation: everything that ``prunebench study ablate`` needs."""

    name: str = Field(default="ablation", pattern=r"^\w[\w.-]*$", description="also the default run folder's name")
    model: ModelSpec = ModelSpec()
    corpus: CorpusSpec = CorpusSpec()
    method: MethodSpec
    points: list[AblationPoint] = Field(min_length=1)
    design: Design = "one_at_a_time"
    factors: list[Factor] = Field(min_length=1)
    seeds: list[Seed] = Field(default=[0, 1, 2], min_length=1)
    training: Training = Training()
    decoding: Decoding = Decoding()
    normalizer: str = "auto"

    @field_validator("method", mode="before")
    @classmethod
    def _name_is_method(cls, value: Any) -> Any:
        return MethodSpec.named(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _each_once(self) -> AblationSpec:
        budgets = [str(point) for point in self.points]
        for budget in budgets:
            if budgets.count(budget) > 1:
                raise ValueError(f"point {budget} is named twice")
        for seed in self.seeds:
            if self.seeds.count(seed) > 1:
                raise ValueError(f"seed {seed} is named twice")
        for factor in self.factors:
            if not any(factor.holds(point) for point in self.points):
                kinds = ", ".join(sorted({point.budget for point in self.points}))
                raise ValueError(f"factor {factor.name!r} holds at no point (only: {factor.only}); there are {kinds}")
        for point in self.points:
            names = [factor.name for factor in self.factors_at(point)]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"factor {name!r} is given twice for point {point}; part them by only")
            if not names:
                raise ValueError(f"no factor holds at point {point}; leave it out")
        return self

    def factors_at(self, point: AblationPoint) -> list[Factor]:
        """Return the factors that hold at a point."""
        return [factor for factor in self.factors if factor.holds(point)]


def load_ablation(source: str | Path) -> AblationSpec:
    """Read the spec of an ablation from a YAML file, or by the name of a preset.

    Raises:
        SpecError: no such file or preset, broken YAML, an unknown key, or a value that cannot be.
    """
    data, where = read_mapping(source, PRESETS, needs="factors")
    if "factors" not in data and "methods" in data:
        raise SpecError(f"{where}: this is the spec of a study (it has no factors): prunebench study run {source}")
    return parse_as(AblationSpec, data, where)

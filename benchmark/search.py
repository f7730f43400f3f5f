"""Where studies look: a range stands once, beside the option it is of, and everything else reads it there. No Optuna.

alpha: Annotated[float | None, Search(0.05, 1.0)] = Field(default=None, ge=0, description="...")
"""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from benchmark.errors import SpecError

Kind = Literal["float", "int", "choice"]


@dataclass(frozen=True)
class Search:
    """The range of an option that a study may turn; stands in the ``Annotated`` of its field.

    Numbers have ``low`` and ``high``, both included; a ``Literal`` or a switch has neither, and its values are the
    choices. ``usual`` options make up a method's default space; others are turned where a study names them.

    Raises:
        SpecError: an empty range, or a log scale that does not begin above zero.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    usual: bool = True

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise SpecError(f"a range has both ends or none, not {self.low} and {self.high}")
        if self.low is None or self.high is None:
            if self.log or self.step is not None:
                raise SpecError("choices have neither scale nor step")
            return
        if not (math.isfinite(self.low) and math.isfinite(self.high)) or not self.low < self.high:
            raise SpecError(f"the range from {self.low:g} to {self.high:g} is empty")
        if self.log and self.low <= 0:
            raise SpecError(f"low = {self.low:g}: a log scale begins above zero (zero belongs to an ablation)")
        if self.step is not None and (self.log or not self.step > 0):
            raise SpecError(f"step = {self.step:g}: a step is above zero and goes with a linear scale")


@dataclass(frozen=True)
class Parameter:
    """One thing that a study can turn."""

    name: str
    """Its name in a study: ``alpha``, ``training.learning_rate``, in a composition ``l1_group.split``."""
    path: tuple[str | int, ...]
    """Where it stands: ``("method", "alpha")``, ``("training", "learning_rate")``, ``("method", "parts", 0, ...)``."""
    kind: Kind
    low: float | None
    high: float | None
    log: bool
    step: float | None
    choices: tuple[Any, ...]
    default: Any
    """What holds when nothing is said; None where that is no value of its range."""
    usual: bool
    description: str

    @property
    def range(self) -> str:
        """Its range as a reader would write it: ``1e-08 to 0.001, log``, or the choices."""
        if self.kind == "choice":
            return ", ".join(map(str, self.choices))
        scale = (", log" if self.log else "") + (f", steps of {self.step:g}" if self.step else "")
        return f"{self.low:g} to {self.high:g}{scale}"


def parameters(
    config: type[BaseModel], root: Sequence[str | int] = ("method",), prefix: str = "", **values: Any
) -> list[Parameter]:
    """Return the options of a config class that carry a range.

    Args:
        config: the class.
        root: where the config stands, the beginning of every path.
        prefix: the beginning of every name.
        values: what holds for an option instead of its field's default.

    Raises:
        SpecError: a range that does not go with the type of its field.
    """
    found = []
    for name, field in config.model_fields.items():
        searches = [item for item in field.metadata if isinstance(item, Search)]
        if searches:
            default = values.get(name, field.get_default(call_default_factory=True))
            found.append(_parameter(name, field, searches[-1], (*root, name), prefix, default))
    return found


def _parameter(
    name: str, field: FieldInfo, search: Search, path: tuple[str | int, ...], prefix: str, default: Any
) -> Parameter:
    try:
        kind, choices = kind_of(field.annotation)
    except SpecError as error:
        raise SpecError(f"option {name!r}: {error}") from None
    if (kind == "choice") != (search.low is None):
        raise SpecError(
            f"option {name!r}: {'choices have no ends' if kind == 'choice' else 'a number needs both ends'}"
        )
    return Parameter(
        name=f"{prefix}{name}",
        path=path,
        kind=kind,
        low=search.low,
        high=search.high,
        log=search.log,
        step=search.step,
        choices=choices,
        default=default,
        usual=search.usual,
        description=field.description or "",
    )


def kind_of(annotation: Any) -> tuple[Kind, tuple[Any, ...]]:
    """Return what a field of a type is to a study, and its choices; ``X | None`` counts as ``X``.

    Raises:
        SpecError: a type that no study can turn.
    """
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        if len(inner) == 1:
            return kind_of(inner[0])
    if get_origin(annotation) is Annotated:
        return kind_of(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if annotation is bool:
        return "choice", (False, True)
    if annotation in (int, float):
        return ("int" if annotation is int else "float"), ()
    raise SpecError(f"no study can turn an option of type {annotation}; take its range away")

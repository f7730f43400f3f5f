"""What the contracts of methods and normalisers check alike: cards, and options with descriptions and ranges."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from benchmark.api import Config
from benchmark.search import parameters

LONGEST_LINE = 120
"""Characters of a card's first line, which stands in a table."""


def promise(kept: bool, otherwise: str) -> None:
    """Raise where a promise is broken; unlike the statement, ``python -O`` does not take this away."""
    if not kept:
        raise AssertionError(otherwise)


def check_words(name: str, card: str) -> None:
    """Check that a card says what a plug-in does, first in one line for the table of ``ls``."""
    first = card.partition("\n")[0]
    promise(len(card) > 40, f"{name}: the class docstring says too little; it is the card that `describe` prints")
    promise(
        len(first) <= LONGEST_LINE,
        f"{name}: the first line of the class docstring has {len(first)} characters; `ls` shows up to {LONGEST_LINE}",
    )


def check_described(name: str, config: Config) -> None:
    """Check that options are typed by a Config, and that each has a description."""
    kind = type(config)
    promise(isinstance(config, Config), f"{name}: Config is {kind.__name__}, which is no benchmark.api.Config")
    for field, about in kind.model_fields.items():
        promise(bool(about.description), f"{name}: option {field!r} has no description; `describe` has nothing to show")


def check_ranges(name: str, kind: type[Config]) -> None:
    """Check that a study can set what the ranges of options say, each end and each choice tried alone.

    Only where a study has to name the range, another option may have to go with it.
    """
    for one in parameters(kind):
        if one.kind == "int":
            whole = all(float(value).is_integer() for value in (one.low, one.high, one.step) if value is not None)
            promise(whole, f"{name}: option {one.name!r} takes whole numbers, and its range is {one.range}")
        for value in one.choices if one.kind == "choice" else (one.low, one.high):
            fault, together = _fault(kind, one.name, value)
            promise(
                not fault or (together and not one.usual),
                f"{name}: a study may set {one.name} = {value}, and the option refuses it: {fault}",
            )


def _fault(kind: type[Config], option: str, value: Any) -> tuple[str, bool]:
    """Return what is wrong with an option that is set alone, and whether that is about how it goes with others."""
    try:
        kind.model_validate({option: value})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return first["msg"], not first["loc"]
    return "", False

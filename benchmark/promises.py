"""What the contracts of methods and of normalisers check alike: cards, and options that describe themselves."""

from __future__ import annotations

from benchmark.api import Config

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

"""The switches of a rule-based normaliser are those of its own program, and nothing else's."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import Field

from benchmark.api import Config
from benchmark.errors import SpecError
from benchmark.text.common import CASE, JOINERS
from benchmark.text.rules import RuleBased, TextRule


class Sized(Config):
    """An option that is no switch."""

    size: int = Field(default=3, description="a size")


class Two(RuleBased):
    """Two rules and an option."""

    name = "two"
    Config: ClassVar[type[Config]] = Sized
    program: ClassVar[tuple[TextRule, ...]] = (JOINERS, CASE)


class One(Two):
    """Only one of the rules."""

    name = "one"
    program: ClassVar[tuple[TextRule, ...]] = (CASE,)


class Same(Two):
    """Nothing of its own."""

    name = "same"


def test_a_rule_that_is_dropped_has_no_switch() -> None:
    assert set(Two.Config.model_fields) == {"size", "joiners", "case"}
    assert set(One.Config.model_fields) == {"size", "case"}
    assert Same.Config is Two.Config
    with pytest.raises(SpecError, match="joiners"):
        One(joiners=False)
    assert One(size=5, case=False)("A") == "A"
    assert One(size=5).signature() == "one:1[size=5]"

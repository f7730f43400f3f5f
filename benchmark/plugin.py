"""What every kind of plug-in is: a class with a name, a version, typed options and a card. No torch import."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar

from benchmark.search import parameters
from benchmark.steps import Frozen


class Config(Frozen):
    """Base of a plug-in's typed options; a plug-in without options uses it as it is."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Say at once where a range does not go with the type of its field."""
        if cls.__pydantic_complete__:
            parameters(cls)


class Plugin(ABC):
    """What all kinds of plug-in share: a name, a version, typed options and a card."""

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    Config: ClassVar[type[Config]] = Config

    def __init__(self, /, **options: Any) -> None:
        self.config = self.Config.parse(options, where=f"options of {self.name!r}")

    @classmethod
    def places(cls, options: Mapping[str, Any]) -> frozenset[str]:
        """Return the names of those options that say where something lies on this machine: no id has them."""
        return frozenset({"path"} & cls.Config.model_fields.keys())

    @classmethod
    def card(cls) -> str:
        """The plug-in's description: its class docstring."""
        return (cls.__doc__ or "").strip()

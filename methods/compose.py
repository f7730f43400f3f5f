"""Several methods, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from benchmark.api import Budget, Config, Finisher, Frozen, Method, MethodConfig, Quantise, Step
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.search import Parameter


class Part(Frozen):
    """One method of a composition."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class ComposeConfig(Config):
    """The parts, in order."""

    parts: tuple[Part, ...] = Field(
        default=(Part(name="l1_group"), Part(name="int8")), min_length=2, description="methods, in order"
    )


def _place(method: Method) -> int:
    """Return where a part stands: the one that trains, then what prunes, and what quantises last."""
    if not isinstance(method, Finisher):
        return 0
    return 2 if any(isinstance(step, Quantise) for step in method.finish(Budget())) else 1


@REGISTRY.register("method", "compose")
class Compose(Method):
    """One method, then others that do their work after all training: `sgl_adaptive+int8`, `l1_group+vocab_trim`.

    In a spec, names joined by + are short for it, in any order. One part may be any method: it trains and is held to
    the budget. The others (vocab_trim, low_rank, int8, or a plug-in that is a `Finisher`) follow it, what quantises
    last, at their own operating points. It removes what its parts remove and costs what they cost, trained once; papers
    and equations are those of the parts. A control for a composition is the part that trains, alone.
    """

    Config = ComposeConfig
    budgets = frozenset({"prunable_stored"})
    """Of the default parts; an instance has those of its first part."""

    def __init__(self, /, **options: Any) -> None:
        super().__init__(**options)
        config: ComposeConfig = self.config
        if any(part.name == self.name for part in config.parts):
            raise SpecError("compose: a composition has no composition among its parts; list them all in one")
        made = [(part, REGISTRY.get("method", part.name, **part.options)) for part in config.parts]
        made.sort(key=lambda pair: _place(pair[1]))  # stable, and in the config too: one composition has one identity
        self.config = config.model_copy(update={"parts": tuple(part for part, _ in made)})
        training = [method for _, method in made if not isinstance(method, Finisher)]
        if len(training) > 1:
            both = " and ".join(repr(method.name) for method in training[:2])
            known = [n for n in REGISTRY.names("method") if issubclass(REGISTRY.lookup("method", n), Finisher)]
            raise SpecError(f"compose: {both} train, and only one part can; with it go {', '.join(known)}")
        self.first: Method = made[0][1]
        self.finishers: list[Finisher] = [method for _, method in made[1:]]
        for method in self.finishers:
            for name in method.config.model_dump(exclude_defaults=True).keys() & MethodConfig.model_fields.keys():
                raise SpecError(f"compose: {name} is the affair of {self.first.name!r}; {method.name!r} trains nothing")
        self.budgets = self.first.budgets  # type: ignore[misc]  # a composition is held to its first part's budget

    def made_of(self) -> Sequence[Method]:
        """The parts."""
        return (self.first, *self.finishers)

    def _held(self, budget: Budget) -> list[tuple[Method, Budget]]:
        """Return the parts, each with the budget that it is held to: the first one alone is."""
        return [(self.first, budget), *((method, Budget()) for method in self.finishers)]

    def defaults(self, budget: Budget) -> dict[str, Any]:
        """Return those of the parts, named ``part.option``."""
        return {
            f"{method.name}.{name}": value
            for method, own in self._held(budget)
            for name, value in method.defaults(own).items()
        }

    def searchable(self, budget: Budget) -> list[Parameter]:
        """Return what can be turned in the parts, named ``part.option``; how to train is the first part's affair."""
        found = []
        for place, (method, own) in enumerate(self._held(budget)):
            for one in method.searchable(own):
                if place == 0 or one.name not in MethodConfig.model_fields:
                    path = ("method", "parts", place, "options", *one.path[1:])
                    found.append(replace(one, name=f"{method.name}.{one.name}", path=path))
        return found

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """The first part's program, then what the others do after training.

        Raises:
            SpecError: a part after the first would change what the budget counts.
        """
        changing = [method.name for method in self.finishers if method.prunes]
        if budget.keep is not None and changing:
            raise SpecError(
                f"compose: {changing[0]!r} changes what budget {budget} counts; compose it without a budget"
            )
        yield from self.first.steps(budget, total_steps)
        for method in self.finishers:
            yield from method.finish(Budget())

"""Several methods, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from benchmark.api import Budget, Config, Finisher, Frozen, Method, Step
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY


class Part(Frozen):
    """One method of a composition."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class ComposeConfig(Config):
    """The parts, in order."""

    parts: tuple[Part, ...] = Field(
        default=(Part(name="l1_group"), Part(name="int8")), min_length=2, description="methods, in order"
    )


@REGISTRY.register("method", "compose")
class Compose(Method):
    """One method, then others that do their work after all training: `sgl_adaptive+int8`, `l1_group+vocab_trim`.

    In a spec, names joined by + are short for it. The first part is held to the budget and may be any method; the
    others (vocab_trim, low_rank, int8, or a plug-in that is a `Finisher`) stand at their own operating points. A
    control for a composition is the first part alone.
    """

    Config = ComposeConfig
    budgets = frozenset({"prunable_stored"})
    """Of the default parts; an instance has those of its first part."""

    def __init__(self, /, **options: Any) -> None:
        super().__init__(**options)
        config: ComposeConfig = self.config
        if any(part.name == self.name for part in config.parts):
            raise SpecError("compose: a composition has no composition among its parts; list them all in one")
        first, *others = (REGISTRY.get("method", part.name, **part.options) for part in config.parts)
        for part, method in zip(config.parts[1:], others, strict=True):
            if not isinstance(method, Finisher):
                known = [n for n in REGISTRY.names("method") if issubclass(REGISTRY.lookup("method", n), Finisher)]
                raise SpecError(
                    f"compose: {part.name!r} trains, so it can only come first; after it come {', '.join(known)}"
                )
        self.first: Method = first
        self.finishers: list[Finisher] = others
        self.budgets = first.budgets  # type: ignore[misc]  # what a composition is held to is its first part's matter

    def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
        """The first part's program, then what the others do after training.

        Raises:
            SpecError: a part after the first would change what the budget counts.
        """
        changing = [
            part.name for part, method in zip(self.config.parts[1:], self.finishers, strict=True) if method.prunes
        ]
        if budget.keep is not None and changing:
            raise SpecError(
                f"compose: {changing[0]!r} changes what budget {budget} counts; compose it without a budget"
            )
        yield from self.first.program(budget, total_steps)
        for method in self.finishers:
            yield from method.finish(Budget())

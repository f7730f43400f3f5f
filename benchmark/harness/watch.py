"""Who looks at cells while they train: what a worker is told, and what comes of it. No torch import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.api import Prune, Rewind
from benchmark.errors import SpecError
from benchmark.harness.tree import Node, Tree

if TYPE_CHECKING:
    from benchmark.harness.state import Ledger


@dataclass(frozen=True)
class Watch:
    """What a worker is to look at while cells train, and whom it tells.

    A look falls on each path step inside the last Fit of a cell's program that is a multiple of ``every``, at least
    ``after`` steps into the Fit and never on its last step. Only a node that is the last of exactly one cell and on no
    other cell's path is watched, and only where a Prune comes before it and no Prune or Rewind after it: what a model
    says before it is pruned misleads. A node that lies in the cache is not trained, so nothing is looked at.

    ``look`` gets the path step and the corpus error rate (a fraction, in the normaliser's unit) and returns a reason to
    end the Fit at once, or None. What it raises is raised by ``Worker.work``, and no record is written.
    """

    every: int
    """Path steps between two looks."""
    utterances: int
    """Of the first evaluation split, from its beginning; all where it has fewer."""
    normalizer: str
    look: Callable[[int, float], str | None]
    after: int = 0
    """Steps of the Fit before the first look: right after a Prune, a model says how much it was hurt, not what it will
    be."""

    def __post_init__(self) -> None:
        for name in ("every", "utterances"):
            if getattr(self, name) < 1:
                raise SpecError(f"a watch with {name} = {getattr(self, name)}: at least 1 is needed")

    def sees(self, node: Node, tree: Tree) -> bool:
        """Whether there is a look while this node is trained."""
        users = tree.users[node.id]
        if len(users) != 1 or users[0].last != node.id or any(isinstance(s, Prune | Rewind) for s in users[0].tail):
            return False
        if not any(isinstance(step, Prune) for name in users[0].nodes for step in tree.nodes[name].before):
            return False
        earliest = node.start + max(self.after, 1)
        return -(-earliest // self.every) * self.every < node.end


class LookFailedError(Exception):
    """Carries what went wrong in a look past those who would make a failed cell of it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Stopped:
    """A Fit that a look has ended: where, why, and what was spent on its path. Its weights are not kept."""

    node: str
    at: int
    reason: str
    ledger: Ledger

"""Which units of a tree can be done now: the one order of work, whoever hands it out. No torch import."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from benchmark.harness.tree import CellPath, Node, Tree

Has = Callable[[str, bool], bool]
"""Whether a node is there; the flag: with its optimiser."""


def ready(tree: Tree, cells: Iterable[CellPath], has: Has) -> Iterator[Node | CellPath]:
    """Yield units whose parents are there: trunks that most cells wait for first, then leaves, then evaluations.

    Args:
        tree: all there is.
        cells: those that have no result yet.
        has: what is there now; a unit may turn up that is done meanwhile.
    """

    def there(node: str | None) -> bool:
        return node is None or has(node, False)

    def whole(node: str | None) -> bool:
        return node is None or has(node, tree.needs_optimizer(node))

    wanted: dict[str, int] = {}
    for path in (cells := list(cells)):
        missing = [name for name in path.nodes if not whole(name)]
        if missing and there(path.last) and not path.tail:
            missing = []  # only the trunk is gone, and nothing below it needs it any more
        for name in missing:
            wanted[name] = wanted.get(name, 0) + 1
    for name in sorted(wanted, key=lambda name: -wanted[name]):
        node = tree.nodes[name]
        if whole(node.parent) and all(whole(past) for past in node.rewind_to.values()):
            yield node
    yield from (path for path in cells if all(there(node) for node in (path.last, *path.rewind_to.values())))

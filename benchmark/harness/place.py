"""Where a run is: a folder of this machine, or an object store with its mirror here. No torch import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.harness.tree import Tree
from benchmark.store.depot import Depot
from benchmark.store.folders import check_run, keep_spec, open_run
from benchmark.store.remote import is_url

if TYPE_CHECKING:
    from benchmark.harness.state import Workshop


@dataclass(frozen=True)
class Place:
    """Where a run is: a folder, or with a ``depot`` an object store, of which the folder is the mirror."""

    folder: Path
    depot: Depot | None = None

    @classmethod
    def of(cls, out: Path | str) -> Place:
        """Return the place of a path or a URL, checked; nothing is made there.

        Raises:
            StoreError: it can take no run.
        """
        if not is_url(out):
            return cls(check_run(Path(out)))
        depot = Depot(str(out))
        if depot.check():
            depot.pull()
        return cls(depot.mirror, depot)

    def begin(self, tree: Tree) -> None:
        """Write what says that this leaderboard was started here, once the request is known good."""
        spec, cells = tree.spec.model_dump(mode="json"), [path.cell.id for path in tree.cells]
        if self.depot is not None:
            self.depot.begin(spec, cells)
        else:
            open_run(self.folder, create=True)
            keep_spec(self.folder, spec, cells)

    def shop(self) -> Workshop:
        """Return where nodes are kept."""
        from benchmark.harness.state import Workshop

        if self.depot is None:
            return Workshop(self.folder)
        from benchmark.harness.distant import Distant

        return Distant(self.depot)

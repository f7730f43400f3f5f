"""Report ``card``: the leaderboard as one page for a repository on the Hugging Face hub, or for whoever gets a link."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api import Report
from benchmark.registry import REGISTRY
from benchmark.store.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

NAME = "leaderboard-card.md"
SPEC = "leaderboard-spec.yaml"


@REGISTRY.register("report", "card")
class Card(Report):
    """`leaderboard-card.md`: the best of each budget, data, versions, how to make it again, limits; hub metadata.

    As `README.md` of a dataset repository, beside the other reports, it is the repository's card. Where no preset says
    what was run, `leaderboard-spec.yaml` does.
    """

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the card and, where its command needs one, the spec.

        Raises:
            StoreError: nothing to report, no scores in the frame, or a record that cannot be read.
        """
        from benchmark.reproduce import of_runs
        from reports._card import card

        recipes = of_runs(list(dict.fromkeys(frame["run"])), set(frame["cell"]), file=SPEC)
        text = card(frame, recipes)
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        specs = [write_atomically(out / one.file, one.spec) for one in recipes if one.spec is not None]
        return [write_atomically(out / NAME, text), *specs]

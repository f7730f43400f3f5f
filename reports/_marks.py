"""What rows are marked with: best of a budget, on the front of a block, dominated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.store.front import non_dominated
from reports._pareto_data import main_cost

if TYPE_CHECKING:
    import pandas as pd

BEST, FRONT, DOMINATED = "b", "p", "d"


def flags(block: str, rows: pd.DataFrame, score: str) -> dict[str, str]:
    """Return letters an entry of one block: ``b`` best of its budget, ``p`` on the block's front, ``d`` dominated.

    The front is that of the error rate over what the block is judged by, its kept weights or parameters. References
    have no marks.
    """
    usable = rows[rows["status"].eq("ok") & rows[score].notna()]
    if block == "reference" or usable.empty:
        return {}
    found = dict.fromkeys(map(str, usable["entry"]), "")
    least = usable.groupby("keep")[score].transform("min")
    for entry in usable.loc[usable[score] == least, "entry"]:
        found[str(entry)] += BEST
    cost = main_cost(block).column
    costed = usable[usable[cost].notna()]
    front = non_dominated(costed[cost].to_numpy(float), costed[score].to_numpy(float))
    for entry, on in zip(costed["entry"], front, strict=True):
        found[str(entry)] += FRONT if on else DOMINATED
    return found

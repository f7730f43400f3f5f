"""Who runs in one race: the cells or entries of one training recipe, and what trains nothing, which joins every one.

A method that trains nothing (one-shot at a budget, the shipped model) can be compared with whatever was trained, by any
recipe. Where a setting has several recipes it may so have a rank in each; the frame then holds them as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def by_recipe(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each training recipe with its rows and those of no recipe; the recipe is empty where nothing is trained."""
    for recipe in [name for name in table["recipe"].unique() if name] or [""]:
        yield recipe, table[table["recipe"].isin([recipe, ""])]


def rank_columns(ranks: Mapping[str, int]) -> dict[str, Any]:
    """Return the columns ``rank`` and ``ranks`` of an entry from its ranks by recipe.

    ``ranks`` is filled where these differ: ``<recipe>:<rank>`` joined by commas; ``rank`` is then empty.
    """
    if len(set(ranks.values())) == 1:
        return {"rank": next(iter(ranks.values()))}
    return {"ranks": ",".join(f"{recipe}:{rank}" for recipe, rank in sorted(ranks.items()))}


def ranked_in(rows: pd.DataFrame, recipe: str) -> pd.DataFrame:
    """Return rows of one recipe, as ``by_recipe`` yields them, with the ranks that they have in it."""
    for name in [name for name in map(str, rows) if name == "ranks" or name.endswith("__ranks")]:
        several = rows[name].dropna()
        if len(several):
            rank = name.removesuffix("s")
            ours = [dict(one.split(":") for one in text.split(",")).get(recipe) for text in several]
            filled = rows[rank].copy()
            filled.loc[several.index] = [None if one is None else int(one) for one in ours]
            rows = rows.assign(**{rank: filled})
    return rows

"""The entries that advice chooses among: those of one ranking, each with the artefact that would be exported."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import StoreError
from benchmark.store.entries import entries
from benchmark.store.records import MODEL, folder_of
from benchmark.store.scoring import column, is_dense
from reports._content import first_split, score_column
from reports._recommend_limits import MARGIN_COLUMN

if TYPE_CHECKING:
    import pandas as pd

_OF_ARTEFACT = (
    *("run", "cell", "attempt", "seed", "there", "params_nominal", "params_stored", "bytes", "macs_first_token"),
    *("batch", "rtfx", "rtfx_lo", "rtfx_hi", "speedup", "speedup_lo", "speedup_hi", "peak_memory"),
)
"""Columns that are those of the exported cell, and no means over seeds."""
_FILTERS = {"language": "--language", "corpus": "--corpus", "model": "--model", "data": "--data"}


def check_one_ranking(frame: pd.DataFrame) -> None:
    """Refuse finished cells that cannot be ranked against each other; scores are not needed.

    Raises:
        StoreError: there is none, or they are of several models, corpora, languages, test data or decoders; the line
            names the filters that part them.
    """
    done = frame[frame["status"] == "ok"]
    if done.empty:
        raise StoreError("there is nothing to choose from: no cell of this has a result; run one, or ask for others")
    split = first_split(frame)
    hashes = done[f"{column(split)}_hash"] if f"{column(split)}_hash" in done else done["status"].map(lambda _: None)
    marks = done[["model", "revision", "corpus", "corpus_version", "language", "decoding"]].assign(data=hashes)
    marks = marks.astype("object").where(marks.notna(), "")
    if (marks.nunique() == 1).all():
        return
    common = marks.value_counts().index[0]
    usual = dict(zip(marks.columns, common, strict=True))
    for many in range(1, len(_FILTERS) + 1):
        for chosen in combinations(_FILTERS, many):
            parted = marks[np.logical_and.reduce([marks[name] == usual[name] for name in chosen])]
            if (parted.nunique() == 1).all() and all(usual[name] for name in chosen):
                found = ", ".join(_named(name, marks[name]) for name in chosen)
                way = " ".join(f"{_FILTERS[name]} {str(usual[name])[:12]}" for name in chosen)
                raise StoreError(f"records of several kinds are no ranking ({found}); choose one of each, e.g. {way}")
    differ = ", ".join(_named(str(name), marks[name]) for name in marks if marks[name].nunique() > 1)
    raise StoreError(f"records of several kinds are no ranking ({differ}); give run folders that hold one of each")


def _named(name: str, values: pd.Series) -> str:
    found = sorted({str(value)[:12] if name == "data" else str(value) for value in values})
    return f"{name}: {', '.join(found[:8])}{', ...' if len(found) > 8 else ''}"


def candidates(frame: pd.DataFrame, asked: Collection[str] | None = None) -> pd.DataFrame:
    """Return the entries that can be shipped, the smallest file first: with columns of ``entries``, and three more.

    ``title`` tells entries apart, ``there`` whether the artefact's file is kept, ``worse_at_most`` is the upper end of
    the interval of the difference to dense (0 for dense itself, NaN where there is no dense).

    Args:
        frame: scored cells of one ranking.
        asked: keep only these entries.

    Raises:
        StoreError: none has a score.
    """
    error = score_column(frame)
    cells = frame[frame["status"] == "ok"]
    there = [(folder_of(row) / MODEL).is_file() for row in cells[["run", "cell", "attempt"]].to_dict("records")]
    exported = cells.assign(there=there).sort_values(["there", "seed"], ascending=[False, True], kind="stable")
    exported = exported.drop_duplicates("entry").set_index("entry")
    table = entries(frame).set_index("entry")
    table = table[(table["status"] == "ok") & table[error].notna()]
    table = table if asked is None else table[table.index.isin(list(asked))]
    if table.empty:
        raise StoreError(f"there is nothing to choose from: no cell has a score on {first_split(frame)!r}")
    own = exported.loc[table.index, list(_OF_ARTEFACT)]
    table = table.drop(columns=[name for name in _OF_ARTEFACT if name in table]).join(own)
    table[MARGIN_COLUMN] = table[f"{error}_delta_hi"].where(~is_dense(table), 0.0)
    table["title"] = _titles(table)
    table = table.sort_values(["bytes", "title"], kind="stable")
    table.attrs = frame.attrs
    return table


def _titles(table: pd.DataFrame) -> pd.Series:
    """Return what entries are called, with as much as is needed to tell them apart."""
    kept = table["keep"].map(lambda keep: "" if np.isnan(keep) else f", kept {100 * keep:g} %")
    titles = table["label"] + kept
    more = (", " + table["block"], ", " + table["steps"].map("{:.0f} steps".format), ", recipe " + table["recipe"])
    for part in more:
        titles = titles.where(~titles.duplicated(keep=False), titles + part)
    return titles


def front(table: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates that no other one beats in size and error, the smallest first."""
    from benchmark.store.front import non_dominated

    best = table[non_dominated(table["bytes"].to_numpy(float), table[score_column(table)].to_numpy(float))]
    best.attrs = table.attrs
    return best

"""What the table, the page and the terminal show: one set of columns, one order of rows, one footer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import StoreError
from benchmark.store.entries import entries
from benchmark.store.frame import check_filled
from benchmark.store.recipes import by_recipe, ranked_in
from benchmark.store.scoring import column
from reports._cells import NOTHING as NOTHING
from reports._cells import Cell, absent, count, interval, number, percent, si, times, yes_or_no
from reports._frames import first_split as first_split
from reports._frames import metric_of as metric_of
from reports._frames import score_column as score_column
from reports._frames import several_seeds as several_seeds
from reports._frames import with_all_columns as with_all_columns
from reports._notes import notes

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = {
    "reference": "No budget: the references, and methods at their own operating point",
    "mask": "Mask block: budget in nominal weights (exact zeros; the matrices keep their size)",
    "stored": "Stored block: budget in stored weights (rows physically removed)",
}
DEFINITIONS = (
    "**Nominal**: weights that are not exactly zero (what a mask claims).",
    "**Stored**: parameters and bytes of the artefact as saved after surgery.",
    "**Realised**: multiply-adds (MACs) and wall clock of the artefact that is executed. Masks are not speed.",
    "**Kept** is what the budget asks for, **reached** what the plan keeps: fractions of the prunable weights.",
    "**MACs**: encoder per window, cross-attention keys and values per window, decoder per token (cache as stated).",
    "**Intervals** are 95 % percentile bootstrap intervals over speakers where at least five are known, else over "
    "utterances, and over the seeds where there are several; **Δ** is the paired difference to dense, in points; **±** "
    "is the standard deviation between seeds.",
    "**Rank**: within a block and a kept fraction, 1 + the number of methods that are significantly better: paired "
    "bootstrap, Holm's correction over all pairs of that block and fraction, p < 0.05. What cannot be told apart "
    "shares a rank; that is not transitive.",
    "**No worse**: share of the utterances on which there are no more errors than dense makes. **Non-inferior**: the "
    "upper end of the interval of Δ lies below the margin (a one-sided test at 2.5 %).",
    "**RTFx**: seconds of audio per second of decoding; **speed to dense**: the same, as a ratio to the model as it "
    "came in the same process; **peak memory**: what decoding takes at most in a fresh process, beyond its libraries.",
    "**Extra passes**: utterances passed through the model for calibration, or through a teacher.",
    "**Train s**: seconds in training steps, on the devices and threads that the notes name.",
)
ESSENTIAL = 9
"""Weight of the columns that a table always has."""


@dataclass(frozen=True)
class Column:
    """A heading, how a row fills it, and whether it holds words (left-aligned) or numbers."""

    name: str
    fill: Callable[[pd.Series], Cell]
    words: bool = False
    weight: int = ESSENTIAL
    """Where room is short (in the terminal), columns of little weight go first."""


@dataclass(frozen=True)
class Section:
    """One block of a board."""

    block: str
    title: str
    rows: pd.DataFrame


@dataclass(frozen=True)
class Board:
    """Entries that may be compared: one model, corpus, decoding and training recipe."""

    title: str
    sections: list[Section]
    notes: list[str]
    columns: list[Column]
    metric: str
    """What the first normaliser's error rate is called here: ``wer`` or ``cer``."""

    @property
    def rows(self) -> pd.DataFrame:
        """All rows in the order shown."""
        import pandas as pd

        return pd.concat([section.rows for section in self.sections])


def boards(frame: pd.DataFrame) -> list[Board]:
    """Split a scored frame of cells into boards of entries, each in reading order.

    Raises:
        StoreError: the frame is empty or carries no scores.
    """
    check_filled(frame)
    if "rank" not in frame:
        raise StoreError("a report needs scores: make the frame with a normalizer, frame(runs, normalizer=...)")
    frame = with_all_columns(frame)
    table = entries(frame)
    return [_board(rows, table) for rows in _comparable(table)]


def _comparable(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows of each board; what was not trained at all (the shipped model) joins every recipe."""
    for _, setting in frame.groupby("setting", sort=False):
        yield from (ranked_in(rows, recipe) for recipe, rows in by_recipe(setting))


def _board(rows: pd.DataFrame, frame: pd.DataFrame) -> Board:
    steps = rows["steps"].dropna().max()
    first = rows.iloc[0]
    title = f"{first['model']} on {first['corpus']} ({first['language']}), {count(steps).text} training steps"
    decoding = rows["decoding"].dropna().unique()
    if frame["decoding"].nunique() > 1 and len(decoding):
        title += f", decoding {', '.join(decoding)}"
    sections = []
    order = [*BLOCKS, *sorted(set(rows["block"]) - set(BLOCKS))]
    for block in order:
        found = rows[rows["block"] == block]
        if not found.empty:
            sections.append(Section(block, BLOCKS.get(block, f"Budget in {block}"), in_order(found)))
    return Board(title, sections, list(notes(rows)), columns(rows), metric_of(rows))


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows by kept fraction (large first), then by score; cells without a result end their group."""
    first = rows["method"].ne("dense")  # the yardstick opens the reference rows
    return (
        rows.assign(_first=first, _failed=rows["status"].ne("ok"))
        .sort_values(["keep", "_failed", "_first", "rank", score_column(rows), "label"],
                     ascending=[False, True, True, True, True, True])
        .drop(columns=["_first", "_failed"])
    )  # fmt: skip


# --- columns ------------------------------------------------------------------------------------------------------


def columns(rows: pd.DataFrame) -> list[Column]:
    """Return the columns of the table for these rows' metric, splits, normalisers and seeds."""
    metric = metric_of(rows)
    splits = rows.attrs["splits"] or [first_split(rows)]
    first, other = column(splits[0]), "cer" if metric == "wer" else "wer"
    shown = [
        Column("rank", lambda row: count(row["rank"])),
        Column("method", lambda row: Cell(row["label"], row["label"]), words=True),
        Column("kept", lambda row: percent(row["keep"], digits=0)),
        Column("reached", lambda row: percent(row["reached"], digits=2), weight=2),
        Column(f"{metric.upper()} {splits[0]} % [95 %]", lambda row: _score(row, f"{first}_{metric}")),
        Column("Δ to dense [95 %]", lambda row: interval(row, f"{first}_{metric}_delta", sign="+"), weight=6),
        Column("non-inferior", lambda row: yes_or_no(row["non_inferior"]), weight=3),
        Column("no worse %", lambda row: percent(row[f"{first}_no_worse"], digits=0, unit=""), weight=3),
        Column(f"{other.upper()} % [95 %]", lambda row: interval(row, f"{first}_{other}"), weight=4),
        *(Column(f"{metric.upper()} {split} %", _percent_of(f"{column(split)}_{metric}")) for split in splits[1:]),
        *_beside(rows, splits[0]),
        Column("params nominal", lambda row: si(row["params_nominal"]), weight=7),
        Column("params stored", lambda row: si(row["params_stored"])),
        Column("size", lambda row: si(row["bytes"], unit="B"), weight=2),
        Column("MACs encoder", lambda row: si(row["macs_encoder"]), weight=5),
        Column("MACs cross K/V", lambda row: si(row["macs_cross_kv"]), weight=1),
        Column("MACs token", lambda row: si(row["macs_decoder_token"]), weight=1),
        Column("speed to dense", lambda row: times(row["speedup"]), weight=8),
        Column("RTFx", lambda row: number(row["rtfx"]), weight=3),
        Column("peak memory", lambda row: si(row["peak_memory"], unit="B"), weight=2),
        Column("steps", lambda row: count(row["steps"]), weight=1),
        Column("extra passes", lambda row: count(_passes(row)), weight=1),
        Column("train s", lambda row: number(row["train_seconds"]), weight=1),
    ]
    if several_seeds(rows):
        shown.insert(4, Column("seeds", lambda row: _seeds(row, f"{first}_delta_seeds")))
        shown.insert(6, Column("±", lambda row: percent(row[f"{first}_{metric}_sd"], digits=2, unit=""), weight=8))
    return shown


def _seeds(row: pd.Series, delta: str) -> Cell:
    """Return how many seeds are finished, of how many where some are not, and how many can be compared with dense."""
    done, whole = int(row["seeds"]), int(row[["seeds", "failed", "stopped", "missing"]].sum())
    compared = f" ({int(row[delta])} with dense)" if 0 < row.get(delta, 0) < done else ""
    return Cell((f"{done}" if done == whole else f"{done} of {whole}") + compared, done)


def _beside(rows: pd.DataFrame, split: str) -> Iterator[Column]:
    """Yield the error rate and the rank by every further normaliser that has scores here."""
    for slug, about in rows.attrs.get("others", {}).items():
        if rows[f"{slug}__signature"].isna().all():
            continue
        name, error = about["normalizer"], f"{slug}__{column(split)}_error"
        metric = metric_of(rows, f"{slug}__").upper()
        yield Column(f"{metric} {split} % by {name} [95 %]", _interval_of(error), weight=8)
        yield Column(f"rank by {name}", _count_of(f"{slug}__rank"), weight=7)


def _interval_of(name: str) -> Callable[[pd.Series], Cell]:
    return lambda row: interval(row, name)


def _count_of(name: str) -> Callable[[pd.Series], Cell]:
    return lambda row: count(row[name])


def _passes(row: pd.Series) -> Any:
    """Return the utterances passed through the model or a teacher besides training; absent where a record has none."""
    found = [row[name] for name in ("calibration_passes", "teacher_passes") if not absent(row[name])]
    return sum(found) if found else None


def _percent_of(name: str) -> Callable[[pd.Series], Cell]:
    return lambda row: percent(row[name], unit="")


def _score(row: pd.Series, name: str) -> Cell:
    if row["status"] != "ok":
        return Cell(unfinished(row), None)
    return interval(row, name)


def unfinished(row: pd.Series) -> str:
    """Return what stands in place of a score: what failed, or at which step a study stopped the cell, and why."""
    said = {"pruned": str(row["error"]), "missing": "MISSING: asked for, and not run yet"}
    return said.get(row["status"], f"FAILED: {row['error']}")


def cells(rows: pd.DataFrame, shown: Sequence[Column]) -> list[list[Cell]]:
    """Return the table's entries, row by row."""
    return [[column.fill(row) for column in shown] for _, row in rows.iterrows()]

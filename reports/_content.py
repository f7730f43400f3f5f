"""What the table, the page and the terminal show: one set of columns, one order of rows, one footer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import StoreError
from benchmark.store.scoring import column, score_columns
from reports._cells import NOTHING as NOTHING
from reports._cells import Cell, absent, count, interval, number, percent, si, times

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
    "**Intervals** are 95 % bootstrap intervals over utterances; **Δ** is the paired difference to dense, in points.",
    "**Rank**: within a block and a kept fraction, 1 + the number of methods that are better: the whole interval of "
    "their paired difference to this one lies below zero.",
    "**RTFx**: seconds of audio per second of decoding; **speed to dense**: the same, as a ratio to dense in the same "
    "process; **peak memory**: what decoding takes at most in a fresh process, beyond its libraries.",
    "**Extra passes**: utterances passed through the model for calibration, or through a teacher.",
    "**Train s**: seconds in training steps, on one thread.",
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
    """Cells that may be compared: one model, corpus, decoding and training recipe."""

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
    """Split a scored frame into boards, each in reading order.

    Raises:
        StoreError: the frame is empty or carries no scores.
    """
    if frame.empty:
        raise StoreError("there is nothing to report: the run folder holds no finished and no failed cell")
    if "rank" not in frame:
        raise StoreError("a report needs scores: make the frame with a normalizer, frame(runs, normalizer=...)")
    frame = with_all_columns(frame)
    return [_board(rows, frame) for rows in _comparable(frame)]


def with_all_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with empty score columns where no cell has a result, so that failures can be shown."""
    needed = score_columns(first_split(frame))
    prefixes = ("", *(f"{slug}__" for slug in frame.attrs.get("others", ())))
    names = [prefix + name for prefix in prefixes for name in needed if prefix + name not in frame]
    attrs = frame.attrs
    # The copy lies in one piece; several normalisers bring so many columns that pandas warns of it otherwise.
    frame = frame.reindex(columns=[*frame.columns, *names]).copy()
    frame.attrs = attrs
    return frame


def first_split(frame: pd.DataFrame) -> str:
    """Return the split that ranks."""
    return str((frame.attrs.get("splits") or ["test"])[0])


def _comparable(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows of each board; what was not trained at all (the shipped model) joins every recipe."""
    for _, setting in frame.groupby("setting", sort=False):
        for recipe in [name for name in setting["recipe"].unique() if name] or [""]:
            yield setting[setting["recipe"].isin([recipe, ""])]


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
    return Board(title, sections, list(_notes(rows)), columns(rows, several_seeds(frame)), metric_of(rows))


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows by kept fraction (large first), then by score; cells without a result end their group."""
    first = rows["method"].ne("dense")  # the yardstick opens the reference rows
    return (
        rows.assign(_first=first, _failed=rows["status"].ne("ok"))
        .sort_values(["keep", "_failed", "_first", "rank", score_column(rows), "label", "seed"],
                     ascending=[False, True, True, True, True, True, True])
        .drop(columns=["_first", "_failed"])
    )  # fmt: skip


def score_column(frame: pd.DataFrame) -> str:
    """Return the column that ranks: the error rate in the normaliser's unit on the first split."""
    return f"{column(first_split(frame))}_error"


def metric_of(rows: pd.DataFrame, prefix: str = "") -> str:
    """Return what the error rate of a board's normaliser is called; ``prefix`` is that of another one's columns."""
    found = list(rows[f"{prefix}metric"].dropna().unique()) if f"{prefix}metric" in rows else []
    about = rows.attrs.get("others", {}).get(prefix.removesuffix("__"), {}) if prefix else rows.attrs
    said = str(about.get("metric", "wer"))
    return str(found[0]) if found else said if said in ("wer", "cer") else "wer"


def several_seeds(frame: pd.DataFrame) -> bool:
    """Whether rows differ in their seed."""
    return bool(frame["seed"].nunique() > 1)


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    """Yield what must be said below a board for its numbers to mean something."""
    about = rows.attrs
    for prefix, one in (("", about), *((f"{slug}__", one) for slug, one in about.get("others", {}).items())):
        signed = sorted(rows[f"{prefix}signature"].dropna().unique()) if f"{prefix}signature" in rows else []
        said = f"signature {' / '.join(signed)}" if signed else "no scores"
        yield f"{'Beside it: normaliser' if prefix else 'Normaliser'} {one.get('normalizer')}; {said}."
    yield from (f"Scores left out: {fault}" for fault in about.get("faults", ()))
    for split in about.get("splits", ()):
        prefix = column(split)
        hashes = ", ".join(f"{value[:12]}" for value in rows[f"{prefix}_hash"].dropna().unique())
        used = rows[f"{prefix}_utterances"].dropna()
        if len(used):
            yield f"Data {split}: {count(used.iloc[0]).text} utterances, hash {hashes}{_odd(rows, prefix)}."
    whole = rows["denominator"].dropna().unique()
    if len(whole):
        kept = ", ".join(f"{value:,}" for value in whole)
        yield f"Kept fractions are of {kept} prunable weights (attention projections and feed-forward matrices)."
    positions = rows["macs_position"].dropna().unique()
    if len(positions):
        yield f"Decoder MACs: one token with the cache at position {', '.join(map(str, positions))}."
    device = about.get("device")
    yield f"Timed on {device}, interleaved with dense." if device else "Not timed (prunebench profile does that)."
    trained = ", ".join(f"{value}" for value in rows["trained_on"].dropna().unique())
    if trained:
        yield f"Trained and decoded on {trained}."
    failed, stopped = (int(rows["status"].eq(status).sum()) for status in ("failed", "pruned"))
    if stopped:
        yield f"{stopped} cell{'s' * (stopped > 1)} of a study stopped while training: no result, and no failure."
    if failed:
        yield f"{failed} cell{'s' * (failed > 1)} FAILED and carr{'y' if failed > 1 else 'ies'} no result."
    yield from (f"Left out, broken: {problem}" for problem in about.get("problems", ()))


def _odd(rows: pd.DataFrame, prefix: str) -> str:
    """Return what is unusual about a split's data; empty where nothing is."""
    told = {"skipped": "unreadable and left out", "unreferenced": "without a reference word"}
    told["emptied"] = "with a reference of which the normaliser leaves nothing"
    found = {what: rows[f"{prefix}_{what}"].max() for what in told if f"{prefix}_{what}" in rows}
    return "".join(f", {int(most)} {told[what]}" for what, most in found.items() if not absent(most) and most > 0)


# --- columns ------------------------------------------------------------------------------------------------------


def columns(rows: pd.DataFrame, seeds: bool | None = None) -> list[Column]:
    """Return the columns of the table for these rows' metric, splits and normalisers.

    ``seeds`` shows their column; by default where the rows differ in them.
    """
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
        Column(f"{other.upper()} %", lambda row: percent(row[f"{first}_{other}"], unit=""), weight=4),
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
    if several_seeds(rows) if seeds is None else seeds:
        shown.insert(2, Column("seed", lambda row: count(row["seed"])))
    return shown


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
    return str(row["error"]) if row["status"] == "pruned" else f"FAILED: {row['error']}"


def cells(rows: pd.DataFrame, shown: Sequence[Column]) -> list[list[Cell]]:
    """Return the table's entries, row by row."""
    return [[column.fill(row) for column in shown] for _, row in rows.iterrows()]

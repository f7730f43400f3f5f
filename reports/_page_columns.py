"""The columns of the leaderboard page: headings, groups, and how an entry fills them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.store.scoring import column
from reports._cells import Cell, absent, count, interval, number, percent, si, times
from reports._page_views import Board, View

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Column:
    """A heading with what it means, the group it stands in, and how an entry fills it."""

    key: str
    group: str
    title: str
    about: str
    fill: Callable[[Row], Cell]
    scored: bool = False
    """Whether another normaliser has other numbers here."""


def columns(view: View, board: Board, splits: Sequence[str]) -> list[Column]:
    """Return the columns of a board by one normaliser; those of another one differ in titles and numbers only."""
    return [*_budget(), *_errors(view.split, board.metric, splits), *_costs()]


def _budget() -> Iterator[Column]:
    yield Column(
        "rank", "", "rank", "1 + the entries of this block and budget that are significantly better",
        lambda row: count(row["rank"]), scored=True,
    )  # fmt: skip
    yield Column(
        "keep", "", "kept", "What the budget asks for, as a share of the prunable weights",
        lambda row: percent(row["keep"], digits=0),
    )  # fmt: skip


def _errors(split: str, metric: str, splits: Sequence[str]) -> Iterator[Column]:
    first, other = column(split), "cer" if metric == "wer" else "wer"
    name = metric.upper()
    yield Column(
        "score", "Error, %", f"{name} {split} [95 %]", "Error rate with its 95 % bootstrap interval; what ranks",
        lambda row: interval(row, f"{first}_{metric}"), scored=True,
    )  # fmt: skip
    yield Column(
        "delta", "Error, %", "Δ to dense [95 %]", "Paired difference to the dense model, in points",
        lambda row: interval(row, f"{first}_{metric}_delta", sign="+"), scored=True,
    )  # fmt: skip
    yield Column(
        "no_worse", "Error, %", "no worse", "Share of utterances with no more errors than the dense model makes",
        lambda row: percent(row.get(f"{first}_no_worse"), digits=0, unit=""), scored=True,
    )  # fmt: skip
    yield Column(
        "other", "Error, %", other.upper(), f"{other.upper()} on {split}",
        lambda row: percent(row[f"{first}_{other}"], unit=""), scored=True,
    )  # fmt: skip
    for number_, one in enumerate(splits[1:]):
        rate = f"{column(one)}_{metric}"
        yield Column(
            f"split{number_}", "Error, %", f"{name} {one}", f"Error rate on the split {one}",
            lambda row, rate=rate: percent(row[rate], unit=""), scored=True,  # type: ignore[misc]
        )  # fmt: skip


def _costs() -> Iterator[Column]:
    def in_bytes(value: Any) -> Cell:
        return si(value, unit="B")

    size, work, training = "Size", "Work and speed", "Training"
    plain: list[tuple[str, str, str, str, Callable[[Any], Cell]]] = [
        ("params_nominal", size, "nominal", "Parameters that are not exactly zero: what a mask claims", si),
        ("params_stored", size, "stored", "Parameters as saved after surgery", si),
        ("bytes", size, "file", "Bytes as saved", in_bytes),
        ("macs_encoder", work, "MACs encoder", "Multiply-adds of the encoder, a window", si),
        ("macs_decoder_token", work, "MACs token", "Multiply-adds of the decoder, a token with cache", si),
        ("speedup", work, "to dense", "Measured speed as a ratio to the dense model in the same process", times),
        ("rtfx", work, "RTFx", "Seconds of audio decoded a second, then; what may be compared is the ratio", number),
        (
            "peak_memory",
            work,
            "memory",
            "Peak memory of decoding in a fresh process",
            lambda value: si(value, unit="B"),
        ),
        ("train_seconds", training, "seconds", "Seconds in training steps", number),
    ]
    for key, group, title, about, write in plain:
        yield Column(key, group, title, about, lambda row, key=key, write=write: write(row[key]))  # type: ignore[misc]


def filled(found: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """Return the columns in which any of the rows has something; the error rate always stays."""
    return [one for one in found if one.key == "score" or any(not absent(one.fill(row).sort) for row in rows)]

"""What ``prunebench audit`` shows: rows of tables, and the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.text.audit import Audit
from reports import _transcripts as transcripts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _BAR = "#222222", "#7a8fa6"
READING = (
    "**Merged**: word types (what stands between white space) that become equal to another type; of k that are equal, "
    "k - 1. Most are meant: punctuation and encodings are part of a type.",
    "**Marks deleted**: net share of the combining marks (vowel signs, viramas, nuktas ...) of the running text.",
    "**Split**: types without punctuation or symbol that become more than one word. **Joined**: utterances with fewer "
    "words than their words give one by one. **Emptied**: types with a letter or digit of which nothing is left, and "
    "all types of which nothing is left (signs, emoji).",
    "**Variants apart**: known spellings of one word that stay different. **Wrongly equal**: pairs judged distinct "
    "that become equal. Both kinds of pair are those of the normaliser that is audited.",
)


@dataclass(frozen=True)
class Audited:
    """One normaliser: how it was named, and what was found."""

    choice: str
    found: Audit
    judged: int
    """Pairs judged distinct that were tried."""


def summary(audited: Sequence[Audited]) -> list[dict[str, Any]]:
    """Return one row a normaliser, with counts."""
    return [
        {
            "normalizer": one.choice,
            "signature": one.found.signature,
            "types": one.found.words,
            "merged": one.found.merged,
            "marks": one.found.marks,
            "marks_deleted": one.found.marks_deleted,
            "split": len(one.found.split),
            "joined": one.found.joined,
            "vanished": len(one.found.vanished),
            "emptied": len(one.found.emptied),
            "variants": one.found.variants,
            "variants_apart": len(one.found.apart),
            "judged_distinct": one.judged,
            "wrongly_equal": len(one.found.wrong),
        }
        for one in audited
    ]


def summary_texts(rows: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield headings and rows as they are read."""
    yield [
        *("normaliser", "types", "merged", "marks deleted", "split", "joined"),
        *("emptied (all)", "variants apart", "wrongly equal"),
    ]
    for name, row in zip(transcripts.short([row["normalizer"] for row in rows]), rows, strict=True):
        yield [
            name,
            f"{row['types']:,}",
            _counted(row["merged"], row["types"]),
            _share(row["marks_deleted"], row["marks"]),
            _counted(row["split"], row["types"]),
            f"{row['joined']:,}",
            f"{row['emptied']:,} ({row['vanished']:,})",
            f"{row['variants_apart']} of {row['variants']}" if row["variants"] else "–",
            f"{row['wrongly_equal']} of {row['judged_distinct']}" if row["judged_distinct"] else "–",
        ]


def _counted(part: int, whole: int) -> str:
    return f"{part:,} ({_share(part, whole)})"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def rules_texts(found: Audit) -> Iterator[list[str]]:
    """Yield headings and one row a rule that is switched on."""
    yield ["rule", "right by", "example", "merges", "judged equal", "judged distinct", "not judged"]
    for rule in found.rules:
        example = rule.merges[len(rule.merges) // 2] if rule.merges else None
        said = [f"{rule.count(verdict):,}" if rule.judged else "–" for verdict in ("equal", "distinct", "")]
        yield [
            rule.name,
            "judgement" if rule.judged else "construction",
            f"{example.left} = {example.right}" if example else "–",
            f"{len(rule.merges):,}",
            *said,
        ]


# --- the picture --------------------------------------------------------------------------------------------------


def draw(rows: Sequence[dict[str, Any]], same: transcripts.Same | None, title: str) -> Figure:
    """Return the picture: what each normaliser does to the text, and error rates of the same transcripts by each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    told = [
        (heading, part, whole)
        for heading, part, whole in (
            ("combining marks deleted", "marks_deleted", "marks"),
            ("word types cut in pieces", "split", "types"),
            ("variants kept apart", "variants_apart", "variants"),
            ("distinct words made equal", "wrongly_equal", "judged_distinct"),
        )
        if any(row[whole] for row in rows)
    ]
    names = transcripts.short([row["normalizer"] for row in rows])
    bars = 0.75 + 0.32 * len(rows)
    figure = Figure(figsize=(11.5, bars + (5.0 if same else 0.0)), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(2 if same else 1, 1, height_ratios=[5.0, bars] if same else None, squeeze=False)[:, 0]
    if same:
        axes = parts[0].subplots()
        transcripts.lines(same, axes)
        axes.set_title(f"The same transcripts: {same.title}", loc="left", fontsize=11, fontweight="bold")
    parts[-1].suptitle(title, x=0.008, ha="left", fontsize=11, fontweight="bold")
    panels = parts[-1].subplots(1, len(told), squeeze=False)[0]
    for number, (axes, (heading, part, whole)) in enumerate(zip(panels, told, strict=True)):
        _bars(axes, heading, [100 * row[part] / row[whole] if row[whole] else 0.0 for row in rows], names, number == 0)
    return figure


def _bars(axes: Axes, heading: str, values: Sequence[float], names: Sequence[str], named: bool) -> None:
    places = range(len(values))
    axes.barh(places, values, color=_BAR)
    axes.set_yticks(list(places), names if named else [""] * len(values), fontsize=9)
    axes.invert_yaxis()
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {value:.1f} %", va="center", fontsize=9, color=_INK)
    axes.set_xlim(0, max(*values, 1) * 1.35)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_title(heading, loc="left", fontsize=9.5)
    axes.spines[["top", "right", "bottom"]].set_visible(False)

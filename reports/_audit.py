"""What ``prunebench audit`` shows: rows of tables, and the picture "the same transcripts, six normalisers"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.text.audit import Audit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _FAINT, _BAR = "#222222", "#8a8a8a", "#7a8fa6"
_MOST_LINES = 8
"""Cells that the picture shows: more lines cannot be told apart."""
READING = (
    "**Merged**: word types (what stands between white space) that become equal to another type. Most are meant: "
    "punctuation and encodings are part of a type.",
    "**Marks deleted**: net share of the combining marks (vowel signs, viramas, nuktas ...) of the running text.",
    "**Split**: types without punctuation or symbol that become more than one word. **Joined**: utterances with fewer "
    "words than their words give one by one. **Emptied**: types of which nothing is left.",
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
        "normaliser",
        "types",
        "merged",
        "marks deleted",
        "split",
        "joined",
        "emptied",
        "variants apart",
        "wrongly equal",
    ]
    for row in rows:
        yield [
            row["normalizer"],
            f"{row['types']:,}",
            f"{row['merged']:,} ({_share(row['merged'], row['types'])})",
            _share(row["marks_deleted"], row["marks"]),
            f"{row['split']:,} ({_share(row['split'], row['types'])})",
            f"{row['joined']:,}",
            f"{row['emptied']:,}",
            f"{row['variants_apart']} of {row['variants']}" if row["variants"] else "–",
            f"{row['wrongly_equal']} of {row['judged_distinct']}" if row["judged_distinct"] else "–",
        ]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def rules_texts(found: Audit) -> Iterator[list[str]]:
    """Yield headings and one row a rule that is switched on."""
    yield ["rule", "merges", "right by", "judged equal", "judged distinct", "not judged", "example"]
    for rule in found.rules:
        example = " = ".join(rule.pairs[len(rule.pairs) // 2]) if rule.pairs else "–"
        said = (
            [str(rule.verdicts["equal"]), str(rule.verdicts["distinct"]), str(rule.unjudged)]
            if rule.judged
            else ["–"] * 3
        )
        yield [rule.name, f"{len(rule.pairs):,}", "judgement" if rule.judged else "construction", *said, example]


def ranks(table: pd.DataFrame, choices: Sequence[str]) -> list[dict[str, Any]]:
    """Return what each normaliser does to the leaderboard: against the first, over cells that have a rank.

    ``tau`` is Kendall's tau-b between the error rates of both, over all cells; ``changed`` lists the cells whose rank
    (inside block, kept fraction and seed) is another one.
    """
    from scipy.stats import kendalltau

    first = f"{table.attrs['splits'][0].replace('-', '_')}_error"
    prefixes = {about["normalizer"]: f"{slug}__" for slug, about in table.attrs.get("others", {}).items()}
    rows = []
    for choice in choices:
        prefix = prefixes.get(choice, "" if choice == table.attrs["normalizer"] else None)
        if prefix is None:  # broken, and named already
            continue
        both = table[table[first].notna() & table[prefix + first].notna()]
        ranked = both[both["rank"].notna()]
        other = ranked[ranked["rank"] != ranked[f"{prefix}rank"]]
        rows.append(
            {
                "normalizer": choice,
                "tau": float(kendalltau(both[first], both[prefix + first]).statistic) if len(both) > 1 else None,
                "ranked": len(ranked),
                "changed": [
                    {
                        "method": row["label"],
                        "block": row["block"],
                        "keep": float(row["keep"]),
                        "from": int(row["rank"]),
                        "to": int(row[f"{prefix}rank"]),
                    }
                    for _, row in other.iterrows()
                ],
            }
        )
    return rows


def errors(table: pd.DataFrame, choices: Sequence[str]) -> pd.DataFrame:
    """Return error rates of the first split, one row a cell, one column a normaliser (with ``_lo`` and ``_hi``)."""
    import pandas as pd

    first = f"{table.attrs['splits'][0].replace('-', '_')}_error"
    prefixes = {about["normalizer"]: f"{slug}__" for slug, about in table.attrs.get("others", {}).items()}
    prefixes[table.attrs["normalizer"]] = ""
    columns = {"label": [_title(row) for _, row in table.iterrows()]}
    for choice in choices:
        if choice in prefixes:
            for part in ("", "_lo", "_hi"):
                columns[choice + part] = table[prefixes[choice] + first + part].tolist()
    found = pd.DataFrame(columns, index=table["cell"])
    return found.dropna(subset=[choice for choice in choices if choice in prefixes])


def _title(row: pd.Series) -> str:
    return row["label"] if row["block"] == "reference" else f"{row['label']}, {100 * row['keep']:.0f} % {row['block']}"


def spaced(rates: pd.DataFrame, by: str, most: int = _MOST_LINES) -> pd.DataFrame:
    """Return at most ``most`` cells whose error rates by one normaliser are about evenly spaced, lowest first."""
    import numpy as np

    ordered = rates.sort_values(by, kind="stable").drop_duplicates(by)
    values = ordered[by].to_numpy()
    wanted = np.linspace(values[0], values[-1], most) if len(values) else values
    return ordered.iloc[np.unique(np.abs(values[:, None] - wanted[None, :]).argmin(axis=0))]


def errors_texts(rates: pd.DataFrame, choices: Sequence[str]) -> Iterator[list[str]]:
    """Yield headings and one row a cell: error rate in per cent and its 95 % interval, by each normaliser."""
    shown = [choice for choice in choices if choice in rates]
    yield ["cell", *shown]
    for _, row in rates.iterrows():
        yield [
            str(row["label"]),
            *(f"{100 * row[c]:.1f} [{100 * row[c + '_lo']:.1f}, {100 * row[c + '_hi']:.1f}]" for c in shown),
        ]


def markdown(rows: Iterator[list[str]]) -> str:
    """Return rows, headings first, as a Markdown table."""
    import pandas as pd

    headings, *rest = rows
    safe = [[text.replace("|", "\\|") for text in row] for row in rest]
    return str(pd.DataFrame(safe, columns=headings).to_markdown(index=False, disable_numparse=True))


# --- the picture --------------------------------------------------------------------------------------------------


def draw(rows: Sequence[dict[str, Any]], rates: pd.DataFrame | None, title: str) -> Figure:
    """Return the picture: error rates of the same transcripts by each normaliser, and what each does to the text."""
    from matplotlib.figure import Figure

    names = [_short(row["normalizer"]) for row in rows]
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
    figure = Figure(figsize=(15, 4.4) if rates is not None else (11, 3.4), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    widths = [3.0] * (rates is not None) + [1.0] * len(told)
    panels = list(figure.subplots(1, len(widths), gridspec_kw={"width_ratios": widths}))
    if rates is not None:
        _slopes(panels.pop(0), rates, [row["normalizer"] for row in rows], names)
    for number, (axes, (heading, part, whole)) in enumerate(zip(panels, told, strict=True)):
        _bars(axes, heading, [100 * row[part] / row[whole] if row[whole] else 0.0 for row in rows], names, number == 0)
    return figure


def _slopes(axes: Axes, rates: pd.DataFrame, choices: Sequence[str], names: Sequence[str]) -> None:
    shown = [choice for choice in choices if choice in rates]
    some = spaced(rates, shown[0])
    places = range(len(shown))
    markers = "osD^vPX*"
    for number, (_, row) in enumerate(some.iterrows()):
        values = [100 * row[choice] for choice in shown]
        low = [100 * (row[choice] - row[f"{choice}_lo"]) for choice in shown]
        high = [100 * (row[f"{choice}_hi"] - row[choice]) for choice in shown]
        axes.errorbar(
            places, values, [low, high], color=_INK, ecolor=_FAINT, elinewidth=0.8, linewidth=0.9,
            marker=markers[number % len(markers)], markersize=4, label=str(row["label"]),
        )  # fmt: skip
    axes.set_xticks(
        list(places), [names[choices.index(choice)] for choice in shown], fontsize=8, rotation=20, ha="right"
    )
    axes.set_ylabel("error rate, %")
    axes.set_title("the same transcripts (95 % intervals)", loc="left", fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: Axes, heading: str, values: Sequence[float], names: Sequence[str], named: bool) -> None:
    places = range(len(values))
    axes.barh(places, values, color=_BAR)
    axes.set_yticks(list(places), names if named else [""] * len(values), fontsize=8)
    axes.invert_yaxis()
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {value:.1f} %", va="center", fontsize=8, color=_INK)
    axes.set_xlim(0, max(*values, 1) * 1.35)
    axes.set_xticks([])
    axes.set_title(heading, loc="left", fontsize=9)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _short(choice: str) -> str:
    name, bracket, options = choice.partition("[")
    return name if not bracket else f"{name}, {options.count('=')} rules off" if "=off" in options else choice

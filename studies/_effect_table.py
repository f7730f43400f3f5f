"""The effects of an ablation as tables: Markdown, CSV, and in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from studies._tables import NOTHING, interval, markdown_table, resampled

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

HEADINGS = (
    *("factor", "level", "error rate, %", "difference, points", "p", "worse in"),
    *("non-zero, %", "stored, %", "MACs, M", "steps"),
)
_COLUMNS = (
    "Worse in: share of the resamples in which the arm is worse. Non-zero and stored: shares of the prunable weights. "
    "MACs: of a window up to its first token, as executed."
)


@dataclass(frozen=True)
class Line:
    """One row as texts, and the frame's row that it shows."""

    cells: tuple[str, ...]
    what: str


def csv(table: pd.DataFrame) -> str:
    """Return the frame as it is: fractions, not per cent."""
    text: str = table.to_csv(index=False)
    return text


def markdown(table: pd.DataFrame) -> str:
    """Return one table a point, with what must be said of all of them below."""
    lines = [f"# {title(table)}", ""]
    for point, lines_of_point in _points(table):
        lines += [f"## {point}", ""]
        full = [at for at, line in enumerate(lines_of_point) if line.what == "full"]
        lines += [markdown_table(HEADINGS, [line.cells for line in lines_of_point], numbers=2, bold=full), ""]
    return "\n".join([*lines, *(f"{said}\n" for said in (*notes(table), _COLUMNS))])


def show(table: pd.DataFrame, console: Console) -> None:
    """Print one table a point."""
    from rich.markup import escape
    from rich.table import Table

    console.print(f"[bold]{escape(title(table))}[/bold]")
    for point, lines in _points(table):
        shown = Table(title=escape(point), title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
        for number, heading in enumerate(HEADINGS):
            shown.add_column(escape(heading), justify="left" if number < 2 else "right", overflow="fold")
        for line in lines:
            shown.add_row(*map(escape, line.cells), style="bold" if line.what == "full" else None)
        console.print(shown)
    for said in (*notes(table), _COLUMNS):
        console.print(escape(said))


def title(table: pd.DataFrame) -> str:
    """Return what the table is about."""
    about = table.attrs
    kind = "one part changed at a time" if about["design"] == "one_at_a_time" else "all combinations of its parts"
    return f"{about['method']} taken apart: {kind}"


def notes(table: pd.DataFrame) -> list[str]:
    """Return what holds for all rows, and how to read them."""
    about, full = table.attrs, table[table["what"] == "full"]
    signatures = sorted({one for one in full["signature"] if one})
    seeds = ", ".join(map(str, about["seeds"]))
    narrow = "; so few seeds make it rather too narrow" if len(about["seeds"]) > 1 else ""
    said = [
        f"{about['model']}, {about['corpus']}, split {about['split']}: {about['utterances']} utterances, "
        f"seeds {seeds}, {about['steps']} training steps in all for every arm that does not say otherwise. "
        f"Scores: {' / '.join(signatures) or 'none'}.",
        "Error rates are means over seeds, with the lowest and the highest. A difference is the arm's rate minus the "
        "full method's: above zero the arm is worse. Its 95 % interval is a paired bootstrap over "
        f"{resampled(len(about['seeds']))} ({about['resamples']:,} resamples{narrow}). p is corrected for the number "
        "of arms of the point (Holm).",
    ]
    if _others(table):
        said.append(
            f"Scored otherwise: {', '.join(_others(table))}. There the models and transcripts are the full method's, "
            "and only the scores differ."
        )
    if (table["what"] == "main").any():
        said.append(
            "A main effect is the mean of a level's differences over all combinations of the other factors' levels."
        )
    if (table["status"] != "ok").any():
        said.append("An arm without numbers says why; it is no result, and nothing is left out for it.")
    return said


def _others(table: pd.DataFrame) -> list[str]:
    """Return the signatures that are not the full method's."""
    own = set(table.loc[table["what"] == "full", "signature"])
    return sorted({one for one in table["signature"] if one} - own)


def _points(table: pd.DataFrame) -> Iterator[tuple[str, list[Line]]]:
    for point, rows in table.groupby("point", sort=False):
        yield str(point), [_line(row) for _, row in rows.iterrows()]


def _line(row: pd.Series) -> Line:
    factor = f"{row['factor']} (main effect)" if row["what"] == "main" else str(row["factor"])
    name = (factor, str(row["level"]))
    if row["status"] != "ok":
        return Line((*name, f"{row['status']}: {row['reason']}", *[NOTHING] * (len(HEADINGS) - 3)), str(row["what"]))
    return Line(
        (
            *name,
            f"{100 * row['rate']:.2f} [{100 * row['lowest']:.2f}, {100 * row['highest']:.2f}]",
            difference(row) if row["what"] == "full" or not row["reason"] else str(row["reason"]),
            _p(row["p_holm"]),
            NOTHING if isnan(row["worse"]) else f"{100 * row['worse']:.0f} %",
            *(NOTHING if isnan(row[name]) else f"{100 * row[name]:.1f}" for name in ("nominal", "stored")),
            NOTHING if isnan(row["macs"]) else f"{row['macs'] / 1e6:,.0f}",
            NOTHING if isnan(row["steps"]) else f"{row['steps']:,.0f}",
        ),
        str(row["what"]),
    )


def difference(row: pd.Series) -> str:
    """Return the difference in points with its interval."""
    if isnan(row["difference"]):
        return NOTHING
    return interval(row["difference"], row["lo"], row["hi"])


def _p(value: float) -> str:
    return NOTHING if isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"

"""Report ``significance``: which entries of a budget two tests tell apart, and which are no worse than dense."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api import Report
from benchmark.errors import NothingToReportError
from benchmark.markdown import plain
from benchmark.registry import REGISTRY
from benchmark.store.comparing import SIGNIFICANT
from benchmark.store.files import write_atomically
from reports import _content as content
from reports._significance import MOST_CELLS, MOST_ENTRIES, Race, races

if TYPE_CHECKING:
    import pandas as pd

_METHODS = (
    "**p**: paired bootstrap over what is said above the tables (Bisani and Ney 2004; two levels where there are "
    "several seeds; a pair is compared over those that both have); it cannot fall below 1 / (resamples + 1). **Holm**: "
    "corrected for all pairs of the block and kept fraction; told apart where it lies below "
    f"{SIGNIFICANT:g}, which is what ranks count.",
    "**MAPSSWE**: NIST's matched-pairs sentence-segment word error test (Gillick and Cox 1989). Segments are bounded "
    "by two words in a row that both systems got right. Where both have several seeds, utterances still count once: "
    "segments are bounded by words that all these trainings got right, and their errors are means over the seeds, so "
    "that it speaks of these trainings and of no others. It is not corrected. Where the normaliser counts characters, "
    "they are its words.",
    "**Non-inferior**: the upper end of the 95 % interval of the difference to dense lies below the margin, a "
    "one-sided test at 2.5 %.",
)


@REGISTRY.register("report", "significance")
class Significance(Report):
    """`significance.md` and `.csv`: all pairs of a budget by paired bootstrap and MAPSSWE, and each against dense."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write both files.

        Raises:
            NothingToReportError: no two entries to compare, or too many cells to compare all.
            StoreError: transcripts that cannot be read, or no scores in the frame.
        """
        import pandas as pd

        if len(frame) > MOST_CELLS:
            raise NothingToReportError(
                f"significance: {len(frame):,} cells are more than are compared in pairs ({MOST_CELLS:,}); say which "
                "with --method, --model, --corpus, --language or --seeds"
            )
        found = list(races(frame))
        if not any(race.pairs for race in found):
            raise NothingToReportError("significance: no block has two finished entries to compare")
        rows = [pair for race in found for pair in (*race.pairs, *race.to_dense)]
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        margin = float(frame.attrs.get("margin", 0))
        return [
            write_atomically(out / "significance.md", "\n".join(markdown(found, margin))),
            write_atomically(out / "significance.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")),
        ]


def markdown(found: Sequence[Race], margin: float) -> Iterator[str]:
    """Yield the lines of ``significance.md``."""

    yield "# Significance"
    board = ""
    several = any(pair["seeds"] > 1 for race in found for pair in (*race.pairs, *race.to_dense))
    for race in found:
        if race.board != board:
            board = race.board
            yield from ("", f"## {plain(board)}", "", plain(race.drawn))
        kept = "" if race.keep is None else f", {content.percent(race.keep, 0).text} kept"
        yield from ("", f"### {race.block}{kept}", "")
        if race.left_out:
            yield from (f"{race.left_out} entries: more than {MOST_ENTRIES} are not compared in pairs.", "")
        if race.pairs:
            yield from (_table(race.pairs, several, corrected=True), "")
        if race.to_dense:
            against = _table(race.to_dense, several, corrected=False)
            yield from (f"Against dense, margin {100 * margin:g} points:", "", against)
    yield from ("", *(f"- {line}" for line in _METHODS), "")


def _table(rows: Sequence[dict[str, Any]], several: bool, *, corrected: bool) -> str:
    from reports.normalizers import table

    last = ["Holm", "told apart"] if corrected else ["non-inferior"]
    seeds = ["seeds"] if several else []
    texts = [["A", "B", *seeds, "A − B, points [95 %]", "p", *last[:-1], "MAPSSWE p", "segments", last[-1]]]
    for row in rows:
        ends = ", ".join(f"{100 * row[end]:+.2f}" for end in ("lo", "hi"))
        said = [_p(row["p_holm"])] if corrected else []
        shown = row["told_apart"] if corrected else row["non_inferior"]
        texts.append(
            [
                *(row["a"], row["b"], *([str(row["seeds"])] if several else ())),
                *(f"{100 * row['difference']:+.2f} [{ends}]".replace("-", "−"), _p(row["p"])),
                *(*said, _p(row["mapsswe_p"]), f"{row['mapsswe_segments']:,}", "yes" if shown else "no"),
            ]
        )
    return table(texts, words=2)


def _p(value: float) -> str:
    if content.absent(value):
        return content.NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"

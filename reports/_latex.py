"""The comparison as LaTeX tables (booktabs), to be read into a paper by ``\\input``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reports import _content as content
from reports._marks import BEST, DOMINATED, flags

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("rank", "method", "kept", "seeds", "±", "params stored", "size", "MACs encoder", "speed to dense")
_SIGNS = str.maketrans(
    {
        **{"−": "$-$", "×": "$\\times$", "Δ": "$\\Delta$", "–": "--", "±": "$\\pm$", "≤": "$\\le$"},
        **{sign: f"${sign}$" for sign in "<>|"},  # which are other signs in LaTeX's default encoding of fonts
    }
)
_LITERAL = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        **{"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"},
    }
)
_HEAD = "% needs \\usepackage{booktabs} and \\usepackage[table]{xcolor}; bold: best of its budget, grey: dominated"


def latex(boards: Sequence[content.Board]) -> Iterator[str]:
    """Yield the lines of ``leaderboard.tex``: one table a board and block."""
    yield _HEAD
    for board in boards:
        for section in board.sections:
            yield ""
            yield _table(board, section)
        yield from (f"% {' '.join(note.split())}" for note in board.notes)


def _table(board: content.Board, section: content.Section) -> str:
    import pandas as pd

    shown = [column for column in board.columns if column.name in _COLUMNS or "[95 %]" in column.name]
    texts = pd.DataFrame(list(_texts(section.rows, shown)), columns=[one.name for one in shown])
    marks = flags(section.block, section.rows, content.score_column(section.rows))
    looks = [_look(marks.get(str(entry), "")) for entry in section.rows["entry"]]
    styler = texts.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    styler = styler.apply(lambda column: [looks[at] for at in range(len(column))], axis=0)
    told = styler.to_latex(
        hrules=True,
        column_format="".join("l" if one.words else "r" for one in shown),
        caption=_plain(f"{board.title}. {section.title}."),
        position="ht",
    )
    return told.translate(_SIGNS).rstrip()


def _look(mark: str) -> str:
    """Return the commands of a row's cells, as pandas' Styler writes them."""
    if BEST in mark:
        return "textbf:--rwrap;"
    return "color:{gray};" if DOMINATED in mark else ""


def _texts(rows: pd.DataFrame, shown: Sequence[content.Column]) -> Iterator[list[str]]:
    """Yield the texts of each row, without the reason of a failure, for which no column of a paper has room."""
    for (_, row), cells in zip(rows.iterrows(), content.cells(rows, shown), strict=True):
        reason = None if row["status"] == "ok" else content.unfinished(row)
        yield [cell.text.partition(":")[0] if cell.text == reason else cell.text for cell in cells]


def _plain(text: str) -> str:
    """Return a text that LaTeX takes literally."""
    return text.translate(_LITERAL)

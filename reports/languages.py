"""Report ``languages``: the grid language x method, where runs hold more than one language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.api import Report
from benchmark.figures import INK
from benchmark.registry import REGISTRY
from benchmark.store.entries import entries
from benchmark.store.recipes import by_recipe, ranked_in
from benchmark.text.chosen import AUTO
from reports import _content as content
from reports._files import write_all

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console

_ROW = ["block", "keep", "label"]
MOST = 80
"""Rows of a grid that are drawn."""
_RANKED = "mean rank"
_OWN = (
    "Each language is scored by its own normaliser in its own unit, so a row may be read across only as far as the "
    "units agree, and no mean over languages is given."
)
_READING = (
    "Differences to dense are paired within a language.",
    f"**{_RANKED}**: of the ranks inside each language, block and kept fraction; only where every language has one.",
)


@dataclass(frozen=True)
class Grid:
    """One model and training recipe: rows are (block, kept, method), columns are languages; values are fractions."""

    title: str
    languages: list[str]
    errors: pd.DataFrame
    differences: pd.DataFrame
    texts: pd.DataFrame
    """What the table shows: error with its interval, FAILED, stopped, or a dash where the cell is not there."""
    ranks: pd.Series
    notes: list[str]


@REGISTRY.register("report", "languages")
class Languages(Report):
    """`languages.md`, `.csv`, `.png` and `.svg`: error rates by method and language; only with several languages."""

    def write(self, frame: pd.DataFrame, out: Path | str) -> list[Path]:
        """Write the grid's files; none where the frame holds one language."""
        found = grids(frame)
        if not found:
            return []
        return write_all(out, "languages", "\n".join(markdown(found)), csv(found), lambda: draw(found))

    def show(self, frame: pd.DataFrame, console: Console) -> None:
        """Print the grid in the terminal."""
        from rich.markup import escape
        from rich.table import Table

        for grid in grids(frame):
            headings, *rows = _table(grid)
            table = Table(title=escape(grid.title), title_justify="left", header_style="bold", box=None, pad_edge=False)
            for number, heading in enumerate(headings):
                table.add_column(escape(heading), justify="left" if number < 3 else "right", no_wrap=True)
            for row in rows:
                table.add_row(*(escape(text.partition(" [")[0]) for text in row))  # intervals are in the files
            console.print(table)
            for note in grid.notes:
                console.print(note.replace("**", ""), style="dim", highlight=False, markup=False)


def grids(frame: pd.DataFrame) -> list[Grid]:
    """Return one grid a model, decoding and recipe that was used in several languages."""
    if frame.empty or "rank" not in frame or frame["language"].nunique() < 2:
        return []
    frame = entries(content.with_all_columns(frame))
    several = len([recipe for recipe, _ in by_recipe(frame)]) > 1
    found = []
    for (model, revision, decoding), rows in _by_machine(frame):
        title = str(model) if frame["revision"].nunique() == 1 else f"{model} ({revision})"
        if frame["decoding"].nunique() > 1:
            title += f", decoding {decoding}"
        for recipe, ours in by_recipe(rows):
            ours = ranked_in(ours, recipe)
            ours = ours.assign(where=_places(ours), label=_labels(ours))
            ours.attrs = frame.attrs
            if ours["language"].nunique() > 1:
                steps = ours["steps"].dropna().max()
                trained = f", {content.count(steps).text} training steps ({recipe})" if several and recipe else ""
                found.append(_grid(title + trained, ours))
    return found


def _by_machine(frame: pd.DataFrame) -> Any:
    """Return the rows by model, revision and decoding; a failed cell, which says no decoding, joins its setting."""
    decoding = frame.groupby("setting")["decoding"].transform("first").fillna("")
    return frame.assign(decoding=decoding).groupby(["model", "revision", "decoding"], sort=False)


def _places(rows: pd.DataFrame) -> pd.Series:
    """Return what heads each row's column: the language and its metric, with the corpus where it has several."""
    named = rows["language"]
    for more in ("corpus", "corpus_version", "setting"):  # as much as it takes that a column is one setting
        several = rows.groupby(named)["setting"].transform("nunique") > 1
        named = named.where(~several, named + " " + rows[more].fillna("").astype(str))
    metric = rows.groupby("setting")["metric"].transform("first")  # a failed cell has none of its own
    return named + metric.astype(object).fillna("").astype(str).str.upper().radd(" ").str.rstrip()


def _labels(rows: pd.DataFrame) -> pd.Series:
    """Return the methods' labels, with the budget's tolerance where a method was held to several."""
    several = rows.groupby(["setting", "block", "keep", "label"], dropna=False)["entry"].transform("nunique") > 1
    return rows["label"].where(~several, rows["label"] + " ±" + rows["tolerance"].astype(str))


def _grid(model: str, rows: pd.DataFrame) -> Grid:
    split = content.column(content.first_split(rows))
    languages = sorted(set(rows["where"]))
    rows = rows.assign(keep=rows["keep"].fillna(1.0))
    order = rows.sort_values(["block", "keep", "label"], ascending=[True, False, True])
    index = order[_ROW].drop_duplicates()
    index = index.iloc[index["block"].map(_place).argsort(kind="stable")]

    def spread(values: pd.Series) -> pd.DataFrame:
        table = rows.assign(value=values).pivot_table("value", _ROW, "where", aggfunc="mean", observed=True)
        return table.reindex(index=list(index.itertuples(index=False, name=None)), columns=languages)

    ranks = spread(rows["rank"].astype("float64"))
    return Grid(
        title=f"{model}: error rate in % on {content.first_split(rows)}, by language",
        languages=languages,
        errors=spread(rows[f"{split}_error"].astype("float64")),
        differences=spread(rows[f"{split}_error_delta"].astype("float64")),
        texts=_texts(rows, split)
        .reindex(index=list(index.itertuples(index=False, name=None)), columns=languages)
        .fillna(content.NOTHING),
        ranks=ranks.mean(axis=1).where(ranks.notna().all(axis=1)),
        notes=[*([_OWN] if rows.attrs.get("normalizer") == AUTO else []), *_READING, *_made_with(rows)],
    )


def _place(block: str) -> int:
    known = list(content.BLOCKS)
    return known.index(block) if block in known else len(known)


def _texts(rows: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return each entry's text."""
    needed = ["status", *(f"{split}_error{part}" for part in ("", "_lo", "_hi"))]
    table = rows.groupby([*_ROW, "where"], observed=True)[needed].apply(lambda some: _text(some, f"{split}_error"))
    return table.unstack("where")


def _text(some: pd.DataFrame, name: str) -> str:
    row = some.iloc[0]  # labels tell entries apart
    said = {"failed": "FAILED", "pruned": "stopped", "missing": "gap"}
    return said.get(row["status"]) or content.interval(row, name).text


def _made_with(rows: pd.DataFrame) -> Iterator[str]:
    for language, some in rows.groupby("where"):
        made = some["signature"].dropna().unique()
        yield f"{language}: {' / '.join(map(str, made)) or 'no scores'}"


def _table(grid: Grid) -> Iterator[list[str]]:
    """Yield headings and rows of the grid."""
    yield ["block", "kept", "method", *grid.languages, _RANKED]
    for key, texts in grid.texts.iterrows():
        block, keep, label = _key(key)
        kept = content.NOTHING if block == "reference" else content.percent(keep, digits=0).text
        rank = grid.ranks[(block, keep, label)]
        yield [block, kept, label, *texts, content.number(rank).text]


def markdown(found: list[Grid]) -> Iterator[str]:
    """Yield the lines of ``languages.md``."""
    import pandas as pd

    for grid in found:
        headings, *rows = _table(grid)
        yield f"# {grid.title}\n"
        yield pd.DataFrame(rows, columns=headings).to_markdown(index=False, disable_numparse=True)
        yield ""
        yield from (f"- {note}" for note in grid.notes)
        yield ""


def csv(found: list[Grid]) -> str:
    """Return one line a (model, block, kept, method, language): error, difference to dense, as fractions."""
    import pandas as pd

    parts = []
    for grid in found:
        long = pd.DataFrame({"error": grid.errors.stack(), "difference": grid.differences.stack()})
        long.index.names = [*_ROW, "language"]
        parts.append(long.reset_index().assign(model=grid.title.partition(":")[0]))
    return pd.concat(parts).to_csv(index=False, lineterminator="\n")


def draw(found: list[Grid]) -> Figure:
    """Return the picture: a heat map a grid, darker is worse, every number written in."""
    import seaborn as sns
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = [_drawn(grid.errors) for grid in found]
    height = sum(1.6 + 0.3 * len(errors) for errors, _ in parts)
    figure = Figure(figsize=(3.2 + 0.85 * max(len(grid.languages) for grid in found), height), layout="constrained")
    FigureCanvasAgg(figure)  # seaborn measures every label, and without a canvas makes and keeps a picture for each
    panels = figure.subplots(
        len(found), squeeze=False, gridspec_kw={"height_ratios": [len(errors) for errors, _ in parts]}
    )
    for axes, grid, (errors, left_out) in zip(panels[:, 0], found, parts, strict=True):
        percent = 100 * errors
        names = [_row_name(*_key(key)) for key in percent.index]
        sns.heatmap(
            percent.set_axis(names), ax=axes, annot=percent.map(_short).to_numpy(), fmt="", cmap="Greys",
            vmin=0, vmax=100, linewidths=0.6, linecolor="white", annot_kws={"fontsize": 8},
            cbar_kws={"label": "error rate, %"},
        )  # fmt: skip
        for down, across in zip(*np.nonzero(percent.isna().to_numpy()), strict=True):
            said = grid.texts.loc[[percent.index[down]]].iloc[0, across]  # FAILED, stopped, gap, or a dash
            axes.text(across + 0.5, down + 0.5, str(said).lower(), ha="center", va="center", fontsize=7, style="italic")
        bar = axes.collections[0].colorbar
        assert bar is not None
        bar.ax.tick_params(labelsize=8)
        bar.ax.yaxis.label.set_size(8)
        edges = [n for n in range(1, len(names)) if percent.index[n][0] != percent.index[n - 1][0]]
        axes.hlines(edges, *axes.get_xlim(), colors=INK, linewidth=1.2)
        axes.set(xlabel="", ylabel="")
        axes.set_title(grid.title + left_out, loc="left", fontsize=9)
        axes.tick_params(labelsize=8, rotation=0)
    return figure


def _drawn(errors: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the rows that a picture has room for, and what is said of the others: the mildest budgets go first."""
    keeps = errors.index.get_level_values("keep")
    shown = np.ones(len(errors), bool)
    pruned = errors.index.get_level_values("block") != "reference"
    for keep in sorted(set(keeps[pruned]), reverse=True)[:-1]:
        if shown.sum() <= MOST:
            break
        shown &= ~(pruned & (keeps == keep))
    drawn = errors[shown].head(MOST)
    rest = len(errors) - len(drawn)
    return drawn, f"\n{rest} more rows, of milder budgets first, are not drawn: languages.md has all" if rest else ""


def _key(key: Any) -> tuple[str, float, str]:
    """Return a row's key as what it is; pandas calls it a Hashable."""
    block, keep, label = key
    return str(block), float(keep), str(label)


def _row_name(block: str, keep: float, label: str) -> str:
    return label if block == "reference" else f"{label}, {100 * keep:.0f} % ({block})"


def _short(value: float) -> str:
    return content.NOTHING if content.absent(value) else f"{value:.1f}"

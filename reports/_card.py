"""The text of a leaderboard's card. Whatever comes from a record is escaped where it is put in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from benchmark.markdown import code, flat, plain, table
from benchmark.registry import REGISTRY
from benchmark.reproduce import Recipe
from benchmark.store.records import MODEL, folder_of
from benchmark.store.scoring import column
from reports import _content as content
from reports._card_made import limits, made, not_here, synthetic

if TYPE_CHECKING:
    import pandas as pd

_TASK = "automatic-speech-recognition"
_TERMS = ("**Rank**", "**Kept**", "**Nominal**", "**Stored**", "**Realised**", "**Intervals**", "**RTFx**")

_BEST = (
    "**Best**: of the entries of rank 1 the one with the lowest error. **Of rank 1**: how many of the ranked entries "
    "of that block and kept fraction no other one is better than. **Cell**: that of its first seed."
)


def card(frame: pd.DataFrame, recipes: Sequence[Recipe]) -> str:
    """Return the card: front matter by huggingface_hub's ``DatasetCardData``, then Markdown.

    Raises:
        StoreError: nothing to report, no scores in the frame, or a record that cannot be read.
    """
    from huggingface_hub import DatasetCardData

    boards = sorted(content.boards(frame), key=lambda board: board.title)
    languages = sorted({flat(name) for name in frame["language"].dropna()})
    tags = ["leaderboard", "prunebench", "whisper", "pruning", *(["synthetic"] if synthetic(frame) else [])]
    data = DatasetCardData(
        language=languages or None, task_categories=[_TASK], pretty_name=flat(title(frame)), tags=tags
    )  # no licence: a record has none, and whoever publishes it chooses
    best = [pick for board in boards for pick in picks(board.rows)]
    parts = [
        f"# {plain(title(frame))}",
        *_opening(frame),
        *(part for board in boards for part in _board(board)),
        "## How to read it",
        "\n".join(f"- {line}" for line in (_BEST, *content.DEFINITIONS) if line.startswith((_BEST, *_TERMS))),
        *_data(frame),
        *not_here(frame),
        *made(frame),
        *_again(recipes, frame),
        *_models(best, recipes),
        "## Limits",
        "\n".join(f"- {line}" for line in limits(frame)),
    ]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def title(frame: pd.DataFrame) -> str:
    """Return what the leaderboard is called."""
    models, corpora = (sorted(set(frame[name].dropna())) for name in ("model", "corpus"))
    where = ", ".join(corpora) if len(corpora) < 3 else f"{len(corpora)} corpora"
    return f"Compression of {', '.join(models)} on {where}"


def _opening(frame: pd.DataFrame) -> Iterator[str]:
    done = frame[frame["status"] == "ok"]
    yield (
        f"{done['label'].nunique()} methods and variants, references among them, compared by prunebench with the same "
        "data, the same number of training steps and the same decoding: "
        f"{done['entry'].nunique()} entries (a method at a budget), {len(done)} tested models. "
        "Below is the best of each budget; all are in `leaderboard.md` and `leaderboard.csv`."
    )
    for name in sorted(set(frame["model"].dropna())):
        if name in REGISTRY.names("model"):
            said = REGISTRY.lookup("model", name).card().split("\n\n")[0]
            yield f"{code(name)}: {plain(said.replace('`', ''))}"


# --- the best of each budget --------------------------------------------------------------------------------------


def picks(rows: pd.DataFrame) -> list[pd.Series]:
    """Return the entry with the lowest error among those of rank 1, at each kept fraction of each block, large first.

    What has no budget has no ranks; of it, dense is picked, and stands first.
    """
    score = content.score_column(rows)
    done = rows[rows["status"].eq("ok") & rows[score].notna()]
    dense = done[done["method"].eq("dense") & done["keep"].isna()].head(1)
    blocks = list(dict.fromkeys(rows["block"]))
    order = done[done["rank"].eq(1)].sort_values(["keep", score, "label"], ascending=[False, True, True])
    first = order.drop_duplicates(["block", "keep"])
    ours = [row for block in blocks for _, row in first[first["block"] == block].iterrows()]
    return [*(row for _, row in dense.iterrows()), *ours]


def _board(board: content.Board) -> Iterator[str]:
    rows = board.rows
    score, metric = content.score_column(rows), board.metric.upper()
    yield f"## {plain(board.title)}"
    headings = ["block", "kept", "best", f"{metric} {content.first_split(rows)} % [95 %]", "Δ to dense [95 %]"]
    judged = "non_inferior" in rows
    within = f"shown within {100 * rows.attrs.get('margin', 0):g} pt of dense"
    headings += [*([within] * judged), "of rank 1", "params nominal", "params stored", "size", "speed to dense", "cell"]
    shown = []
    for row in picks(rows):
        race = rows[rows["block"].eq(row["block"]) & rows["keep"].eq(row["keep"]) & rows["rank"].notna()]
        shared = content.NOTHING if race.empty else f"{race['rank'].eq(1).sum()} of {len(race)}"
        shown.append(
            [
                *(plain(row["block"]), content.percent(row["keep"], digits=0).text, code(row["label"])),
                *(content.interval(row, score).text, content.interval(row, f"{score}_delta", sign="+").text),
                *([_judged(row)] * judged),
                *(shared, content.si(row["params_nominal"]).text, content.si(row["params_stored"]).text),
                *(content.si(row["bytes"], unit="B").text, content.times(row["speedup"]).text, code(row["cell"])),
            ]
        )
    none = "No entry of this board has a result and a rank."
    yield table(headings, shown, words=(0, 2, 10 + judged)) if shown else none
    yield "\n".join(f"- {line}" for line in _under(board, rows))


def _judged(row: pd.Series) -> str:
    """Return whether an entry was shown to be no worse than dense by more than the margin."""
    judged = row.get("non_inferior")
    return content.NOTHING if content.absent(judged) else "yes" if judged else "no"


def _under(board: content.Board, rows: pd.DataFrame) -> Iterator[str]:
    """Yield what has to be known of a board's numbers."""
    signed = sorted(rows["signature"].dropna().unique())
    yield f"Signature: {', '.join(map(code, signed)) or 'no scores'}."
    drawn = [
        f"{plain(value)} ({plain(split)})"
        for split in rows.attrs.get("splits", ())
        for value in drawn_from(rows, split)
    ]
    if drawn:
        yield f"Intervals draw again from {', '.join(drawn)}."
    seeds = sorted({str(seed) for listed in rows["seed_list"].dropna() for seed in str(listed).split(",") if seed})
    yield f"Seeds: {plain(', '.join(sorted(seeds, key=_by_number)) or 'none finished')}."
    known = {(row["block"], row["keep"]) for row in picks(rows)}
    for block, keep in rows.loc[rows["keep"].notna(), ["block", "keep"]].drop_duplicates().itertuples(index=False):
        if (block, keep) not in known:
            yield f"{plain(block)} block, {100 * keep:.0f} % kept: no entry has a result and a rank."


def _by_number(seed: str) -> tuple[int, str]:
    return (int(seed), "") if seed.isdecimal() else (0, seed)


def drawn_from(rows: pd.DataFrame, split: str) -> list[str]:
    """Return what was resampled for the intervals on a split, e.g. ``8 speakers``."""
    told = f"{column(split)}_resampled"
    if told in rows:
        return sorted({str(value) for value in rows[told].dropna()})
    return sorted(f"{value} utterances" for value in rows[f"{column(split)}_utterances"].dropna().unique())


# --- data, and what to do with it ---------------------------------------------------------------------------------


def _data(frame: pd.DataFrame) -> Iterator[str]:
    yield "## Data"
    rows = []
    for (corpus, version, language), some in frame.fillna({"corpus_version": ""}).groupby(
        ["corpus", "corpus_version", "language"]
    ):
        for split in frame.attrs.get("splits", ()):
            name = column(split)
            used = some[[f"{name}_hash", f"{name}_utterances"]].dropna().drop_duplicates()
            for found, count in used.itertuples(index=False, name=None):
                rows.append([*map(plain, (corpus, version, language, split)), f"{count:,}", code(found)])
    headings = ["corpus", "version", "language", "split", "utterances", "hash of texts and audio"]
    yield table(headings, rows, words=(0, 1, 2, 3, 5)) if rows else "No entry has been tested."
    yield "Only results on data of one hash are compared."


def _again(recipes: Sequence[Recipe], frame: pd.DataFrame) -> Iterator[str]:
    yield "## How to make it again"
    there = set(frame["cell"])
    if recipes:
        several = len(recipes) > 1
        made = (f"{one.command}{f'  # {len(one.cells & there)} of {len(there)} cells' * several}" for one in recipes)
        yield "\n".join(["```sh", *made, "```"])
        places = [(place, one.file) for one in recipes for place in one.fill_in]
        if places:
            named = ", ".join(f"{code(place)} in {code(file)}" for place, file in places)
            yield f"First fill in {named}: where data lie is of one machine, and in no record."
        yield (
            "Cells that are finished are not trained again, so a run that was cut off goes on with the same command. "
            "Equal numbers are promised at equal versions, threads and kind of device."
        )
    lost = len(there - set().union(*(one.cells for one in recipes)))
    if lost:
        yield f"Of {lost} of {len(there)} cells no spec was kept beside the records, so no command is given for them."


def _models(best: Sequence[pd.Series], recipes: Sequence[Recipe]) -> Iterator[str]:
    yield "## How to get a model"
    kept = [row for row in best if (folder_of(row) / MODEL).is_file()]
    if not kept:
        yield (
            "The models of the table were not kept (`keep_artefacts` of the spec). Make them again with "
            "`keep_artefacts: all`; then `prunebench export CELL --runs RUNS --to DIR` writes one out."
        )
        return
    chosen = kept[-1]
    runs = next((one.run for one in recipes if chosen["cell"] in one.cells), "RUNS")
    yield (
        "`prunebench export CELL --runs RUNS --to DIR` writes a Hugging Face folder with a card of its own, e.g. "
        f"{code(chosen['label'])}:"
    )
    yield f"```sh\nprunebench export {flat(chosen['cell'])} --runs {flat(runs)} --to model\n```"
    yield '`benchmark.load("model")` opens it in Python; `--format onnx` or `openvino` is for other runtimes.'

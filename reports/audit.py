"""``prunebench audit``: what a normaliser merges, splits and deletes, and what that does to error rates and ranks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.api import Judged, Normalizer
from benchmark.errors import SpecError, StoreError
from benchmark.registry import REGISTRY
from benchmark.text.audit import Audit, BrokenError, sample
from benchmark.text.audit import audit as measured
from benchmark.text.chosen import chosen, several
from benchmark.text.rules import RuleBased
from reports import _audit as shown
from reports import _transcripts as transcripts
from reports._audit_input import read_pairs, read_texts

_REFERENCES = ("identity", "whisper_basic", "whisper_basic_marks")
_COLUMNS = ("rule", "left", "right", "verdict")


def audit(
    normalizer: Annotated[
        str, typer.Option("--normalizer", help="The normaliser to audit: hindi, hindi\\[nasal=off].")
    ],
    text: Annotated[
        str,
        typer.Option(
            "--text", help="UTF-8 file with an utterance or a word a line, a corpus (synthetic-hi), or wordfreq:hi."
        ),
    ],
    beside: Annotated[
        str | None,
        typer.Option("--normalizers", help="Those to compare with: a,b.  [default: six, the audited one last but one]"),
    ] = None,
    runs: Annotated[
        list[Path] | None, typer.Option("--runs", help="Run folder whose transcripts are scored by each; repeatable.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option("--pairs", help="TSV of further pairs: left, right, equal or distinct, rule.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--sample", min=1, help="Write so many unjudged merges a judgement rule, to be judged."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder for audit.md, audit.csv, the picture, the sample.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Measure both sins of a normaliser on real text: different words made equal, spellings of one word kept apart.

    Exit code 1 where a pair judged distinct became equal, or a known variant stays apart.
    """
    main = chosen(normalizer)
    if size is not None and to is None:
        raise SpecError("--sample: say with --to which folder takes the file")
    variants, judged = [*main.variant_pairs()], [*main.judged_pairs()]
    for left, right, relation, rule in read_pairs(pairs):
        if relation == "equal":
            variants.append((left, right, rule))
        else:
            judged.append(Judged(rule, left, right, "distinct"))
    variants, judged = list(dict.fromkeys(variants)), list(dict.fromkeys(judged))
    texts = read_texts(text)
    choices = several(beside) if beside is not None else _usual(main, normalizer)
    choices += [normalizer] if normalizer not in choices else []
    faults: list[str] = []
    results = list(_audited(choices, normalizer, texts, variants, judged, faults))
    found = next(one.found for one in results if one.choice == normalizer)
    order = [one.choice for one in results]
    told = _Told(text, shown.summary(results), found, _same(runs, main, normalizer, order, faults) if runs else [])
    if as_json:
        print(json.dumps(_plain(told), ensure_ascii=False, indent=1))
    else:
        _print(told)
    if to is not None:
        written = _write(to, told)
        written += _write_sample(to, sample(found, size), normalizer) if size is not None else []
        if not as_json:
            print("written:", *(f"  {path}" for path in written), sep="\n")
    for fault in dict.fromkeys(faults):
        print(f"prunebench: error: {fault}; left out", file=sys.stderr)
    if found.failed or faults:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Told:
    """What is shown: the text's name, a row a normaliser, the audited one's findings, its boards of transcripts."""

    text: str
    rows: list[dict[str, Any]]
    found: Audit
    boards: list[transcripts.Same]

    @property
    def remarks(self) -> list[str]:
        """What has to be said of the names in the tables."""
        return transcripts.told([row["normalizer"] for row in self.rows])


def _audited(
    choices: Sequence[str],
    main: str,
    texts: Sequence[str],
    variants: Sequence[tuple[str, str, str]],
    judged: Sequence[Judged],
    faults: list[str],
) -> Iterator[shown.Audited]:
    """Yield each normaliser's findings; one that breaks beside the audited one is named and left out."""
    distinct = sum(one.verdict == "distinct" for one in judged)
    for choice in choices:
        try:
            yield shown.Audited(choice, measured(chosen(choice), texts, variants, judged), distinct)
        except BrokenError as error:
            if choice == main:
                raise
            faults.append(str(error))


def _usual(main: Normalizer, name: str) -> list[str]:
    """Return the six of the audit: references, a general one, the audited one, and that without its judgements."""
    general = "indic" if {"hi", *REGISTRY.lookup("normalizer", "indic").languages} & {*main.languages} else "default"
    found = [one for one in (*_REFERENCES, general) if one != name] + [name]
    off = [r.name for r in main.active if r.judged] if isinstance(main, RuleBased) else []
    if off:
        changed = main.config.model_dump(exclude_defaults=True) | dict.fromkeys(off, False)
        found.append(type(main)(**changed).signature().replace(f":{main.version}", "", 1))
    return found


def _same(
    runs: Sequence[Path], main: Normalizer, first: str, order: Sequence[str], faults: list[str]
) -> list[transcripts.Same]:
    """Return the comparison of stored transcripts in the languages of the audited normaliser.

    Raises:
        StoreError: not a run folder, or no finished cell of these languages.
    """
    from benchmark.store.frame import frame

    names = [first, *(choice for choice in order if choice != first)]
    table = frame(list(runs), normalizer=names, timings=False, faults=faults)
    if main.languages:
        table = table[table["language"].isin(main.languages)]
    found = transcripts.same(table, order) if len(table) else []
    if not found and len(names) > 1 and not faults:
        spoken = f" in {', '.join(main.languages)}" if main.languages else ""
        raise StoreError(f"{', '.join(map(str, runs))}: there is no finished cell{spoken} to score")
    return found


# --- what is shown ------------------------------------------------------------------------------------------------


def _plain(told: _Told) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "text": told.text,
        "normalizers": told.rows,
        "rules": [
            {
                "rule": rule.name,
                "judged": rule.judged,
                "merges": [[one.left, one.right, one.verdict] for one in rule.merges],
                "equal": rule.count("equal"),
                "distinct": rule.count("distinct"),
                "unjudged": rule.count("") if rule.judged else 0,
            }
            for rule in told.found.rules
        ],
        "variants_apart": [list(one) for one in told.found.apart],
        "wrongly_equal": [list(one) for one in told.found.wrong],
        "transcripts": [
            {
                "board": one.title,
                "split": one.split,
                "errors": one.rates.reset_index().to_dict(orient="records"),
                "ranks": [asdict(moved) for moved in one.moved],
            }
            for one in told.boards
        ],
    }


def _print(told: _Told) -> None:
    from benchmark.cli._tables import print_table

    def tell(lines: Iterator[list[str]], words: int = 1) -> None:
        headings, *rest = lines
        print_table(headings, rest, right=headings[words:], whole=(headings[0], *headings[words:]))
        print()

    print(f"text: {told.text}\n")
    tell(shown.summary_texts(told.rows))
    print(*(f"{line}\n" for line in told.remarks), sep="", end="")
    print(f"merges by rule of {told.found.signature}")
    tell(shown.rules_texts(told.found), words=3)
    for board in told.boards:
        print(_heading(board))
        tell(transcripts.texts(board, board.shown))
        print(*board.moved, "", sep="\n")
    for left, right, rule in told.found.apart:
        print(f"variants apart ({rule}): {left} | {right}")
    for left, right, rule in told.found.wrong:
        print(f"judged distinct, and equal ({rule}): {left} | {right}")


def _heading(board: transcripts.Same) -> str:
    some, every = len(board.shown), len(board.rates)
    return f"{board.title}: error rate in % on {board.split}, {some} of {every} cells"


def _markdown(told: _Told) -> Iterator[str]:
    from reports.normalizers import table
    from reports.table import escape

    yield from (f"# Audit of {escape(told.found.signature)} on {escape(told.text)}", "")
    yield from (
        table(list(shown.summary_texts(told.rows))),
        "",
        *(f"- {line}" for line in [*map(escape, told.remarks), *shown.READING]),
    )
    yield from ("", "## Merges by rule", "", table(list(shown.rules_texts(told.found)), words=3), "")
    for left, right, rule in told.found.apart:
        yield f"- Variants apart ({escape(rule)}): {escape(left)} / {escape(right)}"
    for left, right, rule in told.found.wrong:
        yield f"- Judged distinct, and equal ({escape(rule)}): {escape(left)} / {escape(right)}"
    for board in told.boards:
        yield from ("", f"## {escape(_heading(board))}", "")
        yield from (table(list(transcripts.texts(board, board.shown))), "")
        yield from (f"- {escape(str(moved))}" for moved in board.moved)
    yield ""


def _write(to: Path, told: _Told) -> list[Path]:
    import pandas as pd

    from benchmark.store.files import write_atomically
    from reports import normalizers
    from reports.pareto import render

    title = f"{len(told.rows)} normalisers on {told.text}"
    # drawn anew for each file: the layout depends on what a figure was rendered as before
    files: dict[str, str | bytes] = {
        "audit.md": "\n".join(_markdown(told)),
        "audit.csv": pd.DataFrame(told.rows).to_csv(index=False, lineterminator="\n"),
        **({"audit_transcripts.csv": normalizers.csv(told.boards)} if told.boards else {}),
        **{
            f"audit.{kind}": render(shown.draw(told.rows, told.boards[0] if told.boards else None, title), kind)
            for kind in ("png", "svg")
        },
    }
    try:
        to.mkdir(parents=True, exist_ok=True)
        return [write_atomically(to / name, content) for name, content in files.items()]
    except OSError as error:
        raise StoreError(f"{to}: cannot be written ({error.strerror}); give a folder you may write to") from error


def _write_sample(to: Path, drawn: Sequence[Judged], name: str) -> list[Path]:
    from benchmark.store.files import write_atomically

    lines = ["\t".join(_COLUMNS), *("\t".join(one) for one in drawn)]  # no word holds a tab
    return [write_atomically(to / f"{name.partition('[')[0]}_unjudged.tsv", "\n".join(lines) + "\n")]


@REGISTRY.register("verb", "audit")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("audit")(audit)

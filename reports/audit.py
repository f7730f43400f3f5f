"""``prunebench audit``: what a normaliser merges, splits and deletes, and what that does to error rates and ranks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.api import Judged
from benchmark.errors import SpecError, StoreError
from benchmark.registry import REGISTRY
from benchmark.text.audit import sample
from reports import _audit as shown
from reports import _transcripts as transcripts

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
        typer.Option(
            "--normalizers", help="Those to compare with: a,b.  \\[default: six, the audited one last but one]"
        ),
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
    if size is not None and to is None:
        raise SpecError("--sample: say with --to which folder takes the file")
    faults: list[str] = []
    told = shown.collect(normalizer, text, beside, runs or (), pairs, faults)
    if as_json:
        print(json.dumps(_plain(told), ensure_ascii=False, indent=1))
    else:
        _print(told)
    if to is not None:
        written = _write(to, told)
        written += _write_sample(to, sample(told.found, size), normalizer) if size is not None else []
        if not as_json:
            print("written:", *(f"  {path}" for path in written), sep="\n")
    for fault in dict.fromkeys(faults):
        print(f"prunebench: error: {fault}; left out", file=sys.stderr)
    if told.found.failed or faults:
        raise typer.Exit(1)


# --- what is shown ------------------------------------------------------------------------------------------------


def _plain(told: shown.Told) -> dict[str, Any]:
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


def _print(told: shown.Told) -> None:
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
        print(shown.heading(board))
        tell(transcripts.texts(board, board.shown))
        print(*board.moved, "", sep="\n")
    for left, right, rule in told.found.apart:
        print(f"variants apart ({rule}): {left} | {right}")
    for left, right, rule in told.found.wrong:
        print(f"judged distinct, and equal ({rule}): {left} | {right}")


def _write(to: Path, told: shown.Told) -> list[Path]:
    import pandas as pd

    from benchmark.figures import render
    from benchmark.store.files import write_atomically
    from reports import normalizers
    from reports._audit_picture import draw

    # drawn anew for each file: the layout depends on what a figure was rendered as before
    files: dict[str, str | bytes] = {
        "audit.md": "\n".join(shown.markdown(told)),
        "audit.csv": pd.DataFrame(told.rows).to_csv(index=False, lineterminator="\n"),
        **({"audit_transcripts.csv": normalizers.csv(told.boards)} if told.boards else {}),
        **{f"audit.{kind}": render(draw(told), kind) for kind in ("png", "svg")},
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

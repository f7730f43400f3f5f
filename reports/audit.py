"""``prunebench audit``: what a normaliser merges, splits and deletes, and what that does to error rates and ranks."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.api import Judged, Normalizer
from benchmark.errors import DataError, SpecError, StoreError
from benchmark.registry import REGISTRY
from benchmark.text.audit import audit as audited
from benchmark.text.audit import sample
from benchmark.text.chosen import chosen, several
from benchmark.text.rules import RuleBased
from reports import _audit as shown

if TYPE_CHECKING:
    import pandas as pd

_BESIDE = ("identity", "whisper_basic", "whisper_basic_marks", "indic")
_WORDFREQ = "wordfreq:"
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
    for left, right, relation, rule in _pairs(pairs):
        if relation == "equal":
            variants.append((left, right, rule))
        else:
            judged.append(Judged(rule, left, right, "distinct"))
    texts = _texts(text)
    choices = several(beside) if beside is not None else _usual(main, normalizer)
    choices += [normalizer] if normalizer not in choices else []
    distinct = sum(one.verdict == "distinct" for one in judged)
    results = [shown.Audited(one, audited(chosen(one), texts, variants, judged), distinct) for one in choices]
    table = _scored(runs, choices, normalizer) if runs else None
    found = next(one.found for one in results if one.choice == normalizer)
    rows = shown.summary(results)
    if as_json:
        print(json.dumps(_plain(text, rows, found, table, choices), ensure_ascii=False, indent=1))
    else:
        _print(text, rows, found, table, choices)
    if to is not None:
        written = _write(to, text, rows, found, table, choices)
        written += _write_sample(to, sample(found, judged, size), normalizer) if size is not None else []
        if not as_json:
            print("written:", *(f"  {path}" for path in written), sep="\n")
    if found.failed:
        raise typer.Exit(1)


def _usual(main: Normalizer, name: str) -> list[str]:
    """Return the six of the audit: references, the general one, the audited one, and that without its judgements."""
    found = [one for one in _BESIDE if one != name] + [name]
    off = [r.name for r in main.active if r.judged] if isinstance(main, RuleBased) else []
    if off:
        changed = main.config.model_dump(exclude_defaults=True) | dict.fromkeys(off, False)
        found.append(type(main)(**changed).signature().replace(f":{main.version}", "", 1))
    return found


# --- what is read -------------------------------------------------------------------------------------------------


def _texts(source: str) -> list[str]:
    """Return the utterances or words of a file, a corpus or wordfreq's list of a language.

    Raises:
        DataError: there is no such file or corpus, it is not UTF-8, or holds nothing.
    """
    if source.startswith(_WORDFREQ):
        return _wordfreq(source.removeprefix(_WORDFREQ))
    path = Path(source)
    if not path.exists() and source in REGISTRY.names("corpus"):
        corpus = REGISTRY.get("corpus", source)
        return [text for split in corpus.splits for text in corpus.texts(split)]
    return _lines(path)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); convert it: iconv -t UTF-8 {path}") from None
    except OSError as error:
        known = ", ".join(REGISTRY.names("corpus"))
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a text file, or a corpus: {known}") from None
    if not any(line.strip() for line in lines):
        raise DataError(f"{path}: holds no text")
    return lines


def _wordfreq(language: str) -> list[str]:
    try:
        import wordfreq
    except ImportError:
        raise DataError(f"{_WORDFREQ}{language}: needs the package wordfreq: pip install wordfreq") from None
    try:
        return list(wordfreq.get_frequency_dict(language, wordlist="best"))
    except LookupError:
        known = ", ".join(sorted(wordfreq.available_languages()))
        raise DataError(f"{_WORDFREQ}{language}: wordfreq has no such list; it has {known}") from None


def _pairs(path: Path | None) -> list[tuple[str, str, str, str]]:
    """Return (left, right, relation, rule) of a TSV; lines beginning with # are remarks.

    Raises:
        DataError: the file cannot be used.
    """
    if path is None:
        return []
    found = []
    for number, line in enumerate(_lines(path), 1):
        if line.strip() and not line.startswith("#"):
            left, right, relation, rule, *_ = [*line.split("\t"), "", "", "", ""]
            if relation not in ("equal", "distinct"):
                raise DataError(f"{path}:{number}: the third column is equal or distinct, not {relation!r}")
            found.append((left, right, relation, rule or "-"))
    return found


def _scored(runs: Sequence[Path], choices: Sequence[str], first: str) -> pd.DataFrame:
    from benchmark.store.frame import frame

    order = [first, *(choice for choice in choices if choice != first)]
    return frame(list(runs), normalizer=",".join(order), timings=False)


# --- what is shown ------------------------------------------------------------------------------------------------


def _plain(
    text: str, rows: list[dict[str, Any]], found: Any, table: pd.DataFrame | None, choices: list[str]
) -> dict[str, Any]:
    """Return everything as plain data."""
    said: dict[str, Any] = {
        "text": text,
        "normalizers": rows,
        "rules": [
            {
                "rule": rule.name,
                "judged": rule.judged,
                "merges": [list(pair) for pair in rule.pairs],
                **rule.verdicts,
                "unjudged": rule.unjudged,
            }
            for rule in found.rules
        ],
        "variants_apart": [list(one) for one in found.apart],
        "wrongly_equal": [list(one) for one in found.wrong],
    }
    if table is not None:
        rates = shown.errors(table, choices)
        said["ranks"] = shown.ranks(table, choices)
        said["errors"] = rates.reset_index().to_dict(orient="records")
    return said


def _print(text: str, rows: list[dict[str, Any]], found: Any, table: pd.DataFrame | None, choices: list[str]) -> None:
    from benchmark.cli._tables import print_table

    def tell(lines: Any, right: int = 1) -> None:
        headings, *rest = lines
        print_table(tuple(headings), rest, right=tuple(headings[right:]), whole=(headings[0],))
        print()

    print(f"text: {text}\n")
    tell(shown.summary_texts(rows))
    print(f"merges by rule of {found.signature}")
    tell(shown.rules_texts(found))
    if table is not None:
        rates = shown.errors(table, choices)
        print(f"the same transcripts: error rate in % on {table.attrs['splits'][0]}, {len(rates)} cells")
        tell(shown.errors_texts(shown.spaced(rates, choices[0]), choices))
        for row in shown.ranks(table, choices):
            print(_ranks_text(row))
    for left, right, rule in found.apart:
        print(f"variants apart ({rule}): {left} | {right}")
    for left, right, rule in found.wrong:
        print(f"judged distinct, and equal ({rule}): {left} | {right}")


def _ranks_text(row: dict[str, Any]) -> str:
    moved = "; ".join(
        f"{c['method']} {100 * c['keep']:.0f} % {c['block']}: {c['from']} to {c['to']}" for c in row["changed"]
    )
    tau = "–" if row["tau"] is None else f"{row['tau']:.3f}"
    many = f"{len(row['changed'])} of {row['ranked']} ranks change"
    return f"{row['normalizer']}: Kendall's tau {tau}, {many}" + (f" ({moved})" if moved else "")


def _write(
    to: Path, text: str, rows: list[dict[str, Any]], found: Any, table: pd.DataFrame | None, choices: list[str]
) -> list[Path]:
    import pandas as pd

    from benchmark.store.files import write_atomically
    from reports.pareto import render

    lines = [f"# Audit of {found.signature} on {text}\n", shown.markdown(shown.summary_texts(rows)), ""]
    lines += [*(f"- {line}" for line in shown.READING), "", "## Merges by rule\n"]
    lines += [shown.markdown(shown.rules_texts(found)), ""]
    rates = None if table is None else shown.errors(table, choices)
    if table is not None and rates is not None:
        lines += [f"## The same transcripts: error rate in % on {table.attrs['splits'][0]}\n"]
        lines += [shown.markdown(shown.errors_texts(shown.spaced(rates, choices[0]), choices)), ""]
        lines += [f"- {_ranks_text(row)}" for row in shown.ranks(table, choices)] + [""]
    title = f"{len(rows)} normalisers on {text}" if rates is None else f"The same transcripts, {len(rows)} normalisers"
    try:
        to.mkdir(parents=True, exist_ok=True)
        return [
            write_atomically(to / "audit.md", "\n".join(lines)),
            write_atomically(to / "audit.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")),
            *(
                write_atomically(to / f"audit.{kind}", render(shown.draw(rows, rates, title), kind))
                for kind in ("png", "svg")
            ),
        ]
    except OSError as error:
        raise StoreError(f"{to}: cannot be written ({error.strerror}); give a folder you may write to") from error


def _write_sample(to: Path, drawn: Sequence[Judged], name: str) -> list[Path]:
    import io

    from benchmark.store.files import write_atomically

    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, escapechar="\\")
    writer.writerow(_COLUMNS)
    writer.writerows(drawn)
    return [write_atomically(to / f"{name.partition('[')[0]}_unjudged.tsv", out.getvalue())]


@REGISTRY.register("verb", "audit")
def add(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("audit")(audit)

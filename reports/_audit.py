"""What ``prunebench audit`` finds, and its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.api import Judged, Normalizer
from benchmark.errors import StoreError
from benchmark.markdown import plain
from benchmark.registry import REGISTRY
from benchmark.text.audit import Audit, BrokenError
from benchmark.text.audit import audit as measured
from benchmark.text.chosen import chosen, several
from benchmark.text.rules import RuleBased
from reports import _transcripts as transcripts
from reports._audit_input import read_pairs, read_texts

_REFERENCES = ("identity", "whisper_basic", "whisper_basic_marks")

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


@dataclass(frozen=True)
class Told:
    """What is shown: the text's name, a row a normaliser, the audited one's findings, its boards of transcripts."""

    text: str
    rows: list[dict[str, Any]]
    found: Audit
    boards: list[transcripts.Same]

    @property
    def remarks(self) -> list[str]:
        """What has to be said of the names in the tables."""
        return transcripts.told([row["normalizer"] for row in self.rows])


def collect(
    normalizer: str, text: str, beside: str | None, runs: Sequence[Path], pairs: Path | None, faults: list[str]
) -> Told:
    """Audit a normaliser beside others on one text, and on the transcripts of some runs.

    Args:
        normalizer: the one that is audited.
        text: a file, a corpus, or ``wordfreq:hi``.
        beside: the others, separated by commas; by default the usual ones.
        runs: run folders, maybe none.
        pairs: file of further pairs.
        faults: where normalisers that break beside the audited one are named.

    Raises:
        SpecError: no such normaliser, or the audited one breaks.
        DataError: the text or the pairs cannot be used.
        StoreError: the runs cannot be used.
    """
    main = chosen(normalizer)
    variants, judged = [*main.variant_pairs()], [*main.judged_pairs()]
    for left, right, relation, rule in read_pairs(pairs):
        if relation == "equal":
            variants.append((left, right, rule))
        else:
            judged.append(Judged(rule, left, right, "distinct"))
    variants, judged = list(dict.fromkeys(variants)), list(dict.fromkeys(judged))
    choices = several(beside) if beside is not None else _usual(main, normalizer)
    choices += [normalizer] if normalizer not in choices else []
    results = list(_each(choices, normalizer, read_texts(text), variants, judged, faults))
    found = next(one.found for one in results if one.choice == normalizer)
    boards = _same(runs, main, normalizer, [one.choice for one in results], faults) if runs else []
    return Told(text, summary(results), found, boards)


def _each(
    choices: Sequence[str],
    main: str,
    texts: Sequence[str],
    variants: Sequence[tuple[str, str, str]],
    judged: Sequence[Judged],
    faults: list[str],
) -> Iterator[Audited]:
    """Yield each normaliser's findings; one that breaks beside the audited one is named and left out."""
    distinct = sum(one.verdict == "distinct" for one in judged)
    for choice in choices:
        try:
            yield Audited(choice, measured(chosen(choice), texts, variants, judged), distinct)
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
    found = transcripts.same(table, order, fewest=1) if len(table) else []
    if not found and not faults:
        spoken = f" in {', '.join(main.languages)}" if main.languages else ""
        raise StoreError(f"{', '.join(map(str, runs))}: there is no finished cell{spoken} to score")
    return found


# --- tables -------------------------------------------------------------------------------------------------------


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


def heading(board: transcripts.Same) -> str:
    """Return what stands above a table of transcripts."""
    some, every = len(board.shown), len(board.rates)
    return f"{board.title}: error rate in % on {board.split}, {some} of {every} cells"


def markdown(told: Told) -> Iterator[str]:
    """Yield the lines of ``audit.md``."""
    from reports.normalizers import table

    yield from (f"# Audit of {plain(told.found.signature)} on {plain(told.text)}", "")
    yield from (
        table(list(summary_texts(told.rows))),
        "",
        *(f"- {line}" for line in [*map(plain, told.remarks), *READING]),
    )
    yield from ("", "## Merges by rule", "", table(list(rules_texts(told.found)), words=3), "")
    for left, right, rule in told.found.apart:
        yield f"- Variants apart ({plain(rule)}): {plain(left)} / {plain(right)}"
    for left, right, rule in told.found.wrong:
        yield f"- Judged distinct, and equal ({plain(rule)}): {plain(left)} / {plain(right)}"
    for board in told.boards:
        yield from ("", f"## {plain(heading(board))}", "")
        yield from (table(list(transcripts.texts(board, board.shown))), "")
        yield from (f"- {plain(moved)}" for moved in board.moved)
    yield ""

"""Audit ``hindi`` and write the tables and the picture of docs/normalizers.md, between the markers of their section.

``python -m tests.benchmarks.write_normalizers --runs out/default --to docs/normalizers.md``, where out/default is what
``prunebench leaderboard --preset default --out out/default`` made. Needs the test extra wordfreq.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

from benchmark.errors import PrunebenchError
from benchmark.figures import render
from benchmark.measure.scores import Normalised, scored
from benchmark.registry import REGISTRY
from benchmark.store.files import write_atomically
from benchmark.store.records import latest_of
from benchmark.text.chosen import chosen
from reports import _audit as audit
from reports import _transcripts as transcripts
from reports._audit_input import read_pairs
from reports._audit_picture import draw
from reports.normalizers import table
from tests.benchmarks.write_real_size import replaced

PAIRS = Path("tests/data/hindi_pairs.tsv")
_GRAMMAR, _WORDS = "synthetic-hi", "wordfreq:hi"
_FEWEST = 20


def audited(text: str, runs: list[Path]) -> audit.Told:
    """Return the audit of ``hindi`` beside the usual five.

    Raises:
        PrunebenchError: a normaliser broke.
    """
    faults: list[str] = []
    told = audit.collect("hindi", text, None, runs, PAIRS, faults)
    if faults:
        raise PrunebenchError("; ".join(faults))
    return told


def command(text: str, *more: str) -> str:
    """Return the command that shows the same."""
    return f"`prunebench audit --normalizer hindi --text {' '.join((text, '--pairs', str(PAIRS), *more))}`"


def sizes() -> str:
    """Return how much text the grammar gives, in words."""
    corpus = REGISTRY.get("corpus", _GRAMMAR)
    texts = [text for split in corpus.splits for text in corpus.texts(split)]
    words = sum(len(text.split()) for text in texts)
    return f"All splits of {_GRAMMAR}: {len(texts):,} sentences ({len(set(texts)):,} different ones), {words:,} words."


def summary(told: audit.Told) -> str:
    """Return the table of six normalisers."""
    return table(list(audit.summary_texts(told.rows)))


def rules(told: audit.Told) -> str:
    """Return the table of merges by rule, and below it what failed."""
    lines = [table(list(audit.rules_texts(told.found)), words=3), ""]
    lines += [f"- Apart ({rule}): {left} / {right}" for left, right, rule in told.found.apart]
    lines += [f"- Wrongly equal ({rule}): {left} / {right}" for left, right, rule in told.found.wrong]
    failed = "No variant stays apart, and no pair judged distinct became equal."
    return "\n".join([*lines, f"Signature `{told.found.signature}`. {'' if told.found.failed else failed}".rstrip()])


def same(board: transcripts.Same) -> str:
    """Return the error rates of the cells that the picture shows, and what moves."""
    moved = [f"- {one}" for one in board.moved]
    return "\n".join([table(list(transcripts.texts(board, board.shown))), "", *moved])


def pieces(board: transcripts.Same, runs: list[Path]) -> str:
    """Return what ``whisper_basic`` counts beside what ``hindi`` counts, for cells with errors enough to compare."""
    both = [Normalised("hindi"), Normalised("whisper_basic")]
    found = [[scored(record, board.split, one) for one in both] for record in latest_of(runs) if record.ok]
    rows = [
        [
            *("cell", "wrong words", "wrong pieces", "WER % hindi", "WER % whisper_basic", "points"),
            *("wrong sentences", "of these right by whisper_basic"),
        ]
    ]
    for ours, basic in sorted(found, key=lambda pair: pair[0].main.rate):
        wrong = ours.main.errors > 0
        if ours.main.errors.sum() >= _FEWEST:
            rows.append(
                [
                    str(board.rates.loc[ours.cell, "cell"]),
                    *(f"{int(one.main.errors.sum()):,}" for one in (ours, basic)),
                    *(f"{100 * one.main.rate:.1f}" for one in (ours, basic)),
                    f"{100 * (basic.main.rate - ours.main.rate):+.1f}".replace("-", "−"),
                    f"{int(wrong.sum())}",
                    f"{int((wrong & (basic.main.errors == 0)).sum())}",
                ]
            )
    few = [(ours, basic) for ours, basic in found if ours.main.errors.sum() < _FEWEST]
    most = max((abs(basic.main.rate - ours.main.rate) for ours, basic in few), default=0.0)
    words, cut = (int(one.main.lengths.sum()) for one in found[0])
    return "\n".join(
        [
            f"The references are {words:,} words by `hindi` and {cut:,} pieces by `whisper_basic`. Cells with at least "
            f"{_FEWEST} wrong words:",
            "",
            table(rows),
            "",
            f"In the {len(few)} cells with fewer wrong words the two rates differ by at most {100 * most:.2f} points.",
        ]
    )


def made_equal() -> str:
    """Return the pairs of two words that ``whisper_basic`` makes equal."""
    basic = chosen("whisper_basic")
    pairs = [(left, right) for left, right, relation, _ in read_pairs(PAIRS) if relation == "distinct"]
    judged = chosen("hindi").judged_pairs()
    pairs += [(one.left, one.right) for one in judged if one.verdict == "distinct"]
    made = [f"{left} / {right}" for left, right in dict.fromkeys(pairs) if basic(left) == basic(right)]
    return f"Two words that `whisper_basic` makes one: {', '.join(made)}."


def main() -> None:
    """Write all sections and the picture beside the document."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.write_normalizers", description=__doc__)
    parser.add_argument("--runs", type=Path, action="append", required=True, help="run folders, on synthetic-hi")
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    grammar, words = audited(_GRAMMAR, options.runs), audited(_WORDS, [])
    board = grammar.boards[0]
    wordfreq = f"The Hindi list of wordfreq {version('wordfreq')}, {words.found.words:,} word types."
    sections = {
        "grammar": f"{command(_GRAMMAR)}\n\n{sizes()}\n\n{summary(grammar)}",
        "words": f"{command(_WORDS)}\n\n{wordfreq}\n\n{summary(words)}\n\n{made_equal()}",
        "rules": rules(words),
        "transcripts": f"{command(_GRAMMAR, '--runs out/default')}\n\n{same(board)}",
        "pieces": pieces(board, options.runs),
    }
    text = options.to.read_text(encoding="utf-8")
    for section, body in sections.items():
        text = replaced(text, section, body)
    write_atomically(options.to, text)
    write_atomically(options.to.with_suffix(".png"), render(draw(grammar), "png"))


if __name__ == "__main__":
    main()

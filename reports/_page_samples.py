"""Sample transcripts of a leaderboard's rows: which utterances, and where their words differ from the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.api import Unit
from benchmark.errors import SpecError, StoreError
from benchmark.measure.alignment import counts
from benchmark.measure.scores import Normalised
from benchmark.store.records import Record, folder_of, read_record
from benchmark.store.scoring import dense_of
from benchmark.text.chosen import AUTO
from reports import _content as content
from reports._page_text import CUT, visible

if TYPE_CHECKING:
    import pandas as pd

MOST_READ = 2_000
"""Characters of a text that are aligned; what is beyond them is not shown anyway."""
Part = list[str]
"""What was done (``=`` nothing, ``s`` substituted, ``d`` deleted, ``i`` inserted), what is shown, and for ``s`` what
stood in the reference."""


@dataclass
class _Texts:
    """The transcripts of one cell, with its errors per utterance."""

    ids: list[str]
    references: list[str]
    hypotheses: list[str]
    errors: np.ndarray
    lengths: np.ndarray


@dataclass
class Samples:
    """Picks and marks samples; a cell's transcripts are read once, so that dense is not read for each row."""

    frame: pd.DataFrame
    _read: dict[str, _Texts | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        table = self.frame
        self.split = content.first_split(table)
        self._dense = dense_of(table)
        self._folders = {
            str(row["cell"]): folder_of(row) for row in table[["run", "cell", "attempt"]].to_dict("records")
        }
        choice = str(table.attrs.get("normalizer"))
        try:
            self._normalised: Normalised | None = Normalised(choice)
            self.note = f"Words compared as {choice} writes them" + (" for the language." if choice == AUTO else ".")
        except SpecError:
            self._normalised = None
            self.note = f"Words compared as they are written: the normaliser {choice} is not installed here."

    def of(self, row: Mapping[Any, Any]) -> list[dict[str, Any]]:
        """Return the samples of an entry's first cell; empty where it has no transcripts.

        Raises:
            StoreError: transcripts that cannot be read.
        """
        cell, language = str(row["cell"]), row["language"]
        ours = self._texts(cell, language)
        if ours is None or not ours.ids:
            return []
        dense_cell = self._dense.get(cell)
        dense = self._texts(dense_cell, language) if dense_cell and dense_cell != cell else None
        if dense is not None and dense.ids != ours.ids:
            dense = None
        found = picks(ours.errors, ours.lengths, None if dense is None else dense.errors)
        run_on = longest(ours.references, ours.hypotheses)
        found += [(run_on, "runs on longest")] if run_on is not None and run_on not in dict(found) else []
        return [self._one(why, at, ours, dense, language) for at, why in found]

    def _texts(self, cell: str, language: str | None) -> _Texts | None:
        if cell not in self._read:
            record = read_record(self._folders[cell])
            self._read[cell] = self._load(record, language) if self.split in (record.data.get("data") or {}) else None
        return self._read[cell]

    def _load(self, record: Record, language: str | None) -> _Texts:
        table = record.transcripts(self.split)
        references, hypotheses = (table[name].tolist() for name in ("reference", "hypothesis"))
        if not all(isinstance(text, str) for text in (*references, *hypotheses)):
            raise StoreError(f"{record.path}: a transcript of {self.split} is not a text; check the file")
        done = [[self._normal(text, language) for text in texts] for texts in (references, hypotheses)]
        found = counts(done[0], done[1], self._unit(language))
        return _Texts([str(key) for key in table["id"]], references, hypotheses, found.errors, found.lengths)

    def _unit(self, language: str | None) -> Unit:
        return "word" if self._normalised is None else self._normalised.of(language).normalizer.unit

    def _normal(self, text: str, language: str | None) -> str:
        if self._normalised is None:
            return " ".join(text.split())
        return self._normalised.of(language)([text], ["of a sample"])[0]

    def _one(self, why: str, at: int, ours: _Texts, dense: _Texts | None, language: str | None) -> dict[str, Any]:
        reference = ours.references[at]
        told: dict[str, Any] = {
            "why": why,
            "unit": "characters" if self._unit(language) == "char" else "words",
            "id": visible(ours.ids[at][:80]),
            "reference": shortened([["=", visible(reference[:MOST_READ])]], len(reference)),
            "this": self._marked(reference, ours.hypotheses[at], language),
            "errors": [int(ours.errors[at]), int(ours.lengths[at])],
        }
        if dense is not None:
            told["dense"] = self._marked(reference, dense.hypotheses[at], language)
            told["dense_errors"] = int(dense.errors[at])
        return told

    def _marked(self, reference: str, hypothesis: str, language: str | None) -> dict[str, Any]:
        def alone(text: str) -> str:
            return self._normal(text, language)

        pair = (reference[:MOST_READ], hypothesis[:MOST_READ])
        if self._unit(language) == "char":
            parts = list(aligned(list(alone(pair[0])), list(alone(pair[1])), None, None))
            return shortened(joined(parts), len(hypothesis), "")
        words = [alone(text).split() for text in pair]
        raw = [as_written(text, some, alone) for text, some in zip(pair, words, strict=True)]
        told = shortened(list(aligned(words[0], words[1], raw[0], raw[1])), len(hypothesis))
        if raw[1] is None:
            told["note"] = "; ".join(["shown normalised", *([told["note"]] if "note" in told else [])])
        return told


def picks(errors: np.ndarray, lengths: np.ndarray, dense: np.ndarray | None) -> list[tuple[int, str]]:
    """Return which utterances are shown, and why: at most five, always the same ones; of equals the first.

    Args:
        errors: per utterance, shape ``(N,)``.
        lengths: units in the reference, shape ``(N,)``.
        dense: errors of the dense model, shape ``(N,)``, where there is one.
    """
    rates = errors / np.maximum(lengths, 1)
    order = np.argsort(rates, kind="stable")
    wrong = order[errors[order] > 0]
    wanted = [(int(np.argmax(errors)), "most errors"), (int(np.argmax(rates)), "highest rate")]
    if dense is not None:
        worse, better = errors - dense, dense - errors
        wanted += [(int(np.argmax(worse)), "most lost against dense")] if worse.max() > 0 else []
        wanted += [(int(np.argmax(better)), "most gained against dense")] if better.max() > 0 else []
    wanted += [(int(wrong[len(wrong) // 2]), "median of those with errors")] if len(wrong) else []
    wanted += [(int(order[len(order) // 2]), "median of all")]
    found: dict[int, str] = {}
    for at, why in wanted if len(wrong) else [(0, "no errors anywhere; the first")]:
        found[at] = f"{found[at]}, {why}" if at in found else why
    return list(found.items())[:5]


def longest(references: Sequence[str], hypotheses: Sequence[str]) -> int | None:
    """Return which hypothesis is longest beyond its reference; None where none is more than twice as long."""
    over = [len(said) - 2 * len(text) for text, said in zip(references, hypotheses, strict=True)]
    at = int(np.argmax(over))
    return at if over[at] > 0 else None


def as_written(raw: str, words: Sequence[str], normalised: Callable[[str], str]) -> list[str] | None:
    """Return the written form of each normalised word; None where words were not made one from one.

    Args:
        raw: the text as it was written.
        words: the words of the normalised text.
        normalised: the normaliser, a function of a text.
    """
    written: list[str] = []
    made: list[str] = []
    waiting = ""
    for token in raw.split():
        word = normalised(token).split()
        if len(word) > 1:
            return None
        if word:
            written.append(waiting + token)
            made += word
            waiting = ""
        elif written:  # punctuation alone belongs to the word before it
            written[-1] += f" {token}"
        else:
            waiting += f"{token} "
    return written if made == list(words) else None


def aligned(
    reference: Sequence[str], hypothesis: Sequence[str], raw: Sequence[str] | None, said: Sequence[str] | None
) -> Iterator[Part]:
    """Yield the hypothesis as parts, one a word, with the deleted words of the reference in their places.

    Args:
        reference: normalised words.
        hypothesis: normalised words.
        raw: how the reference's words are written; None shows the normalised ones.
        said: the same of the hypothesis.
    """
    from rapidfuzz.distance import Levenshtein

    raw, said = raw or reference, said or hypothesis
    for run in Levenshtein.opcodes(reference, hypothesis):
        ours, theirs = said[run.dest_start : run.dest_end], raw[run.src_start : run.src_end]
        if run.tag == "replace":
            yield from (["s", visible(word), visible(old)] for word, old in zip(ours, theirs, strict=True))
        elif run.tag == "delete":
            yield from (["d", visible(old)] for old in theirs)
        else:
            yield from (["i" if run.tag == "insert" else "=", visible(word)] for word in ours)


def joined(parts: Sequence[Part]) -> list[Part]:
    """Return single characters as runs of the same operation."""
    found: list[Part] = []
    for part in parts:
        if found and found[-1][0] == part[0]:
            found[-1] = [part[0], *(a + b for a, b in zip(found[-1][1:], part[1:], strict=True))]
        else:
            found.append(list(part))
    return found


def shortened(parts: Sequence[Part], whole: int, gap: str = " ") -> dict[str, Any]:
    """Return parts for the page: equal ones in a row as one, cut after some characters with a note.

    Args:
        parts: of a text.
        whole: characters of the text as it was written.
        gap: what stands between parts.
    """
    kept: list[Part] = []
    room = CUT
    for part in parts:
        text = part[1] if len(part[1]) <= room else part[1][:room] + "…"
        if part[0] == "=" and kept and kept[-1][0] == "=":
            kept[-1][1] += gap + text
        else:
            kept.append([part[0], text, *(other[:CUT] for other in part[2:])])
        room -= len(text) + len(gap)
        if room <= 0:
            break
    left_out = whole > MOST_READ or room <= 0
    return {"parts": kept, "gap": gap} | ({"note": f"cut: {whole:,} characters"} if left_out else {})

"""A large run folder of invented records: what a fleet leaves behind, for measuring how reports cope with it.

``python -m tests.big_store FOLDER [RECORDS]`` writes one to look at. No model was ever trained for it.

The full grid is 4 languages x 2 models x (12 methods x 2 blocks x 5 budgets, ``dense`` and ``shipped``), seed after
seed until there are as many records as were asked for, so that of the last seed not every cell is there. Each record
has a ``test`` split of 100 utterances of 4 to 14 words by 12 speakers: a tenth to a third of a real test set, as 10,000
cells with 900 utterances each would mostly measure how fast a disk writes. Good models hear most sentences rightly and
make the same mistakes; bad ones make their own, and the worst run away: 58 % of the hypotheses are right and 16 % of
the pairs (utterance, hypothesis) differ from all others (in a real run of all methods 73 % and 19 %). One record in 97
failed, one in 211 was stopped, and the last one is cut off.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice, product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmark.store.folders import open_run
from benchmark.store.naming import short_hash
from benchmark.store.records import RECORD, Attempt, Record
from benchmark.store.timings import write_timing
from tests.fake_runs import DEVICE, ok_data, spec

RECORDS, UTTERANCES, SPEAKERS = 10_000, 100, 12
LANGUAGES = {"hi": "कगचजटडतदनपबमयरलवसह|ािीुूेैोौ", "ar": "بتجحدرسشصطعفقكلمنه|اوي", "de": "bdfghklmnprstwz|aeiouäöü"}
LANGUAGES["es"] = "bcdfglmnprstvz|aeioué"
MODELS = ("fake-nano", "fake-tiny")
METHODS = {  # invented: how fast the error grows with what is removed
    **{"random": 1.0, "random_like": 0.95, "magnitude": 0.5, "imp": 0.42, "sgl_adaptive": 0.45, "sgl": 0.55},
    **{"l1_group": 0.65, "taylor": 0.5, "wanda": 0.48, "movement": 0.4, "obs": 0.38, "layer_drop": 0.8},
}
KINDS = ("prunable_nominal", "prunable_stored")
KEEPS = (0.8, 0.6, 0.5, 0.4, 0.2)
VOCABULARY = 3_000


def make(folder: Path, records: int = RECORDS, utterances: int = UTTERANCES) -> Path:
    """Fill ``folder`` with records and one timing record a model; return it."""
    open_run(folder, create=True)
    corpora = {language: Corpus.invented(language, utterances) for language in LANGUAGES}
    timed: dict[str, list[dict[str, Any]]] = {model: [] for model in MODELS}
    with mock.patch("os.fsync"):  # nobody needs this store after a power cut
        for number, cell in enumerate(islice(grid(), records)):
            record = put(folder, cell, number, corpora[cell["corpus"]["language"]])
            if cell["seed"] == 0 and record.ok:
                timed[cell["model"]["name"]].append(timing(record))
        (record.path / RECORD).write_text('{"format": 1, "cell": "cut o')
        for rows in filter(None, timed.values()):
            write_timing(folder, DEVICE, rows, {"note": "invented"})
    return folder


def grid() -> Iterator[dict[str, Any]]:
    """Yield the specs of cells, seed after seed, without end."""
    budgets = [(method, kind, keep) for kind, method, keep in product(KINDS, METHODS, KEEPS)]
    settings = list(product(LANGUAGES, MODELS))
    for seed, (language, model) in ((seed, setting) for seed in count() for setting in settings):
        shared = {
            "model": {"name": model, "revision": "fake", "options": {}},
            "corpus": {"name": f"fake-{language}", "version": "1", "language": language, "options": {}},
            "seed": seed,
        }
        yield spec(**shared)
        yield spec("shipped", training=None, **shared)
        yield from (spec(method, kind, keep, **shared) for method, kind, keep in budgets)


@dataclass(frozen=True)
class Corpus:
    """A test set: its words in a row, where its sentences begin, and how each word is mistaken."""

    language: str
    words: np.ndarray
    ends: np.ndarray
    confused: np.ndarray
    """What is mostly heard in the place of a word."""
    ease: np.ndarray
    """Of each word, mean 1: where errors fall. Good models fail on the same words."""
    vocabulary: np.ndarray

    @classmethod
    def invented(cls, language: str, utterances: int) -> Corpus:
        """Return sentences of made-up words with Zipf's frequencies, the same ones every time."""
        rng = np.random.default_rng(sum(language.encode()))
        consonants, vowels = (list(part) for part in LANGUAGES[language].split("|"))
        syllables = [consonant + vowel for consonant, vowel in product(consonants, vowels)]
        drawn = rng.choice(syllables, (VOCABULARY, 4))
        words = ["".join(row[:length]) for row, length in zip(drawn, rng.integers(1, 5, VOCABULARY), strict=True)]
        vocabulary = np.array(words, object)
        often = 1 / (np.arange(VOCABULARY) + 10)
        lengths = rng.integers(4, 15, utterances)
        said, heard = rng.choice(vocabulary, (2, int(lengths.sum())), p=often / often.sum())
        ease = rng.exponential(1, len(said)) ** 3 / 6
        return cls(language, said, np.cumsum(lengths), heard, ease, vocabulary)

    def columns(self, error: float, rng: np.random.Generator) -> dict[str, list[Any]]:
        """Return the transcripts of a model whose word error rate is about ``error``; above 1 it runs away."""
        wrong = rng.random(len(self.words)) < np.clip(error * self.ease, 0, 1) + max(error - 0.5, 0)
        own = rng.random(len(self.words)) < min(0.1 + error, 1)
        drawn = self.vocabulary[rng.integers(0, VOCABULARY, len(self.words))]
        heard = np.where(wrong, np.where(own, drawn, self.confused), self.words)
        lost = wrong & (rng.random(len(self.words)) < 0.15)
        extra = rng.poisson(max(error - 1, 0) * 10, len(self.ends))
        starts = [0, *self.ends[:-1]]
        hypotheses, references = [], []
        for start, end, more in zip(starts, self.ends, extra, strict=True):
            left = heard[start:end][~lost[start:end]]
            hypotheses.append(" ".join([*left, *[self.vocabulary[0]] * more]))
            references.append(" ".join(self.words[start:end]))
        return {
            "id": [f"{self.language}-{number}" for number in range(len(self.ends))],
            "speaker": [f"{self.language}-speaker-{number % SPEAKERS}" for number in range(len(self.ends))],
            "reference": references,
            "hypothesis": hypotheses,
            "duration_s": [len(text) / 12 for text in references],
            "tokens": [len(text) for text in hypotheses],
            "truncated": (extra > 8).tolist(),
        }


def put(run: Path, cell: dict[str, Any], number: int, corpus: Corpus) -> Record:
    """Write one record; its number says whether the attempt failed or was stopped."""
    attempt = Attempt.create(run, short_hash(cell) + f"{number:08x}", cell)
    if number % 97 == 96:
        error = {"type": "BudgetMissedError", "message": "asked prunable_stored@0.2, reached 0.231"}
        return attempt.commit({"status": "failed", "error": error, "spec": cell, "seconds": 3.0})
    if number % 211 == 210:
        watched = {"split": "dev", "utterances": 20, "signature": "wer|plain", "values": [[40, 0.9]]}
        stopped = {"at": 40, "of": 120, "reason": "worse than the median of 7 trials"}
        return attempt.commit({"status": "pruned", "spec": cell, "stopped": stopped, "watched": watched})
    rng = np.random.default_rng(number)
    keep = cell["budget"]["keep"] or 1.0
    stored = keep if cell["budget"]["kind"] == "prunable_stored" else 1.0
    growth = METHODS.get(cell["method"]["name"], 0.0) * (1.3 if stored < 1 else 1.0)
    base = 0.03 if cell["model"]["name"] == MODELS[0] else 0.02
    error_rate = base * float(np.exp(5 * growth * (1 - keep) ** 1.5) * rng.lognormal(0, 0.05))
    name = attempt.write_transcripts(
        f"fake-{corpus.language}", corpus.language, "test", corpus.columns(error_rate, rng)
    )
    data = ok_data(cell, stored=stored, nominal=keep)
    about = {"hash": short_hash([corpus.language, len(corpus.ends)]), "utterances": len(corpus.ends), "skipped": 0}
    return attempt.commit({**data, "data": {"test": {**about, "transcripts": name}}})


def timing(record: Record) -> dict[str, Any]:
    """Return the row of a timing record."""
    speedup = 1 / (0.2 + 0.8 * record.data["plan"]["stored"])
    timed = {"batch": 8, "rtfx": 90 * speedup, "rtfx_lo": 85 * speedup, "rtfx_hi": 95 * speedup, "speedup": speedup}
    beside = {"encoder_ms": 9 / speedup, "generate_s": 0.5 / speedup, "audio_seconds": 60.0, "peak_memory": 6_000_000}
    return {"cell": record.cell, "attempt": record.attempt, **timed, **beside}


if __name__ == "__main__":
    print(make(Path(sys.argv[1]), *map(int, sys.argv[2:3])))

"""How many utterances are scored a second, in one process; ask for it with ``-m benchmark``.

Sentences of ten made-up Hindi words (a vocabulary of 20,000 with Zipf's frequencies), a fifth of the words wrong. A
bare loop of jiwer over the normalised texts, words and characters, is timed in the same run.
"""

from __future__ import annotations

import random
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import jiwer
import pytest

from benchmark.registry import REGISTRY
from benchmark.store.folders import open_run
from benchmark.store.records import Attempt
from benchmark.store.score import score
from tests.fake_runs import ok_data, spec

UTTERANCES, CELLS = 40_000, 20
ASKED = 8_000
"""Utterances a second and core."""
_CONSONANTS, _VOWELS = "कखगघचछजझटठडढतथदधनपफबभमयरलवशषसह", ["", *"ािीुूेैोौंँ"]


def made(draw: random.Random) -> tuple[list[str], list[str]]:
    """Return references, and what a poor model hears."""
    words = [
        "".join(draw.choice(_CONSONANTS) + draw.choice(_VOWELS) for _ in range(draw.randint(1, 4)))
        for _ in range(20_000)
    ]
    often = list(accumulate(1 / (place + 10) for place in range(len(words))))
    references = [" ".join(draw.choices(words, cum_weights=often, k=10)) for _ in range(UTTERANCES)]
    return references, [spoiled(text, words, draw) for text in references]


def spoiled(text: str, words: list[str], draw: random.Random) -> str:
    """Return a text with a fifth of its words wrong and some left out."""
    heard = [draw.choice(words) if draw.random() < 0.2 else word for word in text.split() if draw.random() > 0.03]
    return " ".join(heard) or "न"


def put(run: Path, number: int, references: list[str], hypotheses: list[str]) -> None:
    """Write a record; all cells have the same data."""
    asked = spec(seed=number)
    attempt = Attempt.create(run, f"{number:016x}", asked)
    columns = {"id": [str(at) for at in range(len(references))], "reference": references, "hypothesis": hypotheses}
    name = attempt.write_transcripts("made", "hi", "test", columns)
    data = {"test": {"hash": "made", "utterances": len(references), "transcripts": name}}
    attempt.commit({**ok_data(asked), "data": data})


def timed(work: Any, *arguments: Any, **options: Any) -> float:
    """Return utterances a second of this process: what other work the machine has does not count."""
    start = time.process_time()
    work(*arguments, **options)
    return UTTERANCES / (time.process_time() - start)


def bare(references: list[str], hypotheses: list[str]) -> None:
    """Count as jiwer does, both units."""
    for count in (jiwer.process_words, jiwer.process_characters):
        for reference, hypothesis in zip(references, hypotheses, strict=True):
            count(reference, hypothesis)


@pytest.mark.benchmark
def test_scoring_is_fast_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references, hypotheses = made(random.Random(0))
    one, many = (open_run(tmp_path / name, create=True) for name in ("one", "many"))
    put(one, 0, references, hypotheses)
    size, vocabulary = UTTERANCES // CELLS, sorted(set(" ".join(hypotheses).split()))
    for number in range(CELLS):
        draw = random.Random(number)
        put(many, number, references[:size], [spoiled(text, vocabulary, draw) for text in references[:size]])
    score(one, "identity", resamples=1)  # imports

    def fresh() -> Any:
        return REGISTRY.get("normalizer", "hindi")  # it remembers no word yet

    cells, single = timed(score, many, fresh()), timed(score, one, fresh())
    alone = timed(score, one, fresh(), resamples=1)
    rules = fresh()
    loop = timed(bare, [rules(text) for text in references], [rules(text) for text in hypotheses])
    with capsys.disabled():
        print(
            f"\nhindi, utterances a second: {CELLS} cells of {size:,} on one test set {cells:,.0f}; one cell of "
            f"{UTTERANCES:,} {single:,.0f} (without intervals {alone:,.0f}); a bare jiwer loop, nothing normalised, "
            f"{loop:,.0f}"
        )
    assert min(cells, single) > ASKED

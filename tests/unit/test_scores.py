"""Counts against a textbook alignment; scores from records; faults named; unlike data never paired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.api import Unit
from benchmark.errors import SpecError, StoreError
from benchmark.measure.scores import Normalised, compare, counts, scored
from benchmark.store.folders import open_run
from benchmark.store.records import Record, latest
from benchmark.store.score import score
from tests.fake_runs import Plain, commit, fail, ok_data, spec


def distance(a: list[str], b: list[str]) -> int:
    """Levenshtein's recurrence, written out."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def units(text: str, unit: Unit) -> list[str]:
    return text.split() if unit == "word" else list(" ".join(text.split()))


texts = st.lists(st.text("ab कि", max_size=12), min_size=0, max_size=8)


@settings(max_examples=80, deadline=None)
@given(texts, texts, st.sampled_from(["word", "char"]))
def test_counts_are_levenshteins(references: list[str], hypotheses: list[str], unit: Unit) -> None:
    size = min(len(references), len(hypotheses))
    references, hypotheses = references[:size], hypotheses[:size]
    found = counts(references, hypotheses, unit)
    assert found.errors.tolist() == [
        distance(units(r, unit), units(h, unit)) for r, h in zip(references, hypotheses, strict=True)
    ]
    assert found.lengths.tolist() == [len(units(text, unit)) for text in references]
    said = found.hits + found.substitutions + found.insertions
    assert said.tolist() == [len(units(text, unit)) for text in hypotheses]
    assert all(array.dtype == np.int64 for array in vars(found).values())


def test_each_kind_of_error() -> None:
    found = counts(["a b c", "a b c", "a b c", "a b c"], ["a x c", "a c", "a b c d e", "a b c"])
    table = np.array([found.hits, found.substitutions, found.deletions, found.insertions]).T
    assert table.tolist() == [[2, 1, 0, 0], [2, 0, 1, 0], [3, 0, 0, 2], [3, 0, 0, 0]]
    assert found.rate == 4 / 12


def test_empty_texts() -> None:
    found = counts(["", " ", "a b", "a"], ["x y", "", "  ", "a"])
    assert found.insertions.tolist() == [2, 0, 0, 0] and found.deletions.tolist() == [0, 0, 2, 0]
    assert found.lengths.tolist() == [0, 0, 2, 1] and found.rate == 4 / 3
    assert counts([""], ["कि"], "char").insertions.tolist() == [2]
    assert np.isnan(counts([], []).rate) and np.isnan(counts([""], ["a"]).rate)


def test_the_corpus_rate_is_no_mean_of_rates() -> None:
    found = counts(["a", "b c d e f g h i j"], ["x", "b c d e f g h i j"])
    assert found.rate == 0.1 and np.mean(found.errors / found.lengths) == 0.5


def test_lists_must_match() -> None:
    with pytest.raises(ValueError, match="2 references do not go with 1"):
        counts(["a", "b"], ["a"])


class Counting(Plain):
    """Counts its calls."""

    name = "counting"
    version = "2"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: list[str] = []

    def __call__(self, text: str) -> str:
        self.calls.append(text)
        return super().__call__(text)


class Characters(Plain):
    name = "characters"
    unit = "char"


class Broken(Plain):
    name = "broken"

    def __call__(self, text: str) -> Any:
        if text == "raise":
            raise KeyError("ँ")
        return None


def test_each_text_is_normalised_once() -> None:
    normalizer = Counting()
    normalised = Normalised(normalizer)
    assert normalised(["a  b", "c", "a  b"], ["1", "2", "3"]) == ["a b", "c", "a b"]
    assert normalised(["a  b"], ["4"]) == ["a b"] and normalizer.calls == ["a  b", "c"]


def test_a_faulty_normaliser_is_named_with_the_utterance() -> None:
    with pytest.raises(SpecError, match="'broken' failed on utterance u2: KeyError"):
        Normalised(Broken())(["raise"], ["u2"])
    with pytest.raises(SpecError, match="'broken' returned NoneType, not str, on utterance u1"):
        Normalised(Broken())(["a"], ["u1"])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two finished cells on the same data, and a failed one."""
    run = open_run(tmp_path / "run", create=True)
    commit(run, ok_data(spec()), 0.05)
    commit(run, ok_data(spec("random", "prunable_nominal", 0.4)), 0.6)
    fail(run, spec("l1_group", "prunable_stored", 0.4), "too far")
    return run


def finished(runs: Path) -> list[Record]:
    return [record for record in latest(runs) if record.ok]


def test_score_has_a_row_a_cell_and_split(runs: Path) -> None:
    table = score(runs, Counting(), resamples=500)
    assert len(table) == 4 and set(table["split"]) == {"test", "test-unseen-voice"}
    assert set(table["signature"]) == {"wer|counting:2|word|greedy,max=44|prunebench:0.1.0"}
    assert ((table["lo"] < table["wer"]) & (table["wer"] < table["hi"])).all()
    errors = table[["substitutions", "deletions", "insertions"]].sum(axis=1)
    assert (errors / table["length"] == table["wer"]).all()
    assert table["utterances"].tolist() == [80, 40, 80, 40] and (table["empty_references"] == 0).all()


def test_a_character_normaliser_ranks_by_characters(runs: Path) -> None:
    table = score(runs, Characters(), resamples=500)
    errors = table[["substitutions", "deletions", "insertions"]].sum(axis=1)
    assert (errors / table["length"] == table["cer"]).all()
    assert ((table["lo"] < table["cer"]) & (table["cer"] < table["hi"])).all()
    assert table["signature"][0].startswith("cer|characters:1|char|greedy")


def test_score_agrees_with_jiwer(runs: Path) -> None:
    import jiwer

    table = score(runs, Plain(), resamples=100).set_index(["cell", "split"])
    for record in finished(runs):
        raw = record.transcripts("test")
        refs, hyps = raw["reference"].tolist(), raw["hypothesis"].tolist()
        row = table.loc[(record.cell, "test")]
        assert (row["wer"], row["cer"]) == pytest.approx((jiwer.wer(refs, hyps), jiwer.cer(refs, hyps)), rel=1e-12)


def test_empties_and_runaways_have_their_columns(tmp_path: Path) -> None:
    from benchmark.store.records import Attempt

    run = open_run(tmp_path / "run", create=True)
    attempt = Attempt.create(run, "c" * 16, spec())
    columns = {
        "id": ["1", "2", "3"],
        "reference": ["", "a b", "c"],
        "hypothesis": ["x y z", "", "c c c c c"],
        "truncated": [False, False, True],
    }
    data = ok_data(spec())
    name = attempt.write_transcripts("c", "hi", "test", columns)
    data["data"] = {"test": {"hash": "h", "utterances": 3, "transcripts": name}}
    attempt.commit(data)
    row = score(run, Plain(), resamples=200).iloc[0]
    assert (row["empty_references"], row["empty_reference_insertions"], row["empty_hypotheses"]) == (1, 3, 1)
    assert (row["runaways"], row["deletions"], row["insertions"], row["wer"]) == (1, 2, 7, 3.0)


def test_an_empty_run_gives_an_empty_table(tmp_path: Path) -> None:
    table = score(open_run(tmp_path / "run", create=True), Plain())
    assert len(table) == 0 and "wer" in table and "signature" in table


def test_cells_on_the_same_data_are_paired(runs: Path) -> None:
    normalised = Normalised(Plain())
    by_method = {r.data["spec"]["method"]["name"]: scored(r, "test", normalised) for r in finished(runs)}
    found = compare(by_method["random"], by_method["dense"], resamples=500)
    assert found.lo > 0 and found.p < 0.01
    assert found.difference == by_method["random"].main.rate - by_method["dense"].main.rate


def test_cells_on_other_data_are_refused(runs: Path) -> None:
    other = commit(runs, ok_data(spec("magnitude", "prunable_nominal", 0.4)), 0.3, salt="another copy")
    first = finished(runs)[0] if finished(runs)[0].cell != other.cell else finished(runs)[1]
    a, b = (scored(record, "test", Normalised(Plain())) for record in (first, other))
    with pytest.raises(StoreError) as raised:
        compare(a, b)
    assert all(part in str(raised.value) for part in (a.cell, b.cell, a.data_hash, b.data_hash))
    with pytest.raises(SpecError, match="scored differently"):
        compare(a, scored(first, "test", Normalised(Counting())))

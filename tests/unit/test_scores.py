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
from benchmark.measure.alignment import Aligner, counts, distances
from benchmark.measure.scores import BrokenNormalizerError, Normalised, compare, scored
from benchmark.registry import REGISTRY
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from benchmark.store.records import Attempt, Record, latest
from benchmark.store.score import score
from tests import fake_normalizers as fakes
from tests.fake_runs import Plain, commit, fail, ok_data, spec

OTHER: dict[Unit, Unit] = {"word": "char", "char": "word"}


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


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.text("ab कि", max_size=20), st.text("ab कि", max_size=20)), max_size=6))
def test_counts_are_jiwers(pairs: list[tuple[str, str]]) -> None:
    import jiwer

    collapsed = [(" ".join(r.split()), " ".join(h.split())) for r, h in pairs]
    said = [(r, h) for r, h in collapsed if r and h]  # jiwer refuses empty references
    for unit, count in (("word", jiwer.process_words), ("char", jiwer.process_characters)):
        found = counts(*zip(*said, strict=True), unit=unit) if said else counts([], [], unit)  # type: ignore[arg-type]
        theirs = [count(r, h) for r, h in said]
        for name in ("hits", "substitutions", "deletions", "insertions"):
            assert getattr(found, name).tolist() == [getattr(one, name) for one in theirs]


@settings(max_examples=80, deadline=None)
@given(texts, texts, st.sampled_from(["word", "char"]))
def test_distances_are_the_errors_of_counts(references: list[str], hypotheses: list[str], unit: Unit) -> None:
    size = min(len(references), len(hypotheses))
    every, only = (count(references[:size], hypotheses[:size], unit) for count in (counts, distances))
    assert only.errors.tolist() == every.errors.tolist() and only.lengths.tolist() == every.lengths.tolist()
    assert only.errors.dtype == only.lengths.dtype == np.int64
    assert only.rate == every.rate or np.isnan([only.rate, every.rate]).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), texts, st.sampled_from(["word", "char"]))
def test_what_is_aligned_once_is_counted_alike_in_every_cell(data: Any, references: list[str], unit: Unit) -> None:
    heard = st.lists(st.sampled_from([*references, "", "a b", "b  a"]), min_size=len(references))
    cells = data.draw(st.lists(heard.map(lambda said: said[: len(references)]), min_size=1, max_size=4))
    align = Aligner(references, unit)
    for hypotheses in [*cells, *cells]:
        main, other = align(hypotheses)
        fresh = counts(references, hypotheses, unit), distances(references, hypotheses, OTHER[unit])
        for found, known in zip((main, other), fresh, strict=True):
            assert {name: array.tolist() for name, array in vars(found).items()} == {
                name: array.tolist() for name, array in vars(known).items()
            }
            assert all(array.dtype == np.int64 for array in vars(found).values())


def test_arrays_that_cells_share_cannot_be_written() -> None:
    align = Aligner(["a b"], "word")
    (one, rest), (other, _) = align(["a"]), align(["a"])
    for shared in (one.lengths, rest.lengths):
        with pytest.raises(ValueError, match="read-only"):
            shared[0] = 7
    one.hits[0] = 7
    assert other.hits.tolist() == [1]


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
    for count in (counts, distances):
        with pytest.raises(ValueError, match="2 references do not go with 1"):
            count(["a", "b"], ["a"])


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


def test_what_a_faulty_normaliser_says_is_one_short_line_that_can_be_written() -> None:
    class Talks(Plain):
        def __call__(self, text: str) -> str:
            raise ValueError(f"{text}\n\ud800 " + "long " * 1000)

    with pytest.raises(BrokenNormalizerError) as raised:
        Normalised(Talks())(["a\nb"], ["u1"])
    said = str(raised.value)
    assert "\n" not in said and len(said) < 400 and "test_scores" in said and "\\ud800" in said
    said.encode()


def test_leaving_python_is_a_fault_and_an_interruption_is_none() -> None:
    class Leaves(Plain):
        def __call__(self, text: str) -> str:
            raise SystemExit(0) if text == "leave" else KeyboardInterrupt

    with pytest.raises(BrokenNormalizerError, match="failed on utterance u1: SystemExit"):
        Normalised(Leaves())(["leave"], ["u1"])
    with pytest.raises(KeyboardInterrupt):
        Normalised(Leaves())(["interrupt"], ["u1"])


def test_a_faulty_unit_or_signature_is_a_fault_too() -> None:
    class Odd(Plain):
        unit = "syllable"  # type: ignore[assignment]

    class Unsigned(Plain):
        def signature(self) -> str:
            raise AttributeError("version")

    with pytest.raises(BrokenNormalizerError, match="'plain' has unit 'syllable', which is not word or char"):
        Normalised(Odd())
    with pytest.raises(BrokenNormalizerError, match="'plain' has no signature: AttributeError: version"):
        Normalised(Unsigned())


# --- choosing -----------------------------------------------------------------------------------------------------


def test_a_text_names_the_normaliser() -> None:
    assert Normalised("hindi[nasal=off]").signature.endswith("[nasal=off]")
    assert [one.choice for one in Normalised.each("hindi[nasal=off,case=off],whisper_basic")] == [
        "hindi[nasal=off,case=off]",
        "whisper_basic",
    ]
    assert [one.choice for one in Normalised.each([Plain(), "identity"])] == ["plain", "identity"]
    with pytest.raises(SpecError, match="did you mean 'hindi'"):
        Normalised("hidni")


def test_auto_is_the_normaliser_of_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.only(monkeypatch, fakes.Words, fakes.Letters)
    auto = Normalised("auto")
    assert auto.of("xb") is auto.of("xb") and auto.of("xb").normalizer.name == "letters"
    assert auto.of("xa").normalizer.name == "words"
    plain = Normalised(Plain())
    assert plain.of("xb") is plain is plain.of(None)
    with pytest.raises(SpecError, match=r"no normalizer for language 'qq'.*default"):
        auto.of("qq")
    with pytest.raises(SpecError, match="names no language"):
        auto.of(None)
    with pytest.raises(SpecError, match="another one for each language"):
        _ = auto.normalizer


# --- records ------------------------------------------------------------------------------------------------------


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
    run = open_run(tmp_path / "run", create=True)
    attempt = Attempt.create(run, "c" * 16, spec())
    columns = {
        "id": ["1", "2", "3"],
        "reference": ["", "a b", "c"],
        "hypothesis": ["x y z", "", "c c c c c"],
        "truncated": [False, False, True],
        "looped": [True, False, True],
    }
    data = ok_data(spec())
    name = attempt.write_transcripts("c", "hi", "test", columns)
    data["data"] = {"test": {"hash": "h", "utterances": 3, "transcripts": name}}
    attempt.commit(data)
    row = score(run, Plain(), resamples=200).iloc[0]
    assert (row["empty_references"], row["empty_reference_insertions"], row["empty_hypotheses"]) == (1, 3, 1)
    assert (row["runaways"], row["deletions"], row["insertions"], row["wer"]) == (1, 2, 7, 3.0)
    told = frame(run, normalizer=Plain()).iloc[0]
    assert (told["test_empty"], told["test_runaway"], told["test_looped"]) == (1, 1, 2)


def test_loops_of_transcripts_that_do_not_tell_are_unknown(runs: Path) -> None:
    told = frame(runs, normalizer=Plain())
    assert told["test_looped"].isna().all() and told["test_runaway"].notna().any()


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


def put(run: Path, cell: str, texts: dict[str, tuple[Any, Any]], language: str = "hi", **changes: Any) -> Record:
    """Write a record of utterances: id to reference and hypothesis."""
    asked = spec(corpus={"name": "c", "version": "1", "language": language, "options": {}})
    attempt = Attempt.create(run, cell, asked)
    references, hypotheses = zip(*texts.values(), strict=True)
    columns = {"id": list(texts), "reference": list(references), "hypothesis": list(hypotheses)}
    name = attempt.write_transcripts("c", language, "test", columns)
    data = {"test": {"hash": "h", "utterances": len(texts), "transcripts": name}}
    return attempt.commit({**ok_data(asked), "data": data, **changes})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return open_run(tmp_path / "run", create=True)


def test_references_are_normalised_once_for_all_cells_of_one_data_hash(run: Path) -> None:
    texts = {str(number): (f"r {number}", f"h {number}") for number in range(5)}
    for cell in "ab":
        put(run, cell * 16, texts)
    normalised = Normalised(Counting())
    for record in latest(run):
        scored(record, "test", normalised)
    assert sorted(normalised.normalizer.calls) == sorted(text for pair in texts.values() for text in pair)  # type: ignore[attr-defined]
    other = put(run, "c" * 16, {"0": ("another text under the same hash", "x")})
    assert scored(other, "test", normalised).main.lengths.tolist() == [6]


HARD: dict[str, tuple[str, str]] = {
    "empty reference": ("", "दो शब्द"),
    "empty hypothesis": ("दो शब्द", ""),
    "both empty": ("", ""),
    "emptied": ("…!?", "हाँ"),
    "emptied, rightly": ("—", "।"),
    "emoji": ("हाँ 👩🏽‍🚀 😀", "हाँ 😀"),
    "bidi marks": ("\u202bनमस्ते\u202c", "नमस्ते\u200f"),
    "half surrogates": ("क \ud800 ख", "क \udfff\ud83d ख"),
    "unassigned": ("क \u0378 \U000e0fff", "क \u0378"),
    "mixed scripts": ("मेरा mobile 電話 телефон", "मेरा Mobile 電 телефон"),
    "right to left": ("السلام عليكم שלום", "السلام عليكم"),
    "nul and controls": ("क\x00\x85ख", "क ख\u2028"),
    "long": ("हिन्दी " * 2_000, "हिंदी " * 2_000),
}


@pytest.mark.parametrize("name", REGISTRY.names("normalizer"))
def test_hard_texts_go_through_the_store_and_are_scored_by_every_normaliser(run: Path, name: str) -> None:
    put(run, "c" * 16, HARD)
    row = score(run, name, resamples=10).iloc[0]
    errors = row[["substitutions", "deletions", "insertions"]].sum()
    rate = row["wer"] if row["unit"] == "word" else row["cer"]
    assert row["utterances"] == len(HARD) and errors / row["length"] == rate
    assert row["empty_references"] == 2 + row["emptied"]
    assert row["empty_reference_insertions"] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hindi", "identity"])
def test_a_megabyte_is_scored(run: Path, name: str) -> None:
    text = "हिन्दी में " * 35_000
    assert len(text.encode()) > 1_000_000
    put(run, "c" * 16, {"both": (text, text.replace("न्द", "ंद")), "heard": ("हाँ", text), "said": (text, "")})
    row = score(run, name, resamples=10).iloc[0]
    assert row["length"] == 4 * 35_000 + 1 and row["insertions"] == 2 * 35_000 - 1 and row["deletions"] == 2 * 35_000
    assert row["substitutions"] == (1 if name == "hindi" else 35_001)


def test_references_that_a_normaliser_empties_are_told_from_empty_ones(run: Path) -> None:
    put(run, "c" * 16, HARD)
    row = score(run, "hindi", resamples=10).iloc[0]
    assert (row["empty_references"], row["emptied"], row["empty_reference_insertions"]) == (4, 2, 3)
    assert row["empty_hypotheses"] == 3
    assert score(run, "identity", resamples=10).iloc[0]["emptied"] == 0


def test_half_a_surrogate_pair_is_stored_as_a_replacement_character(run: Path) -> None:
    texts = {"u\udc00": ("a\ud800b \ud83d\ude00", "é")}
    stored = put(run, "c" * 16, texts).transcripts("test").iloc[0]
    assert (stored["reference"], stored["id"], stored["hypothesis"]) == ("a\ufffdb 😀", "u\ufffd", "é")


def test_a_transcript_that_is_no_text_is_not_the_normalisers_fault(run: Path) -> None:
    put(run, "c" * 16, {"u1": ("a", "a"), "u2": ("b", None)})
    with pytest.raises(StoreError, match=r"hypothesis of utterance u2 \(test\) is None, not a text"):
        score(run, Plain())


@pytest.mark.parametrize(
    ("stored", "known"),
    [(["x", "y"], ("x", "y")), (["x", ""], None), (["x", None], None), ([None, None], None), (None, None)],
)
def test_speakers_are_known_for_all_utterances_or_not_at_all(run: Path, stored: Any, known: Any) -> None:
    attempt = Attempt.create(run, "c" * 16, spec())
    columns = {"id": ["1", "2"], "reference": ["a", "b"], "hypothesis": ["a", "c"]}
    name = attempt.write_transcripts("c", "hi", "test", columns | ({"speaker": stored} if stored else {}))
    record = attempt.commit({**ok_data(spec()), "data": {"test": {"hash": "h", "utterances": 2, "transcripts": name}}})
    assert scored(record, "test", Normalised(Plain())).speakers == known


def test_several_normalisers_stand_side_by_side(runs: Path) -> None:
    table = score(runs, ["identity", Characters()], resamples=50)
    assert table["normalizer"].tolist() == ["identity", "characters"] * 4
    assert table["unit"].tolist() == ["word", "char"] * 4
    assert table[["cell", "split"]].drop_duplicates().index.tolist() == [0, 2, 4, 6]
    alone = score(runs, Characters(), resamples=50)
    assert table.iloc[1::2].reset_index(drop=True).equals(alone)


def test_auto_scores_each_language_by_its_own(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.only(monkeypatch, fakes.Words, fakes.Letters)
    put(run, "a" * 16, {"1": ("ab c", "ab d")}, "xa")
    put(run, "b" * 16, {"1": ("ab c", "ab d")}, "xb")
    table = score(run, "auto", resamples=10)
    assert table["signature"].str.split("|").str[:3].tolist() == [
        ["wer", "words:1", "word"],
        ["cer", "letters:1", "char"],
    ]
    assert table["language"].tolist() == ["xa", "xb"] and table["length"].tolist() == [2, 4]
    put(run, "c" * 16, {"1": ("a", "a")}, "qq")
    with pytest.raises(SpecError, match="no normalizer for language 'qq'"):
        score(run, "auto", resamples=10)


def test_a_broken_normaliser_is_named_and_spares_the_others(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.only(monkeypatch, fakes.Words, fakes.Broken)
    put(run, "a" * 16, {"u1": ("a", "a")}, "xa")
    put(run, "b" * 16, {"u2": ("a", "a")}, "xc")
    faults: list[str] = []
    table = score(run, "broken,words", faults=faults, resamples=10)
    assert table["normalizer"].tolist() == ["words", "words"] and len(faults) == 2
    assert "'broken' failed on utterance u1: KeyError: 'a' (tests.fake_normalizers.Broken)" in faults[0]
    faults = []
    assert score(run, "auto", faults=faults, resamples=10)["cell"].tolist() == ["a" * 16]
    assert "utterance u2" in faults[0]
    with pytest.raises(BrokenNormalizerError, match="'broken' failed"):
        score(run, "broken,words", resamples=10)


def test_cells_can_be_chosen(runs: Path) -> None:
    cell = finished(runs)[0].cell
    assert set(score(runs, Plain(), resamples=10, cells=[cell[:5]])["cell"]) == {cell}
    with pytest.raises(StoreError, match="no finished cell begins with 'zz'"):
        score(runs, Plain(), cells=["zz"])


def test_transcripts_of_two_decoders_are_not_mixed(run: Path) -> None:
    put(run, "a" * 16, {"1": ("a", "a")})
    put(run, "b" * 16, {"1": ("a", "a")}, decoding={"signature": "beam=5"})
    with pytest.raises(StoreError) as raised:
        score(run, Plain(), resamples=10)
    assert all(part in str(raised.value) for part in ("a" * 16, "b" * 16, "greedy,max=44", "beam=5"))

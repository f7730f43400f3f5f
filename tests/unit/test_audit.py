"""The audit of normalisers: merges and their rules against a naive reference, marks, splits, variants, the verb."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.api import Judged, Normalizer
from benchmark.cli.main import invoke
from benchmark.errors import DataError
from benchmark.registry import REGISTRY
from benchmark.text.audit import WHOLE, audit, merges, sample
from benchmark.text.rules import RuleBased, TextRule
from tests import fake_runs


def rule(name: str, before: str, after: str, judged: bool = False) -> TextRule:
    return TextRule(name, True, "a test", (before, after), lambda text: text.replace(before, after), judged=judged)


class Toy(RuleBased):
    """b is a, then cc is c, then d is a space."""

    name = "toy"
    program: ClassVar[tuple[TextRule, ...]] = (
        rule("b_to_a", "b", "a"),
        rule("c_once", "cc", "c", judged=True),
        rule("d_parts", "d", " "),
    )


# --- merges -------------------------------------------------------------------------------------------------------


def test_a_merge_belongs_to_the_first_rule_after_which_two_words_are_equal() -> None:
    found = merges(Toy(), ["ab", "aa", "acc", "ac", "bcc", "x"])
    assert found == {
        "b_to_a": [("aa", "ab"), ("acc", "bcc")],
        "c_once": [("ac", "acc")],
        "d_parts": [],
    }


def test_three_words_of_one_class_are_two_merges() -> None:
    assert sum(len(pairs) for pairs in merges(Toy(), ["aa", "ab", "ba"]).values()) == 2


def naive(words: Sequence[str]) -> dict[str, int]:
    """Count, for each rule, how many classes fewer there are after it than before."""
    lost = {}
    texts = sorted(set(words))
    before = len(set(texts))
    for one in Toy.program:
        texts = [one.apply(text) for text in texts]
        now = len({" ".join(text.split()) for text in texts})
        lost[one.name] = before - now
        before = now
    return lost


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("abcd", min_size=1, max_size=4).filter(lambda text: text.strip()), min_size=1, max_size=12))
def test_merges_are_the_classes_that_each_rule_loses(words: list[str]) -> None:
    found = merges(Toy(), words)
    assert {name: len(pairs) for name, pairs in found.items()} == naive(words)
    toy = Toy()
    for pairs in found.values():
        assert all(" ".join(toy(a).split()) == " ".join(toy(b).split()) for a, b in pairs)


def test_all_pairs_that_are_equal_hang_together() -> None:
    words = ["हिन्दी", "हिंदी", "हिंदी।", "हाँ", "हां", "ज़रूर", "जरूर", "कल"]
    normalizer = REGISTRY.get("normalizer", "hindi")
    pairs = [pair for some in merges(normalizer, words).values() for pair in some]
    group = {word: {word} for word in words}
    for a, b in pairs:
        joined = group[a] | group[b]
        for word in joined:
            group[word] = joined
    for a, b in combinations(words, 2):
        assert (normalizer(a) == normalizer(b)) == (b in group[a])


def test_a_normaliser_without_rules_has_one_row() -> None:
    found = audit(REGISTRY.get("normalizer", "whisper_basic"), ["में मे"])
    assert [one.name for one in found.rules] == [WHOLE]
    assert found.merged == 1
    assert found.rules[0].judged  # nothing of it is right by construction


# --- what is lost and parted --------------------------------------------------------------------------------------


def test_marks_deleted_and_words_cut() -> None:
    text = ["हमने उस उम्मीदवार को चुना।"]
    basic = audit(REGISTRY.get("normalizer", "whisper_basic"), text)
    assert basic.marks == basic.marks_deleted == 7
    assert set(basic.split) == {"उम्मीदवार"}
    for name in ("whisper_basic_marks", "indic", "hindi", "identity"):
        kept = audit(REGISTRY.get("normalizer", name), text)
        assert (kept.marks, kept.marks_deleted, kept.split) == (7, 0, ())


def test_a_composed_letter_is_no_deleted_mark() -> None:
    assert audit(REGISTRY.get("normalizer", "default"), ["cafe\u0301 u\u0308ber"]).marks_deleted == 0


def test_words_that_vanish_and_words_that_join() -> None:
    class Odd(Normalizer):
        """Drops x and joins what a plus parts."""

        name = "odd"

        def __call__(self, text: str) -> str:
            return text.replace("x", "").replace(" + ", "")

    found = audit(Odd(), ["x a + b", "a b"])
    assert found.emptied == ("x",)
    assert found.joined == 1


def test_an_empty_text_is_an_error() -> None:
    with pytest.raises(DataError, match="no word"):
        audit(Toy(), ["", "  "])


# --- pairs --------------------------------------------------------------------------------------------------------


def test_variants_apart_and_pairs_wrongly_equal_fail() -> None:
    judged = [Judged("c_once", "ac", "acc", "distinct"), Judged("c_once", "c", "cc", "equal")]
    found = audit(Toy(), ["ac acc xc xcc"], [("aa", "ab", "b_to_a"), ("a", "x", "-")], judged)
    assert found.wrong == (("ac", "acc", "c_once"),)
    assert found.apart == (("a", "x", "-"),)
    assert found.failed
    (c_once,) = [one for one in found.rules if one.name == "c_once"]
    assert c_once.verdicts == {"equal": 0, "distinct": 1}
    assert c_once.unjudged == 1
    assert not audit(Toy(), ["ac"], [("aa", "ab", "")], [Judged("", "a", "c", "distinct")]).failed


def test_a_sample_is_of_unjudged_merges_of_judgement_rules_and_seeded() -> None:
    words = [f"{letter}cc" for letter in "efghij"] + [f"{letter}c" for letter in "efghij"] + ["aa", "ab"]
    known = [Judged("c_once", "ec", "ecc", "equal")]
    found = audit(Toy(), words, judged=known)
    drawn = sample(found, known, 3)
    assert len(drawn) == 3
    assert drawn == sample(found, known, 3)
    assert {one.rule for one in drawn} == {"c_once"}
    assert not {("ec", "ecc")} & {(one.left, one.right) for one in drawn}
    assert len(sample(found, known, 99)) == 5


# --- the verb -----------------------------------------------------------------------------------------------------


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "text.txt").write_text("हमने उस उम्मीदवार को चुना।\nहिन्दी हिंदी ज़रूर जरूर हाँ, हां\n", encoding="utf-8")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = invoke(["audit", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_six_normalisers_by_default(call: Any) -> None:
    code, out, _ = call("--normalizer", "hindi", "--text", "text.txt", "--json")
    said = json.loads(out)
    names = [row["normalizer"] for row in said["normalizers"]]
    assert names[:5] == ["identity", "whisper_basic", "whisper_basic_marks", "indic", "hindi"]
    assert names[5] == "hindi[chandrabindu=off,glide=off,nasal=off,nukta_loans=off,variants=off]"
    nasal = next(row for row in said["rules"] if row["rule"] == "nasal")
    assert nasal["merges"] == [["हिंदी", "हिन्दी"]]
    assert code == 0, (said["variants_apart"], said["wrongly_equal"])


def test_a_pair_that_must_stay_distinct_fails_the_audit(call: Any, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text(
        "# a remark\nजरूर\tज़रूर\tdistinct\tnukta_loans\nएक\tदो\tequal\n", encoding="utf-8"
    )
    code, out, _ = call("--normalizer", "hindi", "--text", "text.txt", "--pairs", "pairs.tsv")
    assert code == 1
    assert "judged distinct, and equal (nukta_loans): जरूर | ज़रूर" in out
    assert "variants apart (-): एक | दो" in out


def test_files_with_runs_and_a_sample(call: Any, tmp_path: Path) -> None:
    run = fake_runs.make(tmp_path / "run", keeps=(0.8, 0.6))
    asked = ("--normalizer", "hindi", "--normalizers", "identity,whisper_basic", "--text", "text.txt")
    code, out, err = call(*asked, "--runs", str(run), "--to", "out", "--sample", "5")
    assert code == 0, err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"audit.{kind}" for kind in ("md", "csv", "png", "svg")),
        "hindi_unjudged.tsv",
    }
    assert "Kendall's tau 1.000, 0 of" in out  # the audited one against itself
    text = (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")
    assert "The same transcripts" in text
    head, *rows = (tmp_path / "out" / "hindi_unjudged.tsv").read_text(encoding="utf-8").splitlines()
    assert head == "rule\tleft\tright\tverdict"
    assert all(row.endswith("\t") and row.count("\t") == 3 for row in rows)


def test_ranks_and_errors_are_those_of_the_frame(call: Any, tmp_path: Path) -> None:
    from benchmark.store.frame import frame

    run = fake_runs.make(tmp_path / "run", keeps=(0.8,))
    asked = ("--normalizer", "hindi", "--normalizers", "hindi,whisper_basic", "--text", "text.txt", "--runs", str(run))
    _, out, _ = call(*asked, "--json")
    said = json.loads(out)
    table = frame([run], normalizer="whisper_basic").set_index("cell")
    for row in said["errors"]:
        assert row["whisper_basic"] == pytest.approx(table.loc[row["cell"], "test_wer"])
    ours = frame([run], normalizer="hindi").set_index("cell")["rank"].dropna()
    moved = int((ours != table["rank"].reindex(ours.index)).sum())
    assert len(said["ranks"][1]["changed"]) == moved


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--normalizer", "hindu", "--text", "text.txt"), "did you mean 'hindi'"),
        (("--normalizer", "hindi", "--text", "nowhere.txt"), "nowhere.txt: cannot be read"),
        (("--normalizer", "hindi", "--text", "latin1.txt"), "latin1.txt: not UTF-8 (byte 3)"),
        (("--normalizer", "hindi", "--text", "empty.txt"), "empty.txt: holds no text"),
        (("--normalizer", "hindi", "--text", "text.txt", "--sample", "5"), "say with --to"),
        (("--normalizer", "hindi", "--text", "text.txt", "--pairs", "latin1.txt"), "not UTF-8"),
        (("--normalizer", "hindi", "--text", "text.txt", "--pairs", "text.txt"), "text.txt:1: the third column"),
        (("--normalizer", "hindi", "--text", "text.txt", "--runs", "nowhere"), "nowhere: no such folder"),
        (("--normalizer", "hindi", "--text", "text.txt", "--normalizers", "a,,b"), "an empty name"),
    ],
)
def test_bad_input_is_one_line(call: Any, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "latin1.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("\n")
    code, _, err = call(*arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_a_word_list_of_wordfreq(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def known(language: str, wordlist: str) -> dict[str, float]:
        if language != "hi":
            raise LookupError
        return {"कल": 0.1, "काल": 0.05, "हाँ": 0.01, "हां": 0.01}

    stand_in = SimpleNamespace(get_frequency_dict=known, available_languages=lambda: {"hi": "", "ta": ""})
    monkeypatch.setitem(sys.modules, "wordfreq", stand_in)  # type: ignore[arg-type]
    code, out, _ = call("--normalizer", "hindi", "--text", "wordfreq:hi", "--json")
    assert code == 0
    assert json.loads(out)["normalizers"][0]["types"] == 4
    code, _, err = call("--normalizer", "hindi", "--text", "wordfreq:xx")
    assert (code, "it has hi, ta" in err) == (2, True)
    monkeypatch.setitem(sys.modules, "wordfreq", None)  # type: ignore[arg-type]
    code, _, err = call("--normalizer", "hindi", "--text", "wordfreq:hi")
    assert (code, "needs the package wordfreq" in err) == (2, True)


def test_a_corpus_gives_its_texts_without_audio(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    code, out, _ = call("--normalizer", "german", "--normalizers", "default", "--text", "synthetic-de", "--json")
    assert code == 0
    assert not (tmp_path / "cache").exists()
    assert json.loads(out)["normalizers"][0]["types"] > 100

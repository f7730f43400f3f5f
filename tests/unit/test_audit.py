"""The audit of normalisers: merges and their rules against a naive reference, marks, splits, variants, the verb."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.api import Judged, Normalizer
from benchmark.cli.main import invoke
from benchmark.errors import DataError
from benchmark.registry import REGISTRY
from benchmark.store.frame import frame
from benchmark.text.audit import WHOLE, BrokenError, Merge, audit, merges, sample
from benchmark.text.rules import RuleBased, TextRule
from reports import _transcripts as transcripts
from tests import fake_normalizers as fakes
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
        "b_to_a": [Merge("aa", "ab"), Merge("acc", "bcc")],
        "c_once": [Merge("ac", "acc")],
        "d_parts": [],
    }


def test_three_words_of_one_class_are_two_merges() -> None:
    assert sum(len(pairs) for pairs in merges(Toy(), ["aa", "ab", "ba"]).values()) == 2


def naive(words: Sequence[str]) -> dict[str, int]:
    """Count, for each rule, how many classes fewer there are after it than before; what vanishes is no class."""
    lost = {}
    texts = [word for word in sorted(set(words)) if set(word) != {"d"}]
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
    for some in found.values():
        assert all(" ".join(toy(one.left).split()) == " ".join(toy(one.right).split()) for one in some)
    whole = audit(toy, [" ".join(words)])
    assert whole.merged == sum(naive(words).values())
    assert set(whole.vanished) == {word for word in words if set(word) == {"d"}}


def test_all_pairs_that_are_equal_hang_together() -> None:
    words = ["हिन्दी", "हिंदी", "हिंदी।", "हाँ", "हां", "ज\u093cरूर", "जरूर", "कल"]
    normalizer = REGISTRY.get("normalizer", "hindi")
    pairs = [(one.left, one.right) for some in merges(normalizer, words).values() for one in some]
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

    found = audit(Odd(), ["x a + b", "a b xx"])
    assert found.vanished == found.emptied == ("x", "xx")
    assert (found.joined, found.merged) == (1, 0)  # what vanishes is equal to no word
    signs = audit(REGISTRY.get("normalizer", "hindi"), ["— क ❤️ ।"])
    assert (len(signs.vanished), signs.emptied, signs.merged) == (3, (), 0)


class Broken(Normalizer):
    """Raises on the word bad, returns None for worse."""

    name = "broken"

    def __call__(self, text: str) -> Any:
        if "bad" in text:
            raise KeyError("two\nlines \ud800")
        return None if "worse" in text else text


@pytest.mark.parametrize(
    ("word", "said"), [("bad", "fails on 'bad': KeyError"), ("worse", "returns NoneType, not str")]
)
def test_a_normaliser_that_breaks_is_named(word: str, said: str) -> None:
    with pytest.raises(BrokenError, match=said) as caught:
        audit(Broken(), ["good", word])
    assert "'broken'" in str(caught.value) and "\n" not in str(caught.value)


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
    assert c_once.merges == (Merge("ac", "acc", "distinct"), Merge("xc", "xcc", ""))
    assert (c_once.count("equal"), c_once.count("distinct"), c_once.count("")) == (0, 1, 1)
    assert not audit(Toy(), ["ac"], [("aa", "ab", "")], [Judged("", "a", "c", "distinct")]).failed


def test_a_sample_is_of_unjudged_merges_of_judgement_rules_and_seeded() -> None:
    words = [f"{letter}cc" for letter in "efghij"] + [f"{letter}c" for letter in "efghij"] + ["aa", "ab"]
    known = [Judged("c_once", "ec", "ecc", "equal")]
    found = audit(Toy(), words, judged=known)
    drawn = sample(found, 3)
    assert len(drawn) == 3
    assert drawn == sample(found, 3)
    assert {tuple(sample(found, 3, seed)) for seed in range(5)} != {tuple(drawn)}
    assert {one.rule for one in drawn} == {"c_once"}
    assert not {("ec", "ecc")} & {(one.left, one.right) for one in drawn}
    assert len(sample(found, 99)) == 5


def test_a_verdict_holds_for_any_spelling_that_is_right_by_construction() -> None:
    """Judged was ac / acc; the text has bc and ac for the one, bcc for the other: rule b_to_a comes before."""
    known = [Judged("c_once", "ac", "acc", "equal")]
    (merge,) = merges(Toy(), ["bc", "ac", "bcc"], known)["c_once"]
    assert merge == Merge("ac", "acc", "equal")
    hindi = REGISTRY.get("normalizer", "hindi")
    judged = [Judged("nasal", "हिंदी", "हिन्दी", "equal")]
    (merge,) = merges(hindi, ["(हिन्दी)", "हिंदी।"], judged)["nasal"]
    assert ({merge.left, merge.right}, merge.verdict) == ({"हिन्दी", "हिंदी"}, "equal")


def test_a_verdict_between_any_two_of_two_classes_counts_and_distinct_outweighs() -> None:
    words = ["xc", "xcc", "xccc", "xcccc"]  # the first pass makes two pairs equal, the second all four

    class Twice(Toy):
        name = "twice"
        program: ClassVar[tuple[TextRule, ...]] = (
            TextRule("once", True, "", ("cc", "c"), lambda text: text.replace("cc", "c"), judged=True),
            TextRule("again", True, "", ("cc", "c"), lambda text: text.replace("cc", "c"), judged=True),
        )

    assert [len(some) for some in merges(Twice(), words).values()] == [2, 1]
    for verdicts, said in ((["equal"], "equal"), (["equal", "distinct"], "distinct")):
        rights = ("xcccc", "xccc")
        judged = [Judged("again", "xcc", *pair) for pair in zip(rights, sorted(verdicts), strict=False)]
        (merge,) = merges(Twice(), words, judged)["again"]
        assert merge.verdict == said


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
    assert [set(merge[:2]) for merge in nasal["merges"]] == [{"हिंदी", "हिन्दी"}]
    assert nasal["judged"] and not next(row for row in said["rules"] if row["rule"] == "case")["judged"]
    assert said["transcripts"] == []
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
        "audit_transcripts.csv",
        "hindi_unjudged.tsv",
    }
    assert out.count("Kendall's tau") == 2  # each of the others against the audited one
    text = (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")
    assert re.search(r"error rate in % on test, [5-8] of 16 cells", text)
    assert len(pd.read_csv(tmp_path / "out" / "audit_transcripts.csv")) == 3 * 16
    assert (tmp_path / "out" / "audit.png").read_bytes().startswith(b"\x89PNG")
    head, *rows = (tmp_path / "out" / "hindi_unjudged.tsv").read_text(encoding="utf-8").splitlines()
    assert head == "rule\tleft\tright\tverdict"
    assert all(row.endswith("\t") and row.count("\t") == 3 for row in rows)


def test_ranks_and_errors_are_those_of_the_frame(call: Any, tmp_path: Path) -> None:
    run = fake_runs.make(tmp_path / "run", keeps=(0.8, 0.6))
    asked = ("--normalizer", "hindi", "--normalizers", "hindi,whisper_basic", "--text", "text.txt", "--runs", str(run))
    _, out, _ = call(*asked, "--json")
    (board,) = json.loads(out)["transcripts"]
    ours, theirs = (frame([run], normalizer=name).set_index("cell") for name in ("hindi", "whisper_basic"))
    assert {row["id"] for row in board["errors"]} == set(ours.index[ours["status"] == "ok"])
    for row in board["errors"]:
        assert row["whisper_basic"] == pytest.approx(theirs.loc[row["id"], "test_wer"])
        assert row["hindi_lo"] == pytest.approx(ours.loc[row["id"], "test_wer_lo"])
    (moved,) = board["ranks"]
    ranked = ours["rank"].notna()
    assert moved["ranked"] == ranked.sum()
    assert len(moved["ranks"]) == (ours["rank"][ranked] != theirs["rank"][ranked]).sum()


def test_what_moves_between_two_normalisers() -> None:
    """By hand: a and b change places in one race, c and d keep theirs in the other; one pair of six is discordant."""
    rows = pd.DataFrame(
        {
            "label": list("abcd"),
            "block": ["mask", "mask", "stored", "stored"],
            "keep": [0.8, 0.8, 0.5, 0.5],
            "seed": 0,
            "test_error": [0.1, 0.2, 0.3, 0.4],
            "x__test_error": [0.25, 0.2, 0.3, 0.4],
            "rank": [1, 2, 1, 2],
            "x__rank": [1, 1, 1, 2],
        }
    )
    moved = transcripts.moved_by(rows, "x", "test_error", "", "x__")
    assert moved.tau == pytest.approx((5 - 1) / 6)
    assert moved.ranks == ({"cell": "b, 80 % mask", "from": 2, "to": 1},)
    assert (moved.ranked, moved.places) == (4, 2)
    assert str(moved) == "x: Kendall's tau 0.667, 1 of 4 ranks change (b, 80 % mask: 2 to 1), 2 places by rate alone"


def test_a_report_where_several_normalisers_scored(tmp_path: Path) -> None:
    run = fake_runs.make(tmp_path / "run", keeps=(0.8,))
    report = REGISTRY.get("report", "normalizers")
    assert report.write(frame([run], normalizer="hindi"), tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
    table = frame([run], normalizer="hindi,whisper_basic,hindi[nasal=off,glide=off]")
    written = report.write(table, tmp_path / "out")
    assert [path.name for path in written] == [f"normalizers.{kind}" for kind in ("md", "csv", "png", "svg")]
    text = written[0].read_text(encoding="utf-8")
    assert text.count("\n| ") == 1 + (table["status"] == "ok").sum()
    assert "hindi, 2 rules off: hindi[nasal=off,glide=off]." in text
    rates = pd.read_csv(written[1]).set_index(["id", "normalizer"])["error"]
    for _, row in table[table["status"] == "ok"].iterrows():
        assert rates[row["cell"], "whisper_basic"] == pytest.approx(row["whisper_basic__test_error"])
    assert written[2].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in written[3].read_bytes()
    page = REGISTRY.get("report", "page")
    (with_picture,) = page.write(table, tmp_path / "out")
    (without,) = page.write(frame([run], normalizer="hindi"), tmp_path / "one")
    heading = "<h2>The same transcripts, several normalisers</h2>"
    assert heading in with_picture.read_text(encoding="utf-8")
    assert heading not in without.read_text(encoding="utf-8")


def test_runs_in_other_languages_are_no_transcripts_of_this_one(call: Any, tmp_path: Path) -> None:
    run = fake_runs.make(tmp_path / "run", keeps=(0.8,))  # of Hindi
    asked = ("--text", "text.txt", "--runs", str(run), "--json")
    for beside in ("identity", "german"):
        code, _, err = call("--normalizer", "german", "--normalizers", beside, *asked)
        assert (code, "no finished cell in de to score" in err) == (2, True)
    _, out, _ = call("--normalizer", "identity", "--normalizers", "identity", *asked)  # of no language, and alone
    (board,) = json.loads(out)["transcripts"]
    assert (len(board["errors"]), board["ranks"]) == (9, [])


def test_a_normaliser_that_breaks_beside_the_audited_one_is_left_out(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("good bad\n")
    fakes.only(monkeypatch, Broken, fakes.Words)
    code, out, err = call("--normalizer", "words", "--normalizers", "words,broken", "--text", "text.txt", "--json")
    assert [row["normalizer"] for row in json.loads(out)["normalizers"]] == ["words"]
    assert (code, err.count("\n")) == (1, 1)
    assert "normalizer 'broken' fails on" in err
    code, _, err = call("--normalizer", "broken", "--normalizers", "words", "--text", "text.txt")
    assert (code, err.count("\n")) == (2, 1)


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


@pytest.mark.slow
def test_hindi_on_the_whole_list_of_wordfreq() -> None:
    """The audit of the design: of each judgement rule 200 merges are judged (or all), and none was found wrong."""
    wordfreq = pytest.importorskip("wordfreq")
    words = wordfreq.get_frequency_dict("hi", wordlist="best")
    hindi = REGISTRY.get("normalizer", "hindi")
    found = audit(hindi, words, hindi.variant_pairs(), hindi.judged_pairs())
    assert (found.wrong, found.apart, found.split, found.emptied) == ((), (), (), ())
    assert found.merged == sum(len(one.merges) for one in found.rules) > 1000
    for one in found.rules:
        if one.judged:
            assert one.count("equal") >= min(200, len(one.merges)), one.name
            assert one.count("distinct") == 0, one.name


def test_a_corpus_gives_its_texts_without_audio(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(tmp_path / "cache"))
    code, out, _ = call("--normalizer", "german", "--normalizers", "default", "--text", "synthetic-de", "--json")
    assert code == 0
    assert not (tmp_path / "cache").exists()
    assert json.loads(out)["normalizers"][0]["types"] > 100

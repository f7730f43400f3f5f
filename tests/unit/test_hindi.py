"""The pairs that must become equal or stay distinct, and the switch of each rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.registry import REGISTRY

DATA = Path(__file__).parents[1] / "data"
FOLDS = ("nasal", "chandrabindu", "nukta_loans", "glide", "variants")


def rows(name: str) -> list[list[str]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith(("#", "left\t"))]


PAIRS = rows("hindi_pairs.tsv")
MORE = [row[:4] for row in rows("hindi_more_pairs.tsv")]
NORMALIZER = REGISTRY.get("normalizer", "hindi")


@pytest.mark.parametrize(("left", "right", "relation", "rule"), PAIRS + MORE)
def test_pairs(left: str, right: str, relation: str, rule: str) -> None:
    assert (NORMALIZER(left) == NORMALIZER(right)) == (relation == "equal")


@pytest.mark.parametrize(("left", "right", "relation", "rule"), PAIRS + MORE)
def test_pairs_in_a_sentence(left: str, right: str, relation: str, rule: str) -> None:
    """What stands around a word changes nothing."""
    one, two = (NORMALIZER(f"तब {text} — फिर।") for text in (left, right))
    assert (one == two) == (relation == "equal")


@pytest.mark.parametrize(
    ("left", "right", "rule"), [(left, right, rule) for left, right, relation, rule in PAIRS if relation == "equal"]
)
def test_a_rule_switched_off_keeps_its_pairs_apart(left: str, right: str, rule: str) -> None:
    without = REGISTRY.get("normalizer", "hindi", **{rule: False})
    assert without(left) != without(right)
    assert f"{rule}=off" in without.signature()


@pytest.mark.parametrize(
    ("left", "right", "rule"), [(left, right, rule) for left, right, relation, rule in MORE if relation == "equal"]
)
def test_a_merge_is_made_by_the_rule_that_the_table_names(left: str, right: str, rule: str) -> None:
    stages = zip(NORMALIZER.trace(left), NORMALIZER.trace(right), strict=True)
    assert rule == next(one.name for (one, a), (_, b) in stages if a.split() == b.split())


def test_folds_are_judged() -> None:
    assert {one.name for one in NORMALIZER.program if one.judged} == set(FOLDS)


def test_with_every_fold_off_spellings_stay_and_encodings_go() -> None:
    plain = REGISTRY.get("normalizer", "hindi", **dict.fromkeys(FOLDS, False))
    assert plain.signature() == "hindi:2[chandrabindu=off,glide=off,nasal=off,nukta_loans=off,variants=off]"
    kept = "हिन्दी हाँ ज़रूर गये दुःख सम्बन्ध हँस"
    assert plain(kept) == kept
    assert plain("“\u095bरू\u200cर।” १,०००% ए.पी.जे.") == "ज\u093cरूर 1000 % एपीजे"


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("१५", "पंद्रह"),
        ("1,00,000", "एक लाख"),
        ("3.14", "तीन दशमलव एक चार"),
        ("007", "शून्य शून्य सात"),
        ("10वीं", "दसवीं"),
        ("₹500", "₹ पाँच सौ"),
        ("10:30", "दस तीस"),
        ("6", "छः"),
    ],
)
def test_number_words_make_digits_equal_to_words_and_leave_words(digits: str, words: str) -> None:
    pytest.importorskip("indic_numtowords", reason="comes with the extra numbers")
    spoken = REGISTRY.get("normalizer", "hindi", number_words=True)
    assert spoken(digits) == spoken(words) == NORMALIZER(words)
    assert NORMALIZER(digits) != NORMALIZER(words)


def test_whisper_basic_is_transformers_own_with_its_fault() -> None:
    basic = REGISTRY.get("normalizer", "whisper_basic")
    assert basic.reference
    assert basic("हमने उस उम्मीदवार को चुना।") == "हमन उस उम म दव र क च न "

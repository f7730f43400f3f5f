"""What readers judged: pairs that are one word are equal, and pairs that are two stay distinct."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmark.registry import REGISTRY
from benchmark.text.audit import audit
from normalizers.hindi import Hindi

NORMALIZER = REGISTRY.get("normalizer", "hindi")
JUDGED = Hindi.judged_pairs()
FOLDS = ("nasal", "chandrabindu", "nukta_loans", "glide", "variants")


def test_the_normaliser_says_what_the_reader_said() -> None:
    assert {one.verdict for one in JUDGED} == {"equal", "distinct"}
    assert [one for one in JUDGED if (NORMALIZER(one.left) == NORMALIZER(one.right)) != (one.verdict == "equal")] == []


def test_every_fold_has_judgements_of_both_kinds_and_none_twice() -> None:
    assert {(one.rule, one.verdict) for one in JUDGED} == {
        (fold, said) for fold in FOLDS for said in ("equal", "distinct")
    }
    pairs = Counter(frozenset((one.left, one.right)) for one in JUDGED)
    assert max(pairs.values()) == 1


def test_known_variants_are_equal() -> None:
    rules = {one.name for one in NORMALIZER.active}
    assert [
        row for row in Hindi.variant_pairs() if NORMALIZER(row[0]) != NORMALIZER(row[1]) or row[2] not in rules
    ] == []


def test_the_audit_of_a_word_list_finds_nothing_wrong_and_enough_judged() -> None:
    """At most 200 merges a rule need a judgement; fewer merges are judged one and all."""
    wordfreq = pytest.importorskip("wordfreq", reason="word lists come with the extra dev")
    words = wordfreq.get_frequency_dict("hi", wordlist="best")
    found = audit(NORMALIZER, words, Hindi.variant_pairs(), JUDGED)
    assert not found.failed
    for rule in found.rules:
        if rule.judged:
            verdicts = Counter(merge.verdict for merge in rule.merges)
            assert verdicts["distinct"] == 0
            assert verdicts["equal"] >= min(200, len(rule.merges)), f"{rule.name}: {verdicts}"

"""The audit of a normaliser: which words it makes equal, by which rule, what it deletes, splits and joins. No torch.

Two sins are measured on real text. *Over-simplification*: different words become equal. Every merge of word types is
attributed to the rule that made it; merges of rules that are right by construction need no judge, those of judgement
rules (``TextRule.judged``) are sampled and judged pair by pair. *Over-preservation*: spellings of one word stay apart;
known pairs of variants tell how many.

A word type is what stands between white space in the text as it is, so punctuation is part of it and the rule that
takes it away is credited with what it merges.
"""

from __future__ import annotations

import random
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.api import Judged, Normalizer
from benchmark.errors import DataError
from benchmark.text.common import squeeze_spaces
from benchmark.text.rules import RuleBased, TextRule

WHOLE = "(the whole)"
"""The rule of a normaliser that is not made of rules."""


@dataclass(frozen=True)
class RuleAudit:
    """What one rule merged: ``pairs`` are (left, right) word types that were different before it and equal after it."""

    name: str
    judged: bool
    pairs: tuple[tuple[str, str], ...]
    verdicts: Mapping[str, int]
    """Of the known judgements of this rule: how many ``equal``, how many ``distinct``."""
    wrong: tuple[tuple[str, str], ...]
    """Pairs judged ``distinct`` that the whole normaliser makes equal."""

    @property
    def unjudged(self) -> int:
        """Merges of a judgement rule that nobody has judged."""
        return len(self.pairs) - sum(self.verdicts.values()) if self.judged else 0


@dataclass(frozen=True)
class Audit:
    """What a normaliser did to a text. All counts are of word types, marks of the running text."""

    signature: str
    words: int
    """Word types of the text as it is."""
    left: int
    """Distinct results: a type that becomes several words counts as one result."""
    rules: tuple[RuleAudit, ...]
    marks: int
    """Combining marks (Unicode category M) in the running text, canonically decomposed."""
    marks_deleted: int
    split: tuple[str, ...]
    """Types without punctuation or symbol that become more than one word."""
    emptied: tuple[str, ...]
    """Types with a letter, mark or digit of which nothing is left."""
    joined: int
    """Utterances that have fewer words after normalisation than before, though no word of theirs vanished."""
    apart: tuple[tuple[str, str, str], ...] = ()
    """Known variants (left, right, rule) that stay different."""
    variants: int = 0
    wrong: tuple[tuple[str, str, str], ...] = field(default=())
    """Pairs that must stay distinct and became equal (left, right, rule)."""

    @property
    def merged(self) -> int:
        """Word types that became equal to another."""
        return self.words - self.left

    @property
    def failed(self) -> bool:
        """Whether a pair judged distinct is equal, or a known variant stays apart."""
        return bool(self.wrong or self.apart)


def audit(
    normalizer: Normalizer,
    texts: Iterable[str],
    variants: Sequence[tuple[str, str, str]] = (),
    judged: Sequence[Judged] = (),
) -> Audit:
    """Return what ``normalizer`` does to ``texts``.

    Args:
        normalizer: whose merges are attributed to its rules, if it has rules.
        texts: utterances, or a word list.
        variants: pairs (left, right, rule) that have to become equal.
        judged: pairs with a verdict: of what was sampled before, and of what must stay distinct.

    Raises:
        DataError: there is no word in the texts.
    """
    lines = [text for text in texts if text.strip()]
    words = sorted({word for line in lines for word in line.split()})
    if not words:
        raise DataError("there is no word to audit in this text")
    results = {word: squeeze_spaces(normalizer(word)) for word in words}
    marks, kept = _marks(lines), _marks(map(normalizer, lines))
    known = {frozenset((one.left, one.right)): one.verdict for one in judged}
    wrong = tuple(
        (one.left, one.right, one.rule)
        for one in judged
        if one.verdict == "distinct" and normalizer(one.left) == normalizer(one.right)
    )
    return Audit(
        signature=normalizer.signature(),
        words=len(words),
        left=len(set(results.values())),
        rules=tuple(_of_rules(normalizer, words, results, known, wrong)),
        marks=marks,
        marks_deleted=max(0, marks - kept),
        split=tuple(word for word, result in results.items() if len(result.split()) > 1 and not _has_sign(word)),
        emptied=tuple(word for word, result in results.items() if not result.strip() and _has_letter(word)),
        joined=sum(_joins(line, normalizer(line), results) for line in lines),
        apart=tuple((a, b, rule) for a, b, rule in variants if normalizer(a) != normalizer(b)),
        variants=len(variants),
        wrong=wrong,
    )


# --- merges -------------------------------------------------------------------------------------------------------


def merges(normalizer: Normalizer, words: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the merges of word types by the rule after which they are equal.

    A class of k types that become equal counts k - 1 merges: where two classes meet, their first words are the pair.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    classes: dict[str, str] = {}  # what a class is written as after the last rule: its first word
    for word in sorted(words):
        classes.setdefault(word, word)
    for name, texts in _stages(normalizer, list(classes)):
        pairs: list[tuple[str, str]] = []
        after: dict[str, str] = {}
        firsts: dict[str, str] = {}
        for _, first in classes.items():
            now = texts[first]
            if now in after:
                pairs.append((after[now], first))
            else:
                after[now] = first
            firsts[first] = now
        classes = {firsts[first]: first for first in after.values()}
        found[name] = pairs
    return found


def _stages(normalizer: Normalizer, words: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each active rule's name with every word as it leaves the rule; spaces around a word part nothing."""
    if not isinstance(normalizer, RuleBased):
        yield WHOLE, {word: normalizer(word).strip() for word in words}
        return
    stages: dict[str, dict[str, str]] = defaultdict(dict)
    for word in words:
        for rule, text in normalizer.trace(word):
            stages[rule.name][word] = squeeze_spaces(text)
    for rule in normalizer.active:
        yield rule.name, stages[rule.name]


def _of_rules(
    normalizer: Normalizer,
    words: Sequence[str],
    results: Mapping[str, str],
    known: Mapping[frozenset[str], str],
    wrong: Sequence[tuple[str, str, str]],
) -> Iterator[RuleAudit]:
    rules: dict[str, TextRule] = {r.name: r for r in normalizer.active} if isinstance(normalizer, RuleBased) else {}
    for name, pairs in merges(normalizer, words).items():
        said = [known.get(frozenset(pair)) for pair in pairs]
        yield RuleAudit(
            name=name,
            judged=name not in rules or rules[name].judged,
            pairs=tuple(pairs),
            verdicts={verdict: said.count(verdict) for verdict in ("equal", "distinct")},
            wrong=tuple((left, right) for left, right, rule in wrong if rule == name),
        )


def sample(found: Audit, judged: Sequence[Judged], size: int, seed: int = 0) -> list[Judged]:
    """Return merges of judgement rules that nobody has judged yet, at most ``size`` a rule, with an empty verdict."""
    known = {frozenset((one.left, one.right)) for one in judged}
    drawn: list[Judged] = []
    for rule in found.rules:
        if rule.judged:
            unknown = [pair for pair in rule.pairs if frozenset(pair) not in known]
            chosen = random.Random(f"{seed}:{rule.name}").sample(unknown, min(size, len(unknown)))
            drawn += [Judged(rule.name, left, right, "") for left, right in sorted(chosen)]
    return drawn


# --- what is lost and where words part ----------------------------------------------------------------------------


def _marks(texts: Iterable[str]) -> int:
    """Return the combining marks in texts; NFD first, so that composing is no deletion."""
    return sum(unicodedata.category(char)[0] == "M" for text in texts for char in unicodedata.normalize("NFD", text))


def _has_sign(word: str) -> bool:
    return any(unicodedata.category(char)[0] in "PS" for char in word)


def _has_letter(word: str) -> bool:
    return any(unicodedata.category(char)[0] in "LMN" for char in word)


def _joins(line: str, result: str, results: Mapping[str, str]) -> bool:
    return len(result.split()) < sum(len(results[word].split()) for word in line.split())

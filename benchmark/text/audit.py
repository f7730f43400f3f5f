"""The audit of a normaliser: which words it makes equal, by which rule, what it deletes, splits and joins. No torch.

Two sins are measured on real text. *Over-simplification*: different words become equal. Every merge of word types is
attributed to the rule that made it; merges of rules that are right by construction need no judge, those of judgement
rules (``TextRule.judged``) are sampled and judged pair by pair. *Over-preservation*: spellings of one word stay apart;
known pairs of variants tell how many.

A word type is what stands between white space in the text as it is, so punctuation is part of it and the rule that
takes it away is credited with what it merges. A type of which nothing is left (a dash, an emoji) merges with no word
and is counted apart.
"""

from __future__ import annotations

import random
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmark.api import Judged, Normalizer
from benchmark.errors import DataError, SpecError
from benchmark.text.common import squeeze_spaces
from benchmark.text.rules import RuleBased

WHOLE = "(the whole)"
"""The rule of a normaliser that is not made of rules."""


class BrokenError(SpecError):
    """A normaliser that raised, or returned something that is no string: a plug-in's fault, not the user's."""


@dataclass(frozen=True)
class Merge:
    """Two word types that are different before a rule and equal after it.

    Of a judgement rule the two are spelled as the rules that are right by construction leave them, because that is what
    is judged; of any other rule they stand as in the text.
    """

    left: str
    right: str
    verdict: str = ""
    """``equal`` or ``distinct`` where somebody has judged it."""


@dataclass(frozen=True)
class RuleAudit:
    """What one rule merged."""

    name: str
    judged: bool
    """Whether its merges are a judgement, and not right by construction."""
    merges: tuple[Merge, ...]

    def count(self, verdict: str) -> int:
        """Return how many merges have this verdict; those without one have the empty one."""
        return sum(one.verdict == verdict for one in self.merges)


@dataclass(frozen=True)
class Audit:
    """What a normaliser did to a text. All counts are of word types, marks of the running text."""

    signature: str
    words: int
    """Word types of the text as it is."""
    left: int
    """Distinct results: a type that becomes several words counts as one result, one that vanishes as none."""
    rules: tuple[RuleAudit, ...]
    marks: int
    """Combining marks (Unicode category M) in the running text, canonically decomposed."""
    marks_deleted: int
    split: tuple[str, ...]
    """Types without punctuation or symbol that become more than one word."""
    vanished: tuple[str, ...]
    """Types of which nothing is left."""
    emptied: tuple[str, ...]
    """Those of them that have a letter or digit."""
    joined: int
    """Utterances that have fewer words after normalisation than their words have one by one."""
    apart: tuple[tuple[str, str, str], ...] = ()
    """Known variants (left, right, rule) that stay different."""
    variants: int = 0
    wrong: tuple[tuple[str, str, str], ...] = field(default=())
    """Pairs that must stay distinct and became equal (left, right, rule)."""

    @property
    def merged(self) -> int:
        """Word types that became equal to another: of k that are equal, k - 1."""
        return self.words - len(self.vanished) - self.left

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
        BrokenError: the normaliser fails on a text, or returns something that is no string.
    """
    normalise = partial(_called, normalizer)
    lines = [text for text in texts if text.strip()]
    words = sorted({word for line in lines for word in line.split()})
    if not words:
        raise DataError("there is no word to audit in this text")
    results = {word: squeeze_spaces(normalise(word)) for word in words}
    done = [normalise(line) for line in lines]
    marks = _marks(lines)
    vanished = tuple(word for word, result in results.items() if not result)
    return Audit(
        signature=normalizer.signature(),
        words=len(words),
        left=len(set(filter(None, results.values()))),
        rules=tuple(_of_rules(normalizer, words, judged)),
        marks=marks,
        marks_deleted=max(0, marks - _marks(done)),
        split=tuple(word for word, result in results.items() if " " in result and not _has(word, "PS")),
        vanished=vanished,
        emptied=tuple(word for word in vanished if _has(word, "LN")),
        joined=sum(_joins(line, result, results) for line, result in zip(lines, done, strict=True)),
        apart=tuple((a, b, rule) for a, b, rule in variants if normalise(a) != normalise(b)),
        variants=len(variants),
        wrong=tuple(
            (one.left, one.right, one.rule)
            for one in judged
            if one.verdict == "distinct" and normalise(one.left) == normalise(one.right)
        ),
    )


def _called(normalizer: Normalizer, text: str) -> str:
    """Return the normalised text; a plug-in's fault, whatever it is, names the plug-in and the text."""
    try:
        result: object = normalizer(text)
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode()
        raise BrokenError(f"normalizer {normalizer.name!r} fails on {text!a:.60}: {' '.join(said.split())}") from error
    if not isinstance(result, str):
        raise BrokenError(f"normalizer {normalizer.name!r} returns {type(result).__name__}, not str, on {text!a:.60}")
    return result


# --- merges -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stage:
    """A rule, and every word as it leaves it; spaces around a word part nothing."""

    name: str
    judged: bool
    texts: Mapping[str, str]


def merges(normalizer: Normalizer, words: Iterable[str], judged: Sequence[Judged] = ()) -> dict[str, list[Merge]]:
    """Return the merges of word types by the rule after which they are equal.

    A class of k types that become equal counts k - 1 merges: where two classes meet, their first words are the pair. It
    has the verdict of any judged pair of which one lies in the one class and one in the other; ``distinct`` outweighs.
    The cost is that of tracing each word once.
    """
    every = sorted(set(words))
    stages = _stages(normalizer, every)
    spelled = _spelled(stages, every)
    partners = _partners(normalizer, judged)
    staying = (word for word in every if not stages or stages[-1].texts[word])
    classes = {word: {spelled[word]} & partners.keys() for word in staying}  # by its first word; what of it was judged
    found: dict[str, list[Merge]] = {}
    for stage in stages:
        firsts: dict[str, str] = {}
        met: dict[str, set[str]] = {}
        found[stage.name] = []
        for word, known in classes.items():
            first = firsts.setdefault(stage.texts[word], word)
            if first == word:
                met[word] = known
                continue
            shown = (spelled[first], spelled[word]) if stage.judged else (first, word)
            found[stage.name].append(Merge(*shown, _verdict(partners, known, met[first])))
            met[first] |= known
        classes = met
    return found


def _stages(normalizer: Normalizer, words: Sequence[str]) -> list[_Stage]:
    if not isinstance(normalizer, RuleBased):
        return [_Stage(WHOLE, True, {word: squeeze_spaces(normalizer(word)) for word in words})]
    texts: list[dict[str, str]] = [{} for _ in normalizer.active]
    for word in words:
        for stage, (_, text) in zip(texts, normalizer.trace(word), strict=True):
            stage[word] = squeeze_spaces(text)
    return [_Stage(rule.name, rule.judged, stage) for rule, stage in zip(normalizer.active, texts, strict=True)]


def _spelled(stages: Sequence[_Stage], words: Iterable[str]) -> Mapping[str, str]:
    """Return each word as it enters the first judgement rule: without punctuation, in one encoding."""
    before: Mapping[str, str] = {word: word for word in words}
    for stage in stages:
        if stage.judged:
            break
        before = stage.texts
    return before


def _partners(normalizer: Normalizer, judged: Sequence[Judged]) -> dict[str, dict[str, str]]:
    """Return, for each judged word as judgement rules see it, the words that it was judged with."""
    words = list(dict.fromkeys(word for one in judged for word in (one.left, one.right)))
    spelled = _spelled(_stages(normalizer, words), words)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for one in sorted(judged, key=lambda one: one.verdict == "distinct"):  # the last one stays
        for here, there in ((one.left, one.right), (one.right, one.left)):
            found[spelled[here]][spelled[there]] = one.verdict
    return found


def _verdict(partners: Mapping[str, Mapping[str, str]], here: set[str], there: set[str]) -> str:
    found = {said for word in here for other, said in partners[word].items() if other in there}
    return "distinct" if "distinct" in found else "equal" if "equal" in found else ""


def _of_rules(normalizer: Normalizer, words: Sequence[str], judged: Sequence[Judged]) -> Iterator[RuleAudit]:
    of = {rule.name: rule.judged for rule in normalizer.active} if isinstance(normalizer, RuleBased) else {}
    for name, found in merges(normalizer, words, judged).items():
        yield RuleAudit(name, of.get(name, True), tuple(found))


def sample(found: Audit, size: int, seed: int = 0) -> list[Judged]:
    """Return merges of judgement rules that nobody has judged yet, at most ``size`` a rule, with an empty verdict."""
    drawn: list[Judged] = []
    for rule in found.rules:
        unknown = [one for one in rule.merges if not one.verdict] if rule.judged else []
        chosen = random.Random(f"{seed}:{rule.name}").sample(unknown, min(size, len(unknown)))
        drawn += sorted(Judged(rule.name, one.left, one.right, "") for one in chosen)
    return drawn


# --- what is lost and where words part ----------------------------------------------------------------------------


def _marks(texts: Iterable[str]) -> int:
    """Return the combining marks in texts; NFD first, so that composing is no deletion."""
    return sum(unicodedata.category(char)[0] == "M" for text in texts for char in unicodedata.normalize("NFD", text))


def _has(word: str, categories: str) -> bool:
    return any(unicodedata.category(char)[0] in categories for char in word)


def _joins(line: str, result: str, results: Mapping[str, str]) -> bool:
    return len(result.split()) < sum(len(results[word].split()) for word in line.split())

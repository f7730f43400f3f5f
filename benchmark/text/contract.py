"""What every normaliser promises, as plain functions: for our own tests, and for those of plug-ins outside. No torch.

    from benchmark.text import contract

    def test_it_keeps_the_contract():
        contract.check_normalizer("my_language")

A broken promise is an ``AssertionError`` that says which, with the text that broke it. The texts are a fixed pool: real
words of many scripts, texts that are known to be nasty, and random ones from a fixed seed. ``check_speed`` measures
time and is therefore a function of its own.
"""

from __future__ import annotations

import re
import time
from typing import Any

from benchmark.api import Normalizer
from benchmark.errors import SpecError
from benchmark.promises import check_described, check_words, promise
from benchmark.registry import REGISTRY
from benchmark.text.chosen import chosen
from benchmark.text.rules import RuleBased, TextRule
from benchmark.text.samples import LONG, PLAIN, pool

SIZES = (1 << 13, 1 << 16)
"""Characters of the two texts that ``check_speed`` compares by default."""
SLOWER = 3.0
"""By how much time may grow faster than the text, for what a busy machine adds; a square grows by the sizes' ratio."""
_HARD_FOR_REFERENCES = ("openings", "closed", "spaces", "combining marks", "digits", "groups")
_SURE = 2.0  # seconds; so long is no hiccup of the machine
_FLOOR = 0.1  # seconds; below it, a busy machine and not the text makes the time


def check_normalizer(name: str, /, **options: Any) -> None:
    """Check all that a normaliser promises with these options, but for its speed."""
    check_card(name)
    check_options(name, **options)
    check_texts(name, **options)
    check_rules(name, **options)


def check_card(name: str, /) -> None:
    """Check that the class docstring says what the normaliser does, first in one line, and what it is for."""
    plugin: type[Normalizer] = REGISTRY.lookup("normalizer", name)
    check_words(name, plugin.card())
    promise(plugin.unit in ("word", "char"), f"{name}: unit is {plugin.unit!r}; it is word or char")
    for code in plugin.languages:
        promise(
            re.fullmatch("[a-z]{2,3}", code) is not None,
            f"{name}: {code!r} is no language code as Whisper has them, e.g. hi or yue",
        )


def check_options(name: str, /, **options: Any) -> None:
    """Check that options are typed and described, and that the signature tells them and makes the same again."""
    normalizer: Normalizer = REGISTRY.get("normalizer", name, **options)
    config, kind = normalizer.config, type(normalizer.config)
    check_described(name, config)
    again = kind.model_validate_json(config.model_dump_json())
    promise(again == config, f"{name}: options change on their way through JSON")
    signature = normalizer.signature()
    promise(
        re.fullmatch(rf"{re.escape(name)}:[\w.+-]+(\[\w+=[^\[\]]+\])?", signature) is not None,
        f"{name}: the signature {signature!r} is not NAME:VERSION or NAME:VERSION[option=value,...]",
    )
    promise(
        chosen(signature).config == config, f"{name}: the signature {signature!r} does not make the normaliser it names"
    )
    unknown = "_no_such_option"
    try:
        REGISTRY.get("normalizer", name, **{unknown: 1})
    except SpecError:
        return
    raise AssertionError(f"{name}: an unknown option is taken; derive Config from benchmark.api.Config")


def check_texts(name: str, /, **options: Any) -> None:
    """Check that it takes every string, always says the same, leaves letters, and is a fixed point (no reference)."""
    one: Normalizer = REGISTRY.get("normalizer", name, **options)
    other: Normalizer = REGISTRY.get("normalizer", name, **options)
    texts = pool()
    found = [_said(name, one, text) for text in texts]
    for text, said in zip(reversed(texts), reversed(found), strict=True):
        promise(
            _said(name, other, text) == said,
            f"{name}: two instances, or the same one in another order, say different things of {text!a}",
        )
        check_fixed_point(one, said, text)
    _check_letters(name, one)


def check_fixed_point(normalizer: Normalizer, said: str, text: str) -> None:
    """Check that what the normaliser said of a text stays as it is; references are other people's, and let off."""
    if not normalizer.reference:
        twice = normalizer(said)
        promise(
            twice == said,
            f"{normalizer.signature()}: no fixed point: {text!a} becomes {said!a}, and that becomes {twice!a}",
        )


def check_rules(name: str, /, **options: Any) -> None:
    """Check the rules of a rule-based normaliser: names, examples, and that each switch alone does what it says.

    A rule's two example texts are equal with the rule, and for a rule of judgement differ without it; without it the
    result is a fixed point too. A rule that is off unless asked for, and asks for a library that is not installed,
    cannot be tried here.
    """
    normalizer = REGISTRY.get("normalizer", name, **options)
    if not isinstance(normalizer, RuleBased):
        return
    names = [rule.name for rule in normalizer.program]
    promise(len(names) == len(set(names)), f"{name}: two rules have one name: {', '.join(names)}")
    nasty = pool()[::7]
    for rule in normalizer.chosen():
        promise(bool(rule.what.strip()), f"{name}: rule {rule.name} does not say what it does and why")
        try:
            on = REGISTRY.get("normalizer", name, **{**options, rule.name: True})
        except SpecError:
            if rule.default:
                raise
            continue
        off = REGISTRY.get("normalizer", name, **{**options, rule.name: False})
        _check_example(name, rule, on, off)
        for switched in (on, off):
            for text in nasty:
                check_fixed_point(switched, _said(name, switched, text), text)


def check_speed(name: str, /, sizes: tuple[int, int] = SIZES, **options: Any) -> None:
    """Check that time grows as the text does, on texts that are hard for regular expressions.

    References are not asked about brackets, runs of spaces or of marks and numbers of thousands of digits, on which
    Whisper's own take the square. Time is that of the processor, since other programs may be running.
    """
    normalizer: Normalizer = REGISTRY.get("normalizer", name, **options)
    normalizer(LONG["sentences"][:1000])  # what is made on first use is no part of it
    small, large = sizes
    for kind, unit in LONG.items():
        if normalizer.reference and kind in _HARD_FOR_REFERENCES:
            continue
        bound = SLOWER * large / small
        for _ in range(3):  # another process may take the processor away, but not three times
            quick = max(_seconds(normalizer, _long(unit, small)), _FLOOR * small / large)
            slow = _seconds(normalizer, _long(unit, large))
            linear = slow < _FLOOR or slow / quick <= bound
            if linear or slow > _SURE:
                break
        promise(
            linear,
            f"{name}: {large} characters of {kind} take {slow:.2f} s and {small} take {quick:.4f} s: more than "
            f"{SLOWER:g} times what they would if time grew as the text does",
        )


def _said(name: str, normalizer: Normalizer, text: str) -> str:
    try:
        said = normalizer(text)
    except Exception as error:
        raise AssertionError(f"{name}: raises {type(error).__name__}: {error} at {text!a}") from error
    promise(isinstance(said, str), f"{name}: returns {type(said).__name__} for {text!a}, not a string")
    return said


def _check_letters(name: str, normalizer: Normalizer) -> None:
    """Check that words of every script keep letters or digits, and that different words do not all become one."""
    said = {script: normalizer(text) for script, text in PLAIN.items()}
    for script, left in said.items():
        promise(
            any(char.isalnum() for char in left),
            f"{name}: nothing is left of {PLAIN[script]!r} ({script}) but {left!r}",
        )
    promise(len(set(said.values())) == len(said), f"{name}: words of different scripts become the same")


def _check_example(name: str, rule: TextRule, on: Normalizer, off: Normalizer) -> None:
    one, two = rule.example
    said = on(one), on(two)
    promise(
        said[0] == said[1],
        f"{name}: rule {rule.name} makes {one!r} and {two!r} equal, it says, but they are {said[0]!r} and {said[1]!r}",
    )
    # Where the rule is no judgement, another may do the same to it: a group sign becomes a space, which groups as well.
    shows = off(one) != off(two) if rule.judged else rule.apply(one) != one or rule.apply(two) != two
    promise(shows, f"{name}: rule {rule.name} does nothing to its examples {one!r} and {two!r}, so they show nothing")


def _long(unit: str, size: int) -> str:
    return (unit * (size // len(unit) + 1))[:size]


def _seconds(normalizer: Normalizer, text: str) -> float:
    start = time.process_time()
    normalizer(text)
    return time.process_time() - start

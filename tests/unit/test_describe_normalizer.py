"""``prunebench describe normalizer``: its rules, each with what it folds, why, and two texts that become equal."""

from __future__ import annotations

import re
from typing import ClassVar

import pytest
from pydantic import Field

from benchmark.api import Config
from benchmark.cli.main import invoke
from benchmark.registry import REGISTRY
from benchmark.text.rules import RuleBased, TextRule


@pytest.fixture
def described(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Describe a normaliser on a wide screen; return what is printed."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(name: str) -> str:
        assert invoke(["describe", "normalizer", name]) == 0
        return capsys.readouterr().out

    return run


def row(said: str, name: str) -> str:
    """Return the line that begins with ``name``, its cells with one space between."""
    (line,) = re.findall(rf"^{name} .*$", said, re.MULTILINE)
    return " ".join(line.split())


@pytest.mark.parametrize(
    "name", [name for name, plugin in REGISTRY.plugins("normalizer") if hasattr(plugin, "program")]
)
def test_every_rule_is_listed_in_its_order_with_its_example(described, name: str) -> None:
    said = described(name)
    rules = REGISTRY.lookup("normalizer", name).program
    listed = re.findall(r"^(\w+) +(on|off) +(construction|judgement) ", said, re.MULTILINE)
    kinds = {False: "construction", True: "judgement"}
    assert listed == [(rule.name, "on" if rule.default else "off", kinds[rule.judged]) for rule in rules]
    for rule in rules:
        assert rule.what in said
    assert f"{name}[{rules[0].name}=off]" in said


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("hindi", ["languages: hi", "unit: word", "reference: no", "options: a switch for each rule"]),
        ("default", ["languages: none, it is chosen by its name", "reference: no"]),
        ("whisper_basic", ["reference: yes", "owner: normalizers.whisper_basic.WhisperBasic"]),
        ("identity", ["options: none"]),
    ],
)
def test_languages_unit_and_whose_it_is(described, name: str, facts: list[str]) -> None:
    lines = described(name).splitlines()
    for fact in facts:
        assert fact in lines
    assert ("right by" in described(name)) is hasattr(REGISTRY.lookup("normalizer", name), "program")


class MineConfig(Config):
    share: float = Field(default=0.5, gt=0, description="of something")


class Mine(RuleBased):
    """Has an option besides its rules, a rule that is off, and examples that the eye cannot tell apart."""

    Config = MineConfig
    program: ClassVar[tuple[TextRule, ...]] = (
        TextRule("encoding", True, "one word", ("caf\u00e9", "cafe\u0301"), str, judged=True),
        TextRule("joiner", False, "display", ("a\u200cb", "ab"), str),
        TextRule("marks", True, "brackets", ("[b]old", "bold"), str),
    )


def test_what_looks_the_same_is_shown_apart(described, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY._plugins, "normalizer", {"mine": Mine})
    monkeypatch.setitem(REGISTRY._owners, ("normalizer", "mine"), "tests.Mine")
    monkeypatch.setattr(Mine, "name", "mine", raising=False)
    said = described("mine")
    assert row(said, "encoding") == r"encoding on judgement one word 'caf\xe9' = 'cafe\u0301'"
    assert row(said, "joiner") == r"joiner off construction display 'a\u200cb' = 'ab'"
    assert row(said, "marks") == "marks on construction brackets '[b]old' = 'bold'"
    assert re.search(r"^share +float > 0 +0\.5 +of something", said, re.MULTILINE)
    assert "options:" not in said  # those besides the rules are in a table of their own
    assert said.count("encoding ") == 1

"""The card of every method says where it comes from, what it costs and what it removes."""

from __future__ import annotations

import re

import pytest

from benchmark.cli._plugins import card
from benchmark.cli.main import invoke
from benchmark.registry import REGISTRY

BY_ITS_PARTS = ("compose",)  # source, cost and removal are those of the methods that they are made of
OURS = [name for name in REGISTRY.names("method") if REGISTRY.owner("method", name).startswith("methods.")]


@pytest.mark.parametrize("name", [name for name in OURS if name not in BY_ITS_PARTS])
def test_a_card_names_source_cost_and_what_is_removed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["describe", "method", name]) == 0
    shown = capsys.readouterr().out
    (last,) = (part for part in shown.split("\n\n") if part.startswith("Source: "))
    facts = re.fullmatch(r"Source: (.+)\. Cost: (.+)\. Removes: (.+)\.", " ".join(last.split()))
    assert facts is not None
    source, cost, _ = facts.groups()
    assert source.startswith("no paper") or re.search(r"\d{4}", source)
    assert "training" in cost


@pytest.mark.parametrize("name", OURS)
def test_a_card_begins_with_one_sentence_on_a_line_of_its_own(name: str) -> None:
    first, _, rest = card(REGISTRY.lookup("method", name)).partition("\n")
    assert first[0].isupper() and first.endswith(".")
    assert not rest or rest.startswith("\n")


@pytest.mark.parametrize("name", OURS)
def test_an_arxiv_number_stands_beside_every_paper(name: str) -> None:
    """Names and years alone are easily wrong: each paper that is cited can be looked up."""
    text = " ".join(card(REGISTRY.lookup("method", name)).partition("Source:")[0].split())
    cited = re.findall(r"et al\. \d{4}", text)
    assert len(cited) <= len(re.findall(r"\d{4}\.\d{5}", text)) + text.count("Simon et al. 2013")  # no arXiv there

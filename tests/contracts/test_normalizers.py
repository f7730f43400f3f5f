"""What every normaliser promises: pure, total, idempotent unless it is somebody else's, and signed."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.registry import REGISTRY

NAMES = REGISTRY.names("normalizer")
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=60)
DEVANAGARI = st.text(st.sampled_from("कखगघङजडढणतनपफबमयरलवशषसहाििीुूेैोौंँः़्ऽ। ॰.,:'’-%१२0a\u200c\u200d"), max_size=30)
TEXT = "हमने उस उम्मीदवार को चुना। हिन्दी, ज़रूर; १२३ Mobile! 10:30 ए.पी.जे. हाँ—गये"
GOLDEN = {
    "hindi": "हमने उस उम्मीदवार को चुना हिंदी जरूर 123 mobile 10 30 एपीजे हां गए",
    "identity": TEXT,
}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(text=ANYTHING | DEVANAGARI)
def test_total_deterministic_and_idempotent(name: str, text: str) -> None:
    normalizer = REGISTRY.get("normalizer", name)
    once = normalizer(text)
    assert isinstance(once, str)
    assert normalizer(text) == once
    if not normalizer.reference:
        assert normalizer(once) == once


@pytest.mark.parametrize("name", NAMES)
def test_signature_names_normaliser_and_version(name: str) -> None:
    normalizer = REGISTRY.get("normalizer", name)
    assert re.fullmatch(rf"{name}:[\w.]+(\[.+\])?", normalizer.signature())
    assert normalizer.unit in ("word", "char")
    assert normalizer.card()


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden_text(name: str) -> None:
    """A change here is a change of behaviour: raise the normaliser's version."""
    assert REGISTRY.get("normalizer", name)(TEXT) == GOLDEN[name]


def test_a_long_text_is_linear() -> None:
    normalizer = REGISTRY.get("normalizer", "hindi")
    long = (TEXT + " ") * 2000
    assert (
        hashlib.sha256(normalizer(long).encode()).digest()
        == hashlib.sha256(normalizer(normalizer(long)).encode()).digest()
    )

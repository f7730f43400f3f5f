"""What the tests of several normalisers ask of text: normalised once more, it stays."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.api import Normalizer


def check_fixed_point(normalizer: Normalizer, texts: st.SearchStrategy[str]) -> None:
    """Try a normaliser on texts of a strategy."""

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(texts)
    def check(text: str) -> None:
        once = normalizer(text)
        assert normalizer(once) == once

    check()

"""What every normaliser promises: pure, total, idempotent unless it is somebody else's, signed, in linear time."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.api import Normalizer
from benchmark.registry import REGISTRY
from benchmark.text import contract
from benchmark.text.samples import LONG, PLAIN, pool

NAMES = REGISTRY.names("normalizer")
MEGABYTE = 1 << 20

# Signs at which rules decide, beside the letters of one script: what a text of that script could hold.
SIGNS = " .,:;'’`´-–()[]<>%&+$€₹°!?0123456789\u00a0\u202f\u200c\u200d\u200e\u00ad\ufe0f\u20e3\u02bc\n"
ALPHABETS = {
    "latin": "abIİıßSsŞéñœæÆﬁǅK\u212aªºîûâ\u0301\u0307\u0327\u0323",
    "greek": "ΑΣσςάᾼΩ\u2126\u0345\u0301",
    "cyrillic": "АбЁёЙй\u0306\u0308",
    "arabic": "اأإآىيیكکةهہۂلا\u064b\u0651\u0653\u0654\u0670ـ،؛؟١٢٣۱۲۳٫٬ﷲﻻ",
    "hebrew": "אבגשׁ\u05b8\u05bc״׳־",
    "devanagari": "कखगघङजडढणतनपफबमयरलवशषसहअआइईउऊएऐओऔाििीुूेैोौंँः़्ऽक़ज़ड़ऩऱ।॥॰१२३",
    "bengali": "অআকখডঢযৎরািীেৈৌোংঃঁ়্ৗৰ১২৩।য়ড়",
    "gurmukhi": "ਅਆਕਖਸਜਫਾਿੀੁੂੇੈੋੌੰੱਂ਼੍ਸ਼੧੨।",
    "gujarati": "અઆકખનમાિીુેોંઃ઼્૧૨",
    "odia": "ଅଆକଡଢଯାିୀେୈୋୌଂ଼୍ୖୗଡ଼୧୨",
    "tamil": "அஆகஙதநனமரறாிீெேைொோௌ்ௗஃ௧௨",
    "telugu": "అఆకనమరాిీెేైొోౌంఃృ్ౖ౧౨",
    "kannada": "ಅಆಕನಮರಾಿೀೆೇೈೊೋೌಂಃೃ್ೕೖ಼೧೨",
    "malayalam": "അആകനണമരറലളാിീെേൈൊോൌംഃ്ൗൻർൽൾൺൿ൧൨",
    "thai": "กขคงนมรวาำิีึืุูเแโใไ็่้๊๋์ํๆฯ๑๒",
    "khmer": "កខគងាិីុ្ៗ។៕\u17b4\u17d2",
    "burmese": "ကခဂငာိီုူေံ့းျြ၊။၏၌",
    "tibetan": "ཀཁགང\u0f71\u0f72\u0f73\u0fb2\u0f80་།",
    "chinese": "我们說说漢汉語一二三〇，。「」・𠮷",
    "japanese": "あいうがカガｶﾞﾞ\u3099ー々〆、。",
    "korean": "가각힣ᄀ\u1161\u11a8ㄱ",
    "symbols": "½²ⅳ⑴㎏（）≮≢\u0338👩👍\U0001f3fd🇮🇳☃©™\ud800\udfff\ue000\u0378\U0010ffff",
}
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=40)


@cache
def _made(name: str) -> Normalizer:
    found: Normalizer = REGISTRY.get("normalizer", name)
    return found


@st.composite
def _texts(draw: st.DrawFn) -> str:
    """Letters of one script, or of two mixed, and signs."""
    chosen = draw(st.lists(st.sampled_from(sorted(ALPHABETS)), min_size=1, max_size=2))
    letters = "".join(ALPHABETS[script] for script in chosen)
    return "".join(draw(st.lists(st.sampled_from(letters + SIGNS + letters), max_size=24)))


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract(name: str) -> None:
    contract.check_normalizer(name)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(text=ANYTHING | _texts())
def test_total_deterministic_and_idempotent(name: str, text: str) -> None:
    normalizer = _made(name)
    once = normalizer(text)
    assert isinstance(once, str)
    assert REGISTRY.get("normalizer", name)(text) == once
    contract.check_fixed_point(normalizer, once, text)


@pytest.mark.parametrize("name", NAMES)
def test_a_megabyte_of_nasty_text(name: str) -> None:
    """Pieces of every kind, short enough for the wrappers of others, whose expressions take the square of a run."""
    piece = "".join((unit * 200)[:200] + "a " for unit in LONG.values())
    normalizer = _made(name)
    once = normalizer((piece * (MEGABYTE // len(piece) + 1))[:MEGABYTE])
    assert len(once) > 1000
    contract.check_fixed_point(normalizer, once, "a megabyte")


@pytest.mark.parametrize("name", NAMES)
def test_time_grows_as_the_text_does(name: str) -> None:
    contract.check_speed(name)


@pytest.mark.benchmark
@pytest.mark.parametrize("name", NAMES)
def test_a_megabyte_of_each_kind_in_linear_time(name: str) -> None:
    contract.check_speed(name, sizes=(MEGABYTE // 4, MEGABYTE))


def test_the_pool_is_fixed_and_has_every_script() -> None:
    assert pool() is pool()
    assert len(pool()) > 1000
    assert len(PLAIN) > 30
    assert any("\ud800" in text for text in pool())

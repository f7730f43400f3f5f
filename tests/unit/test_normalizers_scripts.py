"""Normalisers of other scripts: what must become equal, what must stay distinct, and what needs a library."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.text.chosen import chosen, for_language
from benchmark.text.rules import RuleBased

EQUAL = [
    ("indic", "ড\u09bcা", "ডা\u09bc"),  # nukta typed after the vowel sign
    ("indic", "অা", "আ"),
    ("indic", "ಕೂಡಾ", "ಕೂಡಾ\u200c"),
    ("indic", "ന\u0d4d\u200d", "ൻ"),
    ("indic", "પણ્ડિત", "પંડિત"),
    ("indic", "ଅଙ୍ଗ", "ଅଂଗ"),
    ("indic", "১০:৩০", "10 30"),
    ("indic", "प्रात:काल", "प्रातःकाल"),
    ("indic", "کہاں ہے؟", "کہاں ہے"),
    ("arabic", "إن شاء الله", "ان شاء الله"),
    ("arabic", "\u0627\u0654\u062d\u0645\u062f", "احمد"),
    ("thai", "กำ", "ก\u0e4d\u0e32"),
    ("cjk", "３．１４", "3.14"),
    ("cjk", "コンピューター", "ｺﾝﾋﾟｭｰﾀｰ"),
]
DISTINCT = [
    ("indic", "কান", "কাঁন"),  # chandrabindu
    ("indic", "পর", "পড়"),
    ("indic", "ডাল", "ড়াল"),  # nukta
    ("indic", "দিন", "দীন"),  # vowel length
    ("indic", "ਪਤਾ", "ਪੱਤਾ"),  # addak
    ("indic", "ന്ന", "ന"),
    ("indic", "കാൻ", "കാന"),  # chillu is no full consonant
    ("indic", "கல்", "கள்"),
    ("indic", "அந்த", "அநத"),  # virama
    ("indic", "दऱ्या", "दर्या"),  # eyelash ra: valleys, sea
    ("indic", "ಹಿನ್ನೆಲೆ", "ಹಿಂನೆಲೆ"),  # a nasal before a nasal
    ("indic", "ہے", "ہی"),
    ("arabic", "على", "علي"),
    ("arabic", "كتابة", "كتابه"),
    ("arabic", "سؤال", "سوال"),
    ("thai", "ใกล้", "ไกล"),
    ("thai", "ปา", "ป่า"),  # tone
    ("thai", "กัน", "กน"),
    ("cjk", "はし", "ハシ"),
    ("cjk", "おばさん", "おばあさん"),
    ("cjk", "ビル", "ビール"),
    ("cjk", "後", "后"),
]


@pytest.mark.parametrize(("name", "left", "right"), EQUAL)
def test_equal(name: str, left: str, right: str) -> None:
    normalizer = REGISTRY.get("normalizer", name)
    assert normalizer(left) == normalizer(right)


@pytest.mark.parametrize(("name", "left", "right"), DISTINCT)
def test_distinct(name: str, left: str, right: str) -> None:
    normalizer = REGISTRY.get("normalizer", name)
    assert normalizer(left) != normalizer(right)


@pytest.mark.parametrize(("name", "rule", "text"), [
    ("indic", "letters", "ন\u09cd\u200dক ي"),
    ("indic", "visarga", "দু:খ"),
    ("indic", "nasal", "હિન્દી"),
    ("indic", "vowel_marks", "اُردو"),
    ("arabic", "presentation_forms", "\ufefb"),
    ("arabic", "tatweel", "كتـاب"),
    ("arabic", "vowel_marks", "كِتاب"),
    ("arabic", "alefs", "أحمد"),
    ("thai", "spaces", "ต่าง ๆ"),
    ("cjk", "spaces", "你 好"),
    ("cjk", "width", "ｶﾞ"),
])  # fmt: skip
def test_each_switch_switches(name: str, rule: str, text: str) -> None:
    assert chosen(name)(text) != chosen(f"{name}[{rule}=off]")(text)


@pytest.mark.parametrize("code", ["bn", "gu", "kn", "ml", "mr", "ne", "or", "pa", "ta", "te", "ur"])
def test_languages_of_south_asia_are_words(code: str) -> None:
    found = for_language(code)
    assert (found.name, found.unit) == ("indic", "word")


@pytest.mark.parametrize("code", ["zh", "ja", "yue", "th"])
def test_languages_without_spaces_are_characters(code: str) -> None:
    assert for_language(code).unit == "char"


SCRIPTS = {
    "indic": [range(0x0900, 0x0D80), range(0x0600, 0x0700)],
    "arabic": [range(0x0600, 0x0700), range(0xFB50, 0xFE00), range(0xFE70, 0xFF00)],
    "thai": [range(0x0E00, 0x0E80)],
    "cjk": [range(0x3000, 0x3100), range(0x4E00, 0x4E80), range(0xFF00, 0xFFF0)],
}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_fixed_point_over_its_own_script(name: str) -> None:
    letters = [chr(code) for block in SCRIPTS[name] for code in block] + list(" .,:1a\u200c\u200d\u0301")

    @settings(max_examples=300, deadline=None)
    @given(st.text(st.sampled_from(letters), max_size=12))
    def check(text: str) -> None:
        normalizer = REGISTRY.get("normalizer", name)
        once = normalizer(text)
        assert normalizer(once) == once

    check()


# --- traditional and simplified -------------------------------------------------------------------------------------


def test_both_scripts_become_one() -> None:
    for script in ("simplified", "traditional"):
        convert = chosen(f"cjk[script={script}]")
        assert convert("漢語 和 汉语") == convert("漢語和漢語") == convert("汉语和汉语")
        assert convert.signature() == f"cjk:{convert.version}[script={script}]"
    assert chosen("cjk")("漢語") != chosen("cjk")("汉语")


def test_conversion_is_a_fixed_point_over_all_common_characters() -> None:
    text = "".join(map(chr, range(0x4E00, 0x9FA6)))
    for script in ("simplified", "traditional"):
        convert = chosen(f"cjk[script={script}]")
        once = convert(text)
        assert len(once) == len(text)
        assert convert(once) == once


def test_lone_surrogates_pass() -> None:
    assert chosen("cjk[script=simplified]")("漢\ud800語") == "汉\ud800语"


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opencc", None)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"package opencc: pip install prunebench\[cjk\]"):
        REGISTRY.get("normalizer", "cjk", script="simplified")
    with pytest.raises(SpecError, match="script"):
        REGISTRY.get("normalizer", "cjk", script="klingon")


def test_every_rule_of_these_has_an_example_that_it_makes_equal() -> None:
    for name in SCRIPTS:
        plugin = REGISTRY.lookup("normalizer", name)
        assert issubclass(plugin, RuleBased)
        for rule in plugin.program:
            normalizer = plugin(**{rule.name: True})
            assert normalizer(rule.example[0]) == normalizer(rule.example[1]), (name, rule.name)

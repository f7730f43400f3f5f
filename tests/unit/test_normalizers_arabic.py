"""``arabic``: what each rule folds, what stays distinct, and fixed points with any rule switched."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from benchmark.errors import SpecError
from benchmark.text.chosen import chosen, for_language
from normalizers.arabic import Arabic
from tests.fixed_points import check_fixed_point

FOLDED = [  # rule, and two texts that it alone makes equal
    ("presentation_forms", "\ufedb\ufe98\ufe8e\ufe8f", "كتاب"),
    ("presentation_forms", "\ufdf2", "الله"),
    ("persian_letters", "کتاب", "كتاب"),
    ("persian_letters", "بیت", "بيت"),
    ("persian_letters", "علی", "على"),
    ("unicode", "ا\u0653ب", "آب"),
    ("unicode", "ى\u0654ر", "ئر"),
    ("tatweel", "مـحـمـد", "محمد"),
    ("vowel_marks", "مُحَمَّدٌ", "محمد"),
    ("vowel_marks", "الرحمٰن", "الرحمن"),
    ("vowel_marks", "صلى ﷲ عليه\u0610", "صلى الله عليه"),
    ("alefs", "إلى", "الى"),
    ("alefs", "القرآن", "القران"),
    ("alefs", "ٱسم", "اسم"),
    ("hamzas", "سماء", "سما"),
    ("hamzas", "رئيس", "رييس"),
    ("alef_maqsura", "على", "علي"),
    ("ta_marbuta", "كتابة", "كتابه"),
    ("digits", "٢٠٢٤", "2024"),
    ("digits", "۲۰۲۴", "2024"),
    ("punctuation", "نعم، شكرا؛ هل؟", "نعم شكرا هل"),
    ("joiners", "\u200fنعم\u200e", "نعم"),
]
DISTINCT = [
    ("على", "علي"),  # on, Ali
    ("كتابة", "كتابه"),  # writing, his book
    ("سؤال", "سوال"),
    ("سائل", "سايل"),
    ("ماء", "ما"),  # water, what
    ("قلب", "كلب"),  # heart, dog
    ("صيف", "سيف"),  # summer, sword
    ("ضل", "ظل"),  # strayed, remained
    ("ثورة", "تورة"),
    ("حرب", "هرب"),  # war, fled
    ("٣٫١٤", "314"),
    ("١٠:٣٠", "1030"),
]
PLAIN = "كِتَابٌ جَدِيدٌ، ١٢٣ "
ALPHABET = [chr(code) for code in (*range(0x600, 0x700), *range(0xFE70, 0xFF00), 0xFDF2, 0xFDFA, 0xFC5E)]
HOT = "اأإآٱؤئءىيیکكةه\u0653\u0654\u0655\u0640\u064e\u0651\u200d"
TEXTS = st.text(st.sampled_from(ALPHABET) | st.sampled_from(HOT + " .,:1a%'\u0301\u0316\u093c"), max_size=10)


@pytest.mark.parametrize(("rule", "left", "right"), FOLDED)
def test_each_rule_folds_what_it_says(rule: str, left: str, right: str) -> None:
    others = ",".join(f"{one.name}=off" for one in Arabic.program if one.judged and one.name != rule)
    others = others + "," if others else ""
    assert chosen(f"arabic[{others}{rule}=on]")(left) == chosen(f"arabic[{others}{rule}=on]")(right)
    if rule != "joiners":
        assert chosen(f"arabic[{others}{rule}=off]")(left) != chosen(f"arabic[{others}{rule}=off]")(right)


@pytest.mark.parametrize(("left", "right"), DISTINCT)
def test_what_distinguishes_words_stays(left: str, right: str) -> None:
    assert chosen("arabic")(left) != chosen("arabic")(right)


def test_defaults_are_a_balance() -> None:
    """Marks and alefs are folded as everyone does; ى, ة and the other hamzas only where asked for."""
    off = {rule.name for rule in Arabic.program if not rule.default}
    assert off == {"hamzas", "alef_maqsura", "ta_marbuta"}
    assert all(rule.judged for rule in Arabic.program if rule.name in off | {"vowel_marks", "alefs"})


def test_a_sentence() -> None:
    given_text = "قالَ الأستاذُ: «إنَّ العِلمَ نورٌ»، أليسَ كذلك؟"
    assert chosen("arabic")(given_text) == "قال الاستاذ ان العلم نور اليس كذلك"


def test_a_lone_mark_shown_on_a_tatweel_or_a_space_does_not_part_the_word() -> None:
    assert chosen("arabic")("ك\ufe77تب") == "كتب"
    assert chosen("arabic[vowel_marks=off]")("ك\ufe76تب") == "ك\u064eتب"


def test_arabic_alone_is_claimed() -> None:
    assert for_language("ar").name == "arabic"
    with pytest.raises(SpecError, match="no normalizer for language 'fa'"):
        for_language("fa")


@pytest.mark.parametrize(
    "options", ["", *(f"{rule.name}={'off' if rule.default else 'on'}" for rule in Arabic.program)]
)
def test_a_fixed_point_with_any_rule_switched(options: str) -> None:
    normalizer = chosen(f"arabic[{options}]" if options else "arabic")
    check_fixed_point(normalizer, TEXTS)


def test_long_texts_end() -> None:
    """Within seconds, as time grows as the text does; a hard text would take an hour if it took the square."""
    normalizer = chosen("arabic")
    assert isinstance(normalizer(PLAIN * (1_000_000 // len(PLAIN))), str)
    for unit in ("ا\u0654\u0655", "ی", "\ufe77", "ـ"):
        assert isinstance(normalizer(unit * (100_000 // len(unit))), str)

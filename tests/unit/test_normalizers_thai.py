"""Thai: signs in one order, spaces that part no words, and words by a segmenter where they are asked for."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.api import Normalizer
from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.text import contract
from benchmark.text.chosen import chosen

EQUAL = [
    ("น้ํา", "น้ำ"),  # nikhahit and aa
    ("นํ้า", "น้ำ"),
    ("นำ้", "น้ำ"),  # tone after am
    ("จา่ย", "จ่าย"),  # tone after aa
    ("ท่ี", "ที่"),  # tone before the vowel above
    ("เเม่", "แม่"),  # two e
    ("มๅ", "มา"),  # the long sign belongs to ru and lu
    ("ที่่", "ที่"),  # a tone twice
    ("ก\u200bข", "กข"),
    ("ราคา ๕๐ บาท", "ราคา50บาท"),
    ("๑,๐๐๐", "1000"),
    ("สวัสดี!", "สวัสดี"),
    ("ท ี่", "ที่"),  # signs that a space had parted
]
DISTINCT = [
    ("ใกล้", "ไกล"),  # near, far
    ("ปา", "ป่า"),  # throw, forest
    ("เขา", "เข่า"),  # he, knee
    ("มา", "หมา"),  # come, dog
    ("กัน", "กน"),
    ("สิบ", "สีบ"),  # vowel length
    ("การ", "กาล"),  # work, time: sounded alike, written apart
    ("แก", "เก"),
    ("ฤๅ", "ฤ"),
    ("ต่างๆ", "ต่าง"),
    ("กรุงเทพฯ", "กรุงเทพ"),
    ("ศาสตร์", "ศาสตร"),  # silenced letter
    ("3.5", "35"),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal(left: str, right: str) -> None:
    thai = chosen("thai")
    assert thai(left) == thai(right)


@pytest.mark.parametrize(("left", "right"), DISTINCT)
def test_distinct(left: str, right: str) -> None:
    thai = chosen("thai")
    assert thai(left) != thai(right)


def test_a_space_between_latin_words_stays() -> None:
    assert chosen("thai")("ผม ไป New York ครับ") == "ผมไปnew yorkครับ"
    assert chosen("thai")("เพิ่ม .5 บาท") == "เพิ่ม .5บาท"  # else the point would end a sentence


def test_whispers_basic_normaliser_deletes_what_distinguishes_words() -> None:
    """The reference leaves no vowel or tone above and below, so near and far, throw and forest are nearly one."""
    basic, thai = chosen("whisper_basic"), chosen("thai")
    assert basic("ป่า").replace(" ", "") == basic("ปา").replace(" ", "")
    assert thai("ป่า") != thai("ปา")
    assert thai("ที่นี่") == "ที่นี่"


@pytest.mark.parametrize("rule", ["unicode", "spaces", "digits", "punctuation", "joiners"])
def test_each_switch_switches(rule: str) -> None:
    text = "ท่ี ๕!\u200bก"
    assert chosen("thai")(text) != chosen(f"thai[{rule}=off]")(text)


# --- words --------------------------------------------------------------------------------------------------------


def test_a_segmenter_makes_words_the_unit() -> None:
    words = chosen("thai[segment=on]")
    assert (words.unit, chosen("thai").unit) == ("word", "char")
    assert words.signature() == f"thai:{words.version}[segment=on]"
    assert words("ผมรักคุณ") == words("ผม รักคุณ") == "ผม รัก คุณ"
    assert words("ไปNew York 2ครั้ง") == "ไป new york 2 ครั้ง"


def test_the_segmenter_keeps_every_character() -> None:
    text = "กรุงเทพฯ ต่างๆ น้ำ\ud800 ฤๅษี 3.5 บาท"
    assert chosen("thai[segment=on]")(text).replace(" ", "") == chosen("thai")(text).replace(" ", "")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythainlp.tokenize.newmm", None)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"package pythainlp: pip install prunebench\[thai\]"):
        REGISTRY.get("normalizer", "thai", segment=True)
    assert REGISTRY.get("normalizer", "thai")("ผม ไป") == "ผมไป"


def test_the_segmenter_takes_a_time_that_grows_as_the_text_does() -> None:
    contract.check_speed("thai", segment=True)


SIGNS = "".join(map(chr, range(0x0E00, 0x0E60))) + " .,1aé\u200b\u0316\u0654\ud800"
OPTIONS = ("thai", "thai[segment=on]", "thai[segment=on,spaces=off]", "thai[spaces=off]", "thai[unicode=off]")


@pytest.mark.parametrize("normalizer", [chosen(name) for name in OPTIONS], ids=OPTIONS)
@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from(SIGNS), max_size=14))
def test_total_and_a_fixed_point(normalizer: Normalizer, text: str) -> None:
    once = normalizer(text)
    assert normalizer(once) == once

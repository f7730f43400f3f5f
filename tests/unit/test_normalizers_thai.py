"""``thai``: what each rule folds, what stays distinct, words by a segmenter, fixed points with any rule switched."""

from __future__ import annotations

import sys

import pytest
from hypothesis import strategies as st

from benchmark.errors import SpecError
from benchmark.registry import REGISTRY
from benchmark.text import contract
from benchmark.text.chosen import chosen
from normalizers.thai import Thai
from tests.fixed_points import check_fixed_point

FOLDED = [  # rule, and two texts that it makes equal
    ("unicode", "น\u0e4d\u0e49า", "น้ำ"),  # nikhahit, tone, aa: am
    ("unicode", "น\u0e49\u0e4dา", "น้ำ"),
    ("unicode", "น\u0e33\u0e49", "น้ำ"),  # tone typed after am
    ("unicode", "ว\u0e32\u0e48", "ว่า"),  # and after aa
    ("unicode", "ท\u0e48\u0e35", "ที่"),  # tone before its vowel
    ("unicode", "สิทธ\u0e4c\u0e34", "สิทธิ์"),
    ("unicode", "เเม่", "แม่"),
    ("unicode", "ดี\u0e35", "ดี"),
    ("unicode", "ม\u0e45", "มา"),  # the long sign belongs to ru and lu
    ("spaces", "ท ี่", "ที่"),  # signs that a space had parted
    ("spaces", "ต่าง ๆ", "ต่างๆ"),
    ("spaces", "สวัสดี ครับ", "สวัสดีครับ"),
    ("joiners", "ภาษา\u200bไทย", "ภาษาไทย"),
    ("digits", "๑,๐๐๐", "1000"),
    ("punctuation", "พ.ศ.", "พศ"),
    ("punctuation", "จบ๛", "จบ"),
    ("case", "ดู TV", "ดู tv"),
]
DISTINCT = [
    ("ใกล้", "ไกล"),  # near, far
    ("ปา", "ป่า"),  # throw, forest
    ("ข้าว", "ขาว"),  # rice, white
    ("เข้า", "เขา"),  # enter, he
    ("กัน", "กน"),
    ("ขึน", "ขืน"),
    ("น้ำ", "นำ"),  # water, lead
    ("ฤๅ", "ฤ"),
    ("เขา", "เข่า"),  # he, knee
    ("มา", "หมา"),  # come, dog
    ("สิบ", "สีบ"),  # vowel length
    ("การ", "กาล"),  # work, time: sounded alike, written apart
    ("แก", "เก"),
    ("ศาสตร์", "ศาสตร"),  # silenced letter
    ("3.5", "35"),
    ("มาก", "มากๆ"),  # very, very very
    ("กรุงเทพฯ", "กรุงเทพ"),
    ("ศาล", "สาร"),
    ("เกาะ", "เกา"),  # island, scratch
    ("10:30", "1030"),
    ("new york", "newyork"),
]
ALPHABET = [chr(code) for code in range(0xE01, 0xE5C) if code not in range(0xE3B, 0xE3F)]
HOT = "กฤาๅำะํ่้ิุเแๆฯ.5 %"
TEXTS = st.text(st.sampled_from(ALPHABET) | st.sampled_from(HOT + ",:1a'\u0301\u0316\u093c\u200b"), max_size=10)
SWITCHES = [f"{rule.name}={'off' if rule.default else 'on'}" for rule in Thai.program]


@pytest.mark.parametrize(("rule", "left", "right"), FOLDED)
def test_each_rule_folds_what_it_says(rule: str, left: str, right: str) -> None:
    assert chosen("thai")(left) == chosen("thai")(right)
    assert chosen(f"thai[{rule}=off]")(left) != chosen(f"thai[{rule}=off]")(right)


@pytest.mark.parametrize(("left", "right"), DISTINCT)
def test_what_distinguishes_words_stays(left: str, right: str) -> None:
    assert chosen("thai")(left) != chosen("thai")(right)


def test_correct_text_stays_as_it_is() -> None:
    text = "เมื่อฤๅษีตื่นขึ้นก็พบว่าน้ำในบ่อแห้งสิ้นและสิทธิ์ทั้งปวงนั้นหาได้อยู่ไม่"
    assert chosen("thai")(text) == text


def test_a_space_that_parts_words_stays() -> None:
    assert chosen("thai")("ผม ไป New York ครับ") == "ผมไปnew yorkครับ"
    assert chosen("thai")("ราคา .5 บาท") == "ราคา .5บาท"  # else the point would end a sentence


def test_whispers_basic_normaliser_deletes_what_distinguishes_words() -> None:
    """The reference leaves no vowel or tone above and below, so throw and forest are nearly one."""
    basic = chosen("whisper_basic")
    assert basic("ป่า").replace(" ", "") == basic("ปา").replace(" ", "")


# --- words by a segmenter -----------------------------------------------------------------------------------------


def test_words_are_the_unit_of_a_segmented_text() -> None:
    pytest.importorskip("pythainlp")
    words = chosen("thai[segment=on]")
    assert (words.unit, chosen("thai").unit, Thai.unit) == ("word", "char", "char")
    assert words("ผมรักคุณ ๓.๕ ครั้ง Very much") == "ผม รัก คุณ 3.5 ครั้ง very much"
    assert words("ผม รักคุณ") == words("ผมรัก คุณ")  # the writer's spaces decide nothing
    assert words.signature() == f"thai:{Thai.version}[segment=on]"


def test_the_segmenter_keeps_every_character() -> None:
    pytest.importorskip("pythainlp")
    text = "กรุงเทพฯ ต่างๆ น้ำ\ud800 ฤๅษี 3.5 บาท"
    assert chosen("thai[segment=on]")(text).replace(" ", "") == chosen("thai")(text).replace(" ", "")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "pythainlp"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pythainlp", None)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"package pythainlp: pip install prunebench\[thai\]"):
        REGISTRY.get("normalizer", "thai", segment=True)
    assert REGISTRY.get("normalizer", "thai")("ผม ไป") == "ผมไป"


# --- fixed points and time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", *SWITCHES, "segment=on,spaces=off", "segment=on,unicode=off"])
def test_a_fixed_point_with_any_rule_switched(options: str) -> None:
    if "segment" in options:
        pytest.importorskip("pythainlp")
    normalizer = chosen(f"thai[{options}]" if options else "thai")
    check_fixed_point(normalizer, TEXTS)


def test_the_segmenter_takes_a_time_that_grows_as_the_text_does() -> None:
    pytest.importorskip("pythainlp")
    contract.check_speed("thai", segment=True)


def test_long_texts_end() -> None:
    """Within seconds, as time grows as the text does; a hard text would take an hour if it took the square."""
    normalizer = chosen("thai")
    plain = "ผมพูดภาษาไทยได้นิดหน่อย ครับ "
    assert isinstance(normalizer(plain * (1_000_000 // len(plain))), str)
    for unit in ("่ิ", "ำ่", "็ุ", "่้", "ํา", "เเ", "ก ", "\u0301็ุ"):
        assert isinstance(normalizer(unit * (100_000 // len(unit))), str)

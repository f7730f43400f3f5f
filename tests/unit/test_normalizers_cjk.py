"""``cjk``: what each rule folds, what stays distinct, and fixed points with any rule or script chosen."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from benchmark.text.audit import Merge, merges
from benchmark.text.chosen import chosen, for_language
from normalizers.cjk import Cjk
from tests.fixed_points import check_fixed_point

FOLDED = [  # rule, and two texts that it alone makes equal
    ("width", "ｺﾝﾋﾟｭｰﾀｰ", "コンピューター"),
    ("width", "か゛", "が"),
    ("width", "カﾞ", "ガ"),
    ("width", "⽇本", "日本"),
    ("width", "㌔", "キロ"),
    ("width", "㍿", "株式会社"),
    ("width", "①", "1"),
    ("unicode", "か\u3099", "が"),
    ("unicode", "\ufa10", "塚"),
    ("spaces", "今天 天气 很好", "今天天气很好"),
    ("spaces", "今日\u3000は", "今日は"),
    ("spaces", "用 Open Source 软件", "用Open Source软件"),
    ("spaces", "第 1 章", "第1章"),
    ("digits", "１,０００円", "1000円"),
    ("punctuation", "「はい」。", "はい"),
    ("punctuation", "东京・京都", "东京 京都"),
    ("case", "ＣＤを買う", "cdを買う"),
]
DISTINCT = [
    ("はし", "ハシ"),
    ("おばさん", "おばあさん"),  # aunt, grandmother
    ("ビル", "ビール"),  # building, beer
    ("きて", "きって"),  # come, stamp
    ("びょういん", "びよういん"),  # hospital, hairdresser's
    ("はか", "ばか"),
    ("はん", "ぱん"),
    ("後", "后"),
    ("未", "末"),
    ("open source", "opensource"),
    ("3.14", "314"),
    ("10:30", "1030"),
]
PLAIN = "今天 天气，很好。"
ALPHABET = [
    chr(code)
    for block in ((0x3000, 0x3100), (0xFF00, 0xFFF0), (0x4E00, 0x4E20), (0x3200, 0x3400), (0x2460, 0x24A0))
    for code in range(*block)
]
TEXTS = st.text(
    st.sampled_from(ALPHABET) | st.sampled_from("か゛゙ ﾞ.5%字a:\u0301\u0316\u093c\u302a\u200d⼀"), max_size=10
)


@pytest.mark.parametrize(("rule", "left", "right"), FOLDED)
def test_each_rule_folds_what_it_says(rule: str, left: str, right: str) -> None:
    assert chosen("cjk")(left) == chosen("cjk")(right)
    if rule not in ("case", "digits", "punctuation"):  # which width and spaces help
        assert chosen(f"cjk[{rule}=off]")(left) != chosen(f"cjk[{rule}=off]")(right)


@pytest.mark.parametrize(("left", "right"), DISTINCT)
def test_what_distinguishes_words_stays(left: str, right: str) -> None:
    assert chosen("cjk")(left) != chosen("cjk")(right)


def test_signs_that_are_words_are_not_taken_for_punctuation() -> None:
    assert chosen("cjk")("10㎏と5㌔") == "10kgと5キロ"
    assert chosen("cjk")("人々〆切〇ヶ月") == "人々〆切〇ヶ月"


def test_a_space_stays_where_its_loss_would_change_what_follows() -> None:
    assert chosen("cjk")("约 .5") == "约 .5"
    assert chosen("cjk")("か \u3099") == "か \u3099"


def test_korean_has_spaces_and_another_normaliser() -> None:
    assert for_language("ja").name == for_language("zh").name == for_language("yue").name == "cjk"
    assert "ko" not in Cjk.languages
    assert chosen("cjk")("한국어를 말합니다") == "한국어를 말합니다"


def test_characters_with_two_counterparts_become_the_same_in_both_directions() -> None:
    """干 stands for 乾, 幹 and 干 in simplified text: without its sentence nobody knows which."""
    simplified = chosen("cjk[script=simplified]")
    assert simplified("乾燥") == simplified("干燥") == "干燥"
    traditional = chosen("cjk[script=traditional]")
    assert traditional("头发") == traditional("頭發")
    assert chosen("cjk[script=simplified]")("かんじ漢字カンジ") == "かんじ汉字カンジ"


SWITCHES = [f"{rule.name}={'off' if rule.default else 'on'}" for rule in Cjk.program]


@pytest.mark.parametrize("options", ["", *SWITCHES, "script=simplified", "script=traditional"])
def test_a_fixed_point_with_any_rule_switched(options: str) -> None:
    normalizer = chosen(f"cjk[{options}]" if options else "cjk")
    check_fixed_point(normalizer, TEXTS)


def test_long_texts_end() -> None:
    """Within seconds, as time grows as the text does; a hard text would take an hour if it took the square."""
    normalizer = chosen("cjk")
    assert isinstance(normalizer(PLAIN * (1_000_000 // len(PLAIN))), str)
    for unit in ("か゛ ", "ｶﾞ", "㌔", "字\u3099 ", " か\u3099\u0301"):
        assert isinstance(normalizer(unit * (100_000 // len(unit))), str)


def test_the_conversion_is_a_rule_to_which_merges_are_attributed() -> None:
    normalizer = chosen("cjk[script=simplified]")
    assert isinstance(normalizer, Cjk)
    assert [rule.name for rule in normalizer.active][-1] == "script"
    assert list(normalizer.trace("漢語 。"))[-1][1] == normalizer("漢語 。") == "汉语"
    assert merges(normalizer, ["漢語", "汉语"])["script"] == [Merge("汉语", "漢語")]
    assert "script" not in {rule.name for rule in chosen("cjk").chosen()}  # type: ignore[attr-defined]


def test_a_space_between_hangul_and_han_stays() -> None:
    assert chosen("cjk")("大韓民國 헌법 第一條") == "大韓民國 헌법 第一條"

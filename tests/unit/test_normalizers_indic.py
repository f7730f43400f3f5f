"""``indic``: what each rule folds, what stays distinct in each language, and fixed points with any rule switched."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.text.chosen import chosen
from normalizers.indic import Indic

ZWJ, ZWNJ = "\u200d", "\u200c"

FOLDED = [  # rule, and two texts that it makes equal
    ("letters", f"ന\u0d4d{ZWJ}", "ൻ"),  # the six chillus
    ("letters", f"ണ\u0d4d{ZWJ}", "ൺ"),
    ("letters", f"ര\u0d4d{ZWJ}", "ർ"),
    ("letters", f"ല\u0d4d{ZWJ}", "ൽ"),
    ("letters", f"ള\u0d4d{ZWJ}", "ൾ"),
    ("letters", f"ക\u0d4d{ZWJ}", "ൿ"),
    ("letters", f"উত্{ZWJ}সব", "উৎসব"),  # khanda ta
    ("letters", f"दर्{ZWJ}या", "दऱ्या"),  # eyelash ra
    ("letters", "كيا", "کیا"),  # letters of Arabic keyboards in Urdu
    ("letters", "\ufb91", "ک"),
    ("visarga", "দু:খ", "দুঃখ"),
    ("visarga", "प्रात:काल", "प्रातःकाल"),
    ("unicode", "বাড\u09bcি", "বাড\u09bcি"),
    ("unicode", "ডা\u09bc", "ড\u09bcা"),
    ("unicode", "ক\u09c7\u09be", "কো"),
    ("unicode", "க\u0bc6\u0bd7", "கௌ"),  # au length mark
    ("unicode", "ಕ\u0cbf\u0cd5", "ಕೀ"),
    ("unicode", "ਅਾ", "ਆ"),
    ("unicode", "ੲਿ", "ਇ"),
    ("unicode", "ଓୗ", "ଔ"),
    ("joiners", "అ\u200cమ్మ", "అమ్మ"),
    ("unicode", "ଡ\u0b3cା", "ଡା\u0b3c"),  # nukta of Odia
    ("unicode", "अॅप", "ॲप"),
    ("unicode", "ൻ\u0d4dറ", "ന\u0d4dറ"),
    ("unicode", "ی\u0654", "ئ"),
    ("nasal", "हिन्दी", "हिंदी"),
    ("nasal", "हिन्दि", "हिंदि"),
    ("nasal", "ગુજરાત અમ્બા", "ગુજરાત અંબા"),
    ("nasal", "অহঙ্কার", "অহংকার"),
    ("nasal", "ಗಙ್ಗೆ", "ಗಂಗೆ"),
    ("tippi", "ਸਿਂਘ", "ਸਿੰਘ"),
    ("tippi", "ਹਾੰ", "ਹਾਂ"),
    ("au_sign", "മൌനം", "മൗനം"),
    ("nta", "എൻറെ", "എന്റെ"),
    ("vowel_marks", "مُحَبَّت", "محبت"),
    ("digits", "१२३ ১২৩ ੧੨੩ ૧૨૩ ୧୨୩ ௧௨௩ ౧౨౩ ೧೨೩ ൧൨൩ ۱۲۳", "123 123 123 123 123 123 123 123 123 123"),
    ("punctuation", "गयो।अनि॥", "गयो अनि"),
    ("punctuation", "کیا؟ ہاں۔", "کیا ہاں"),
]
DISTINCT = [
    # Bengali
    ("দিন", "দীন"),  # day, poor
    ("পড়া", "পরা"),  # to read, to wear
    ("বাঁধা", "বাধা"),  # bound, obstacle
    ("কাল", "খাল"),
    ("বর", "বড়"),
    ("শব", "সব"),  # corpse, all
    ("সংখ্যা", "সঙ্খা"),
    # Gujarati
    ("દિન", "દીન"),
    ("શાળા", "સાળા"),  # school, brothers-in-law
    ("કામ", "કાંમ"),
    ("ગોળ", "ગોલ"),
    # Kannada
    ("ಕಲಿ", "ಕಾಲಿ"),
    ("ಹಳ್ಳಿ", "ಹಲ್ಲಿ"),  # village, lizard
    ("ಜ\u0cbc", "ಜ"),
    ("ಹಿನ್ನೆಲೆ", "ಹಿಂನೆಲೆ"),
    # Malayalam
    ("അവൻ", "അവന്"),  # he, to him
    ("കാർ", "കാറ്"),
    ("മല", "മള"),
    ("കുറി", "കുരി"),
    ("പന", "പനി"),
    # Marathi and Nepali
    ("दऱ्या", "दर्या"),  # valleys, sea
    ("बाळ", "बाल"),
    ("पाणी", "पानी"),
    ("जन्म", "जंम"),
    ("चांगल", "चंगल"),
    ("नेपाल", "नपाल"),
    ("मा", "माँ"),
    ("किन", "कीन"),
    ("घर", "गर"),  # house, do
    # Odia
    ("ଦିନ", "ଦୀନ"),
    ("ବଡ\u0b3c", "ବଡ"),
    ("ୟ", "ଯ"),
    ("ଳ", "ଲ"),
    # Punjabi
    ("ਪਤਾ", "ਪੱਤਾ"),  # address, leaf
    ("ਜਨ", "ਜ਼ਨ"),
    ("ਸੋਂ", "ਸੋ"),
    ("ਪੀੜ", "ਪੀਰ"),
    # Tamil
    ("கல்", "கள்"),  # stone, toddy
    ("மரம்", "மறம்"),  # tree, valour
    ("பனி", "பணி"),  # dew, work
    ("ஒளவை", "ஔவை"),  # the letters of o and lla, of which au is no encoding: ஒளி is light
    ("கல", "கால"),
    ("அந்த", "அநத"),
    # Telugu
    ("కల", "కళ"),  # dream, art
    ("కలి", "కాలి"),
    ("పది", "పధి"),
    # Urdu
    ("ہے", "ہی"),
    ("میں", "مے"),
    ("کھل", "کہل"),  # do-chashmi he is no he
    ("آم", "ام"),  # mango
    ("گاؤں", "گاوں"),
    ("بڑا", "برا"),  # big, bad
    ("میں", "مین"),
]
HINDI = [  # what ``hindi`` folds by lists of words is left alone, and nothing is lost
    ("हमने उस उम्मीदवार को चुना।", "हमने उस उम्मीदवार को चुना"),
    ("हाँ, ज़रूर!", "हाँ ज\u093cरूर"),
    ("सम्बन्ध", "संबंध"),
    ("१,००,००० रुपये", "100000 रुपये"),
    (f"क्{ZWNJ}ष श{ZWNJ}", "क्ष श"),
    ("पढ\u093cना", "पढ\u093cना"),
    ("दुःख", "दुःख"),
    ("राज़ राज", "राज\u093c राज"),
]
BLOCKS = {
    "Devanagari": 0x900, "Bengali": 0x980, "Gurmukhi": 0xA00, "Gujarati": 0xA80, "Odia": 0xB00, "Tamil": 0xB80,
    "Telugu": 0xC00, "Kannada": 0xC80, "Malayalam": 0xD00, "Arabic": 0x620,
}  # fmt: skip
SWITCHES = [f"{rule.name}={'off' if rule.default else 'on'}" for rule in Indic.program]


@pytest.mark.parametrize(("rule", "left", "right"), FOLDED)
def test_each_rule_folds_what_it_says(rule: str, left: str, right: str) -> None:
    assert rule in {one.name for one in Indic.program}
    assert chosen("indic")(left) == chosen("indic")(right)


@pytest.mark.parametrize(("rule", "left", "right"), [row for row in FOLDED if row[0] in (
    "letters", "visarga", "nasal", "tippi", "au_sign", "nta", "vowel_marks"
) and "\ufb91" not in row])  # fmt: skip
def test_only_that_rule_does(rule: str, left: str, right: str) -> None:
    assert chosen(f"indic[{rule}=off]")(left) != chosen(f"indic[{rule}=off]")(right)


@pytest.mark.parametrize(("left", "right"), DISTINCT)
def test_what_distinguishes_words_stays(left: str, right: str) -> None:
    assert chosen("indic")(left) != chosen("indic")(right)


@pytest.mark.parametrize(("given_text", "expected"), HINDI)
def test_hindi_stays_sane(given_text: str, expected: str) -> None:
    assert chosen("indic")(given_text) == expected


def test_no_mark_is_deleted_wholesale() -> None:
    """Every vowel sign, virama, nukta and nasal sign of every script stands after a letter as it was."""
    for text in ("किकीकुकूकेकैकोकौक्क\u093cकँकंकः", "কিকীকুকূকেকৈকোকৌক্ক\u09bcকঁকংকঃ", "கிகீகுகூகெகேகைகொகோகௌக்", "ਕਿਕੀਕੁਕੂਕੇਕੈਕੋਕੌਕੰਕੱ"):
        assert chosen("indic")(text) == text


@pytest.mark.parametrize("script", BLOCKS)
@pytest.mark.parametrize("options", ["", *SWITCHES])
def test_a_fixed_point_with_any_rule_switched(script: str, options: str) -> None:
    normalizer = chosen(f"indic[{options}]" if options else "indic")
    first = BLOCKS[script]
    letters = [chr(code) for code in range(first, first + 0x80)]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.text(st.sampled_from(letters) | st.sampled_from(" .,1a'\u200c\u200d\u0301\u0316\u093c\u0654"), max_size=10)
    )
    def check(text: str) -> None:
        once = normalizer(text)
        assert normalizer(once) == once

    check()


def test_long_texts_end() -> None:
    """Within seconds, as time grows as the text does; a hard text would take an hour if it took the square."""
    normalizer = chosen("indic")
    plain = "আমি বাংলায় গান গাই। நான் தமிழ் பேசுகிறேன், 123 "
    assert isinstance(normalizer(plain * (1_000_000 // len(plain))), str)
    for unit in ("क\u093e\u093c", "\u093e\u093c", "ാെ", "െൌ", "ന്‍", "दु:ख", "ਂੰ", "ی\u0654", "ू\u0951"):
        assert isinstance(normalizer(unit * (100_000 // len(unit))), str)

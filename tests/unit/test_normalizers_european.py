"""What the normalisers of Whisper and of European languages fold and keep, and the faults of other people's, pinned."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from benchmark.registry import REGISTRY
from benchmark.text.chosen import chosen, for_language
from benchmark.text.rules import table

DISTINCT = {
    "german": [
        "schon schön",
        "maße masse",
        "buße busse",
        "aß ass",
        "zahlen zählen",
        "1000 1,000",
        "3,14 314",
        "schier Skier",
    ],
    "french": [
        "a à",
        "ou où",
        "du dû",
        "sur sûr",
        "mur mûr",
        "jeune jeûne",
        "fut fût",
        "cote côte",
        "pecheur pêcheur",
        "faite faîte",
    ],
    "spanish": [
        "el él",
        "si sí",
        "te té",
        "hablo habló",
        "ano año",
        "esta está",
        "video vídeo",
        "solo sola",
        "yerba hierba",
    ],
    "turkish": ["ı i", "kar kâr", "karlı kârlı", "hala hâlâ", "ol öl", "sık şık", "kız kiz", "adet âdet"],
    "default": ["cafe café", "3.14 314", "1,2,3 123", "10:30 1030", ".5 5", "5% 5"],
}
EQUAL = {
    "german": ["Straße Strasse", "daß dass", "Delphin Delfin", "1.000 1000", "Groß GROSS", "Maßnahme Massnahme"],
    "french": [
        "cœur coeur",
        "évènement événement",
        "maître maitre",
        "août aout",
        "sûrement surement",
        "clef clé",
        "comparaît comparait",
    ],
    "spanish": [
        "sólo solo",
        "guión guion",
        "1.º 1º",
        "setiembre septiembre",
        "1.000 1000",
        "EE.UU. EEUU",
        "ó o",
        "guió guio",
    ],
    "turkish": ["rüzgâr rüzgar", "İzmir'de İzmirde", "IŞIK ışık", "i\u0307stanbul İstanbul", "âdeta adeta"],
    "default": ["don't don’t", "U.S. US", "１２ 12", "co\u00adop coop"],
}


def _pairs(kind: dict[str, list[str]]) -> list[tuple[str, str, str]]:
    return [(name, *pair.split(" ")) for name, pairs in kind.items() for pair in pairs]  # type: ignore[misc]


@pytest.mark.parametrize(("name", "one", "other"), _pairs(DISTINCT))
def test_different_words_stay_apart(name: str, one: str, other: str) -> None:
    normalizer = chosen(name)
    assert normalizer(one) != normalizer(other)


@pytest.mark.parametrize(("name", "one", "other"), _pairs(EQUAL))
def test_one_word_is_one(name: str, one: str, other: str) -> None:
    normalizer = chosen(name)
    assert normalizer(one) == normalizer(other)


@pytest.mark.parametrize("name", ["german_variants", "french_variants", "spanish_spellings", "spanish_variants"])
def test_word_lists_are_closed(name: str) -> None:
    """What a list leads to is led nowhere else, by the list or by the other rules; no spelling stands twice."""
    rows = table("normalizers", f"{name}.tsv")
    spellings = [row["spelling"] for row in rows]
    assert len(spellings) == len(set(spellings))
    normalizer = chosen(name.partition("_")[0])
    for row in rows:
        assert normalizer(row["spelling"]) == normalizer(row["kept_as"])
        assert normalizer(row["spelling"]) == row["kept_as"], "write the list as the other rules leave its words"


@pytest.mark.parametrize(
    ("name", "file", "column"),
    [("german", "german_eszett_pairs.tsv", "word"), ("turkish", "turkish_circumflex_stems.tsv", "stem")],
)
def test_listed_pairs_stay_apart(name: str, file: str, column: str) -> None:
    normalizer = chosen(name)
    for row in table("normalizers", file):
        assert normalizer(row[column]) == row[column]
        assert normalizer(row["without"]) == row["without"]


def test_french_circumflex_words_do_as_their_list_says() -> None:
    normalizer = chosen("french")
    for row in table("normalizers", "french_circumflex_words.tsv"):
        same = normalizer(row["word"]) == normalizer(row["without"])
        assert same is (row["what"] == "drops"), row["word"]


def test_each_language_has_its_normaliser() -> None:
    assert {code: for_language(code).name for code in ("de", "fr", "es", "tr", "en")} == {
        "de": "german", "fr": "french", "es": "spanish", "tr": "turkish", "en": "whisper_english",
    }  # fmt: skip


def test_no_language_has_two_normalisers_of_ours() -> None:
    ours = [REGISTRY.lookup("normalizer", name) for name in REGISTRY.names("normalizer")]
    codes = [code for plugin in ours if not plugin.reference for code in plugin.languages]
    assert len(codes) == len(set(codes))
    for name in ("default", "identity", "whisper_basic", "whisper_basic_marks"):
        assert REGISTRY.lookup("normalizer", name).languages == ()


# --- whisper ------------------------------------------------------------------------------------------------------


def test_the_spelling_map_is_whole_and_says_whose_it_is() -> None:
    spellings = json.loads(files("normalizers").joinpath("data", "english_spelling.json").read_text(encoding="utf-8"))
    assert len(spellings) == 1739
    assert spellings["colour"] == "color"


def test_whisper_english_is_that_of_transformers() -> None:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    path = files("normalizers").joinpath("data", "english_spelling.json")
    theirs = EnglishTextNormalizer(json.loads(path.read_text(encoding="utf-8")))
    for text in ("Mr. Smith's colour", "one hundred and one", "£20 and 3 cents", "हमने चुना", "naïve (x) [y]"):
        assert chosen("whisper_english")(text) == theirs(text)


def test_faults_of_whisper_english_are_kept() -> None:
    english = chosen("whisper_english")
    assert english("archaeology") == "archeology</span>"
    once = english("$ 5 and 3 cents")
    assert english(once) != once  # no fixed point
    assert english("हमने चुना") == "हमन चन"  # marks of a word go


def test_whisper_english_takes_numbers_that_transformers_cannot() -> None:
    english = chosen("whisper_english")
    with pytest.raises(ValueError, match="fraction"):
        english._english("9" * 5000)  # type: ignore[attr-defined]
    assert english("9" * 5000).replace(" ", "") == "9" * 5000
    assert "hello" in english("hello " + "9" * 5000)


def test_faults_of_whisper_basic_are_kept() -> None:
    basic = chosen("whisper_basic")
    assert basic("हमने उस उम्मीदवार को चुना।") == "हमन उस उम म दव र क च न "
    assert basic("நான்") == "ந ன "


def test_whisper_basic_marks_differs_from_whisper_basic_in_marks_alone() -> None:
    basic, marks = chosen("whisper_basic"), chosen("whisper_basic_marks")
    for text in (
        "Hello, World! (aside) [noise] <x>",
        "it's 3.14",
        "Ｆｕｌｌ ⑴ （笑） ﬁn",
        "☃️ 1️⃣ a´b",
        "a<b c>d ((e) f)",
    ):
        assert marks(text) == " ".join(basic(text).split())
    assert marks("हमने उस उम्मीदवार को चुना।") == "हमने उस उम्मीदवार को चुना"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("turkish", "î\u0301"),
        ("turkish", "î\u0307"),
        ("turkish", "î\u0307\u0302"),
        ("turkish", "â\u0302\u0302"),
        ("french", "û\u0301"),
        ("french", "û\u0302"),
        ("german", "ß\u0301"),
    ],
)
def test_a_mark_left_alone_composes_again(name: str, text: str) -> None:
    once = chosen(name)(text)
    assert chosen(name)(once) == once

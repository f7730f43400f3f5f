"""The word lists of ``hindi``: every row can be reached, does what it says, and is closed under the later rules."""

from __future__ import annotations

import unicodedata

import pytest

from benchmark.registry import REGISTRY
from benchmark.text.rules import table
from normalizers import _hindi_text as texts

NORMALIZER = REGISTRY.get("normalizer", "hindi")
LISTS = (
    "hindi_chandrabindu_pairs.tsv",
    "hindi_glide_roots.tsv",
    "hindi_letter_names.tsv",
    "hindi_nukta_pairs.tsv",
    "hindi_short_words.tsv",
    "hindi_variants.tsv",
    "hindi_visarga_words.tsv",
)


def before(rule: str, word: str) -> str:
    """Return a word as it comes to ``rule``."""
    text = word
    for one, after in NORMALIZER.trace(word):
        if one.name == rule:
            return text
        text = after
    raise AssertionError(f"no rule {rule}")


def listed(name: str) -> tuple[dict[str, str], ...]:
    return table("normalizers", name)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_no_row_twice_and_is_in_one_encoding(name: str) -> None:
    column = "name" if "letter" in name else "word" if "word" in name else "spelling"
    words = [row[column] for row in listed(name)]
    assert len(set(words)) == len(words)
    for row in listed(name):
        assert all(row.values()), row
        assert all(value == unicodedata.normalize("NFC", value) == value.strip() for value in row.values()), row


@pytest.mark.parametrize("row", listed("hindi_variants.tsv"), ids=lambda row: row["spelling"])
def test_a_variant_can_be_reached_and_what_it_is_kept_as_stays(row: dict[str, str]) -> None:
    assert before("variants", row["spelling"]) == row["spelling"]
    assert NORMALIZER(row["spelling"]) == NORMALIZER(row["kept_as"]) == row["kept_as"]


@pytest.mark.parametrize("row", listed("hindi_nukta_pairs.tsv"), ids=lambda row: row["spelling"])
def test_a_nukta_that_is_kept_tells_words_apart(row: dict[str, str]) -> None:
    assert before("nukta_loans", row["spelling"]) == row["spelling"]
    assert NORMALIZER(row["spelling"]) == NORMALIZER(row["kept_as"]) != NORMALIZER(row["without"])
    assert "\u093c" in row["kept_as"] and "\u093c" not in row["without"]


@pytest.mark.parametrize("row", listed("hindi_chandrabindu_pairs.tsv"), ids=lambda row: row["spelling"])
def test_a_chandrabindu_that_is_kept_tells_words_apart(row: dict[str, str]) -> None:
    assert before("chandrabindu", row["spelling"]) == row["spelling"]
    assert NORMALIZER(row["spelling"]) == row["kept_as"] != NORMALIZER(row["without"])


@pytest.mark.parametrize("row", listed("hindi_glide_roots.tsv"), ids=lambda row: row["spelling"])
def test_a_root_keeps_its_y_and_a_verb_does_not(row: dict[str, str]) -> None:
    spelling = row["spelling"]
    assert spelling.endswith(("ये", "यी", "यें"))
    word = spelling if row["kind"] in ("word", "form") else f"कर{spelling}"
    assert before("glide", word) == word
    assert (NORMALIZER(word) == word) == (row["kind"] in ("word", "ending"))


@pytest.mark.parametrize("row", listed("hindi_visarga_words.tsv"), ids=lambda row: row["word"])
def test_a_colon_after_a_listed_word_is_a_visarga(row: dict[str, str]) -> None:
    assert texts.encodings(row["word"]) == row["word"]
    assert NORMALIZER(row["word"] + ": है") == NORMALIZER(row["word"] + "\u0903 है")


@pytest.mark.parametrize("row", listed("hindi_letter_names.tsv"), ids=lambda row: row["name"])
def test_a_stop_joins_the_names_of_letters(row: dict[str, str]) -> None:
    assert NORMALIZER(f"बी.{row['name']}. है") == NORMALIZER(f"बी{row['name']} है")


@pytest.mark.parametrize("row", listed("hindi_short_words.tsv"), ids=lambda row: row["word"])
def test_a_stop_parts_words_of_one_akshara(row: dict[str, str]) -> None:
    word = row["word"]
    assert NORMALIZER(f"{word}.म.प्र.") == NORMALIZER(f"{word} मप्र")
    if row["kind"] == "word":
        assert NORMALIZER(f"क.{word}.ख") == NORMALIZER(f"क {word} ख")
    assert NORMALIZER(f"{word.replace(texts.ANUSVARA, chr(0x901))}.म.प्र.") == NORMALIZER(f"{word} मप्र")

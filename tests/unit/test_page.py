"""The leaderboard page without a browser: what stands in it, what is marked, and what hostile records cannot do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.registry import REGISTRY
from benchmark.store.entries import entries
from benchmark.store.folders import open_run
from benchmark.store.frame import frame
from reports import _page_samples as samples
from reports._marks import flags
from reports._page_details import density
from reports._page_text import cut, visible
from reports._page_views import through, views
from reports.page import page as make_page
from tests import fake_normalizers as fakes
from tests.fake_runs import Plain, commit, ok_data, spec
from tests.page_runs import HOSTILE, SCRIPT, make_all


class _Page(HTMLParser):
    """Tags with their attributes, texts, and the content of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text: list[str] = []
        self._script: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = dict(attrs) if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text.append(data)
        else:
            self.scripts.append((self._script, data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def json(self, name: str) -> Any:
        return json.loads(next(text for attributes, text in self.scripts if attributes.get("id") == name))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return frame(make_all(tmp_path_factory.mktemp("page") / "run"), normalizer="hindi,identity")


@pytest.fixture(scope="module")
def text(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("out") / "new"
    (path,) = REGISTRY.get("report", "page").write(table, out)
    assert [path] == list(out.iterdir())
    return path.read_text()


@pytest.fixture(scope="module")
def page(text: str) -> _Page:
    return _Page(text)


# --- one file, and no network -----------------------------------------------------------------------------------------


def test_only_scripts_of_known_content_run(page: _Page) -> None:
    (policy,) = (one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    run = [code for attributes, code in page.scripts if "type" not in attributes]
    assert len(run) == 4  # ours twice, and two of the figure to look into
    assert {base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in run} == allowed
    assert "unsafe-inline" not in re.search(r"script-src[^;]*", policy)[0]  # type: ignore[index]
    assert "http" not in policy and "*" not in policy


def test_nothing_is_fetched(page: _Page) -> None:
    links = [value for _, found in page.tags for name, value in found.items() if name in ("src", "srcset", "href")]
    assert links and all(value is not None and value.startswith(("data:", "#")) for value in links)
    assert not [found for _, found in page.tags if any(name.startswith("on") for name in found)]


def test_a_file_stays_small(text: str) -> None:
    assert len(text) < 6_500_000  # of which 4.7 MB are the library of the figure


# --- rows -------------------------------------------------------------------------------------------------------------


def test_each_entry_has_one_row(page: _Page, table: pd.DataFrame) -> None:
    rows = {str(one["data-e"]): str(one["class"]) for one in page.all("tr") if "data-e" in one}
    assert set(rows) == set(table["entry"])
    status = {entry: words.split()[0] for entry, words in rows.items()}
    expected = entries(table).set_index("entry")["status"].to_dict()
    assert status == expected
    assert set(status.values()) == {"ok", "failed", "pruned"}


def test_numbers_are_there_without_scripts(page: _Page, table: pd.DataFrame) -> None:
    dense = table[table["method"] == "dense"].iloc[0]
    said = " ".join(" ".join(page.text).split())
    assert f"{100 * dense['test_wer']:.1f}" in said
    for words in ("2 of 3 seeds", "too far", "stopped at step 80 of 120: worse than the median", "out of memory"):
        assert words in said


def test_what_is_sorted_by_is_the_number(page: _Page, table: pd.DataFrame) -> None:
    cells = [one for one in page.all("td") if one.get("class") == "score"]
    given = sorted(float(str(one["data-s"])) for one in cells if one["data-s"])
    expected = entries(through(table, ""))["test_wer"].dropna().sort_values()
    assert given == pytest.approx(expected.tolist())


def test_marks_follow_their_definition(table: pd.DataFrame, page: _Page) -> None:
    rows = entries(through(table, ""))
    rows = rows[rows["status"] == "ok"]
    found = {str(one["data-e"]): str(one["class"]).split()[1:] for one in page.all("tr") if "data-e" in one}
    for block, cost in (("mask", "params_nominal"), ("stored", "params_stored")):
        ours = rows[rows["block"] == block].to_dict("records")
        for row in ours:
            beaten = [
                other
                for other in ours
                if other["test_error"] <= row["test_error"]
                and other[cost] <= row[cost]
                and (other["test_error"] < row["test_error"] or other[cost] < row[cost])
            ]
            least = min(other["test_error"] for other in ours if other["keep"] == row["keep"])
            marked = found[row["entry"]]
            assert ("dominated" in marked, "front" in marked) == (bool(beaten), not beaten)
            assert ("best" in marked) == (row["test_error"] == least)
    assert not any(found[entry] for entry in rows.loc[rows["block"] == "reference", "entry"])


def test_ties_are_all_best_and_all_on_the_front() -> None:
    rows = pd.DataFrame(
        {
            "entry": ["a", "b", "c"],
            "status": "ok",
            "keep": 0.5,
            "test_error": [0.1, 0.1, 0.2],
            "params_nominal": [5, 5, 5],
        }
    )
    assert flags("mask", rows, "test_error") == {"a": "bp", "b": "bp", "c": "d"}


# --- the switch of normalisers ----------------------------------------------------------------------------------------


def test_the_switch_holds_the_scores_of_every_normaliser(page: _Page, table: pd.DataFrame) -> None:
    norms = page.json("data")["norms"]
    assert [one["name"] for one in norms] == ["hindi", "identity"]
    for one, prefix in zip(norms, ("", "identity__"), strict=True):
        (board,) = one["boards"]
        at = board["keys"].index("score")
        for _, row in table[table["method"].eq("dense")].iterrows():
            shown, sort = board["rows"][row["entry"]][2][at]
            assert sort == pytest.approx(row[f"{prefix}test_wer"], rel=1e-5)
            assert shown.startswith(f"{100 * row[f'{prefix}test_wer']:.1f} [")


def test_another_view_has_the_same_columns(table: pd.DataFrame) -> None:
    first, second = through(table, ""), through(table, "identity")
    assert set(first) == set(second)
    assert not [name for name in second if name.startswith("identity__")]
    assert second["test_wer"].equals(table["identity__test_wer"])
    assert second["rank"].equals(table["identity__rank"])
    assert (second.attrs["normalizer"], second.attrs["signature"]) == (
        "identity",
        table.attrs["others"]["identity"]["signature"],
    )
    assert "identity__test_wer" in table  # untouched


def test_one_normaliser_has_no_switch(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    for cell in (spec(), spec("imp", "prunable_nominal", 0.5)):
        commit(run, ok_data(cell, nominal=cell["budget"]["keep"] or 1.0), 0.1, {"test": 8})
    seen = frame(run, normalizer=Plain())
    (path,) = REGISTRY.get("report", "page").write(seen, tmp_path / "out")
    page = _Page(path.read_text())
    assert not [one for one in page.all("select") if one.get("id") == "norm"]
    assert page.json("data")["norms"] == [{"name": "plain", "boards": [{}]}]
    assert "plain is not installed here" in page.json("details")["note"]  # Plain() is no plug-in


def test_words_and_characters_have_their_own_titles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.only(monkeypatch, fakes.Words, fakes.Letters)
    run = open_run(tmp_path / "run", create=True)
    for cell in (spec(), spec("imp", "prunable_nominal", 0.5)):
        commit(run, ok_data(cell, nominal=cell["budget"]["keep"] or 1.0), 0.2, {"test": 8})
    page = _Page(make_page(frame(run, normalizer="words,letters")))
    titles = [one["boards"][0]["titles"] for one in page.json("data")["norms"]]
    assert [(one["score"], one["other"]) for one in titles] == [("WER test [95 %]", "CER"), ("CER test [95 %]", "WER")]


# --- what is not there ------------------------------------------------------------------------------------------------


def test_gaps_are_rows_and_broken_records_are_named(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", create=True)
    broken = commit(run, ok_data(spec("magnitude", "prunable_nominal", 0.5)), 0.2, {"test": 8})
    (broken.path / "record.json").write_text("{")
    commit(run, ok_data(spec()), 0.2, {"test": 8})
    problems: list[str] = []
    seen = frame(
        run,
        normalizer="hindi",
        problems=problems,
        asked={"feedbeef" * 2: spec("imp", "prunable_nominal", 0.5)},
    )
    page = _Page(make_page(seen))
    assert [one["class"] for one in page.all("tr") if "data-e" in one] == ["ok", "missing"]
    said = " ".join(" ".join(page.text).split())
    assert f"Left out: {broken.path}" in said
    told = page.json("details")["entries"]
    assert (
        dict(told[seen.set_index("method").loc["imp", "entry"]]["groups"][2][1])["seeds"] == "none finished, 1 missing"
    )


# --- details and samples ----------------------------------------------------------------------------------------------


def test_details_tell_where_an_entry_comes_from(page: _Page, table: pd.DataFrame) -> None:
    told = page.json("details")
    assert told["whole"] and set(told["entries"]) == set(table["entry"])
    row = table[(table["method"] == "magnitude") & (table["keep"] == 0.8) & (table["seed"] == 0)].iloc[0]
    one = told["entries"][row["entry"]]
    groups = {name: dict(pairs) for name, pairs in one["groups"]}
    assert groups["Configuration"]["budget asked"].startswith("prunable_nominal: 80.0 % kept")
    assert groups["Cost"]["MACs, decoder a token (cache at 24)"] == "800 k"
    assert groups["Provenance"]["seeds"] == "0, 1, 1 failed"
    assert row["cell"] in groups["Provenance"]["cells"] and groups["Provenance"]["commit"] == "0000000"
    assert one["command"] == f"prunebench export {row['cell']} --runs {row['run']} --to model"
    failed = table[table["method"].eq("l1_group") & table["status"].eq("failed")].iloc[0]
    assert "command" not in told["entries"][failed["entry"]]


def test_samples_are_chosen_by_errors() -> None:
    errors, dense = np.array([0, 5, 1, 2, 0]), np.array([0, 5, 0, 0, 3])
    found = samples.picks(errors, np.array([4, 10, 1, 4, 4]), dense)
    assert found == [
        (1, "most errors, median of all"),
        (2, "highest rate"),
        (3, "most lost against dense, median of those with errors"),
        (4, "most gained against dense"),
    ]
    assert samples.picks(np.zeros(3, int), np.array([2, 2, 2]), None) == [(0, "no errors anywhere; the first")]


def test_differences_are_marked_on_what_was_written() -> None:
    def lower(text: str) -> str:
        return " ".join(text.lower().replace(".", "").split())

    raw, said = "One two three four.", "one too Three, five four . more"
    words = [lower(raw).split(), lower(said.replace(",", "")).split()]
    written = samples.as_written(said.replace(",", ""), words[1], lower)
    assert written == ["one", "too", "Three", "five", "four .", "more"]
    parts = list(samples.aligned(words[0], words[1], raw.split(), written))
    assert parts == [["=", "one"], ["s", "too", "two"], ["=", "Three"], ["i", "five"], ["=", "four ."], ["i", "more"]]
    assert samples.as_written("a-b", ["a", "b"], lambda text: text.replace("-", " ")) is None
    assert list(samples.aligned(["a", "b"], ["a"], None, None)) == [["=", "a"], ["d", "b"]]


def test_the_parts_of_a_sample_count_its_errors(page: _Page) -> None:
    seen = 0
    for entry in page.json("details")["entries"].values():
        for one in entry.get("samples", []):
            if "note" not in one["this"]:
                assert sum(part[0] != "=" for part in one["this"]["parts"]) == one["errors"][0]
                seen += 1
    assert seen > 20


def test_densities_become_one_table_a_stack() -> None:
    rows = [("encoder", 0, "q", 0.5, 1.0), ("encoder", 1, "q", 0.25, 1.0), ("decoder", 0, "self q", 1 / 3, 0.5)]
    table = pd.DataFrame(rows, columns=["stack", "layer", "part", "nominal", "stored"])
    encoder, decoder = density(table)
    assert encoder == {"stack": "encoder", "parts": ["q"], "layers": [0, 1], "cells": [[[0.5, 1.0]], [[0.25, 1.0]]]}
    assert decoder["cells"] == [[[0.3333, 0.5]]]


# --- hostile records --------------------------------------------------------------------------------------------------


def test_no_text_of_a_record_becomes_markup(page: _Page, text: str) -> None:
    assert not [one for one in page.all("img") if one.get("src") == "x"]
    assert not [code for attributes, code in page.scripts if "type" not in attributes and "harmed" in code]
    assert SCRIPT not in text and "<!--" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert f"{HOSTILE}[note={SCRIPT}]" in "".join(page.text).replace("\n", "")


def test_hostile_transcripts_are_cut_and_visible(page: _Page, table: pd.DataFrame) -> None:
    entry = table[table["method"] == HOSTILE].iloc[0]["entry"]
    told = json.dumps(page.json("details")["entries"][entry], ensure_ascii=False)
    assert "cut: 1,000,000 characters" in told
    assert len(told) < 20_000
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\x00-\x1f\x80-\x9f]", told)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a⟦RLO⟧b"),
        ("\x1b[31m\x00", "␛[31m␀"),
        ("tab\there\nnext", "tab here⏎next"),
        ("\ud800x", "\ufffdx"),
        ("क्\u200dष", "क्\u200dष"),
        ("a" + "\u0301" * 50, "a" + "\u0301" * 4),
        ("a" + "\u0301\u200d" * 50, "a" + "\u0301\u200d" * 4),
        ("\x85", "⟦U+0085⟧"),
        ("so\u00adft \u2060 \U000e0041", "so⟦U+00AD⟧ft ⟦U+2060⟧ ⟦U+E0041⟧"),
        ("می\u200cخواهم \u06dd", "می\u200cخواهم \u06dd"),
    ],
)
def test_what_steers_or_hides_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_is_cut_with_a_note() -> None:
    start, note = cut("a" * 1_000_000)
    assert (len(start), note) == (302, "cut: 1,000,000 characters")
    assert cut("short") == ("short", "")


def test_views_have_the_same_entries(table: pd.DataFrame) -> None:
    first, second = ([set(block.rows["entry"]) for block in view.boards[0].blocks] for view in views(table))
    assert first == second

"""Bundles: what is packed, byte for byte; what is whole is merged; what is no bundle leaves nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jiwer
import pytest

from benchmark.store.bundles import CLAIMED
from benchmark.store.folders import open_run
from benchmark.store.records import MODEL, PLAN, latest
from tests.bundling import (
    CELLS,
    IMP,
    Call,
    bump,
    claims,
    members,
    of,
    repack,
    snapshot,
)

pytest_plugins = ["tests.bundled"]

# --- packing ------------------------------------------------------------------------------------------------------


def test_a_bundle_holds_records_and_no_weights(theirs: Path, packed: Path) -> None:
    found = members(packed)
    kinds = {name.rpartition("/")[2].partition("-")[0].rpartition(".")[0] or name for name in found}
    assert not any(name.endswith((".safetensors",)) or "work" in name for name in found)
    assert {"bundle", "scores", "record", "spec"} <= kinds
    for name, data in found.items():
        if name.startswith(("runs/", "specs/", "timings/")):
            assert (theirs / name).read_bytes() == data
    assert sum(name.endswith("record.json") for name in found) == 5
    assert sum(name.endswith(".parquet") for name in found) == 4


def test_claimed_scores_are_those_of_jiwer(theirs: Path, packed: Path) -> None:
    import benchmark

    normal = benchmark.get("normalizer", "hindi")
    rows = {row["cell"]: row for row in csv.DictReader(io.StringIO(members(packed)["scores.csv"].decode()))}
    assert len(rows) == 4
    for record in latest(theirs):
        if record.ok:
            said = record.transcripts("test")
            pair = [[normal(text) for text in said[name]] for name in ("reference", "hypothesis")]
            out, row = jiwer.process_words(*pair), rows[record.cell]
            assert [int(row[w]) for w in CLAIMED[6:9]] == [out.substitutions, out.deletions, out.insertions]
            assert float(row["wer"]) == pytest.approx(out.wer, rel=1e-12)
            assert float(row["cer"]) == pytest.approx(jiwer.cer(*pair), rel=1e-12)
            assert row["normalizer"].startswith("hindi:") and row["signature"].startswith("wer|hindi:")


def test_equal_records_give_an_equal_file(typed: Call, theirs: Path, packed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(theirs, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    assert typed("bundle", copy, theirs, "--to", "b.zip")[0] == 0
    assert Path("b.zip").read_bytes() == packed.read_bytes()


def test_a_filter_and_plans(typed: Call, theirs: Path) -> None:
    code, out, _ = typed("bundle", theirs, "--to", "b.zip", "--method", "imp", "--seeds", "0", "--plans")
    found = members(Path("b.zip"))
    assert code == 0 and "2 attempt(s), 1 timing record(s)" in out
    packed = {name.split("/")[1] for name in found if name.startswith("runs/")}
    assert packed == {CELLS[0].id, CELLS[1].id}, "imp, and dense, which differences are to"
    assert found[of(found, CELLS[1], "plan.safetensors")] == b"a plan"


@pytest.mark.parametrize("name", ["a file", "a folder"])
def test_nothing_is_overwritten(typed: Call, theirs: Path, name: str) -> None:
    Path("a folder").mkdir()
    Path("a file").write_text("mine")
    code, out, err = typed("bundle", theirs, "--to", name)
    assert (code, out, err.count("\n")) == (2, "", 1) and "exists already" in err
    assert Path("a file").read_text() == "mine"


def test_a_bundle_of_nothing_and_of_no_run_folder(typed: Call, tmp_path: Path) -> None:
    empty = open_run(tmp_path / "empty", create=True)
    assert "there is no record to bundle" in typed("bundle", empty, "--to", "b.zip")[2]
    assert "no such folder" in typed("bundle", tmp_path / "nowhere", "--to", "b.zip")[2]
    assert "unknown normalizer" in typed("bundle", empty, "--to", "b.zip", "--normalizer", "hindy")[2]
    assert not Path("b.zip").exists()


def test_a_place_that_cannot_be_written(typed: Call, theirs: Path) -> None:
    code, _, err = typed("bundle", theirs, "--to", "no/such/b.zip")
    assert code == 2 and "cannot be written" in err and err.count("\n") == 1


def test_a_broken_record_is_named_and_left_out(typed: Call, theirs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(theirs, copy)
    next((copy / "runs" / CELLS[0].id).glob("*/record.json")).write_text("{")
    code, out, err = typed("bundle", copy, "--to", "b.zip")
    assert code == 1 and "4 attempt(s)" in out and CELLS[0].id in err and err.count("\n") == 1


def test_transcripts_that_are_missing_are_named_and_the_rest_is_packed(
    typed: Call, theirs: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(theirs, copy)
    next((copy / "runs" / IMP.id).glob("*/*.parquet")).unlink()
    code, out, err = typed("bundle", copy, "--to", "b.zip")
    assert code == 1 and "4 attempt(s)" in out and err.count("\n") == 1 and IMP.id in err


# --- merging what is whole ------------------------------------------------------------------------------------------


def test_a_whole_bundle_is_the_same_run_folder_again(typed: Call, theirs: Path, packed: Path) -> None:
    code, out, err = typed("merge", packed, "--into", "new", "--accept-data", "abababab")
    assert (code, err) == (0, "") and "5 attempt(s) and 1 timing record(s) copied" in out
    there, here = snapshot(theirs), snapshot(Path("new"))
    for gone in (MODEL, PLAN, "prunebench.json"):
        there = {name: data for name, data in there.items() if not name.endswith(gone)}
    assert {name: data for name, data in here.items() if name != "prunebench.json"} == there


def test_a_second_time_changes_nothing(typed: Call, ours: Path, packed: Path) -> None:
    assert typed("merge", packed, "--into", ours)[0] == 0
    before = snapshot(ours)
    code, out, _ = typed("merge", packed, "--into", ours)
    assert code == 0 and "0 attempt(s) and 0 timing record(s) copied, 5 attempt(s) were there" in out
    assert snapshot(ours) == before


def test_check_writes_nothing(typed: Call, ours: Path, packed: Path) -> None:
    before = snapshot(ours)
    assert "5 attempt(s) and 1 timing record(s) would be copied" in typed("merge", packed, "--into", ours, "--check")[1]
    assert snapshot(ours) == before
    assert typed("merge", packed, "--into", "new", "--check", "--accept-data", "abababab")[0] == 0
    assert not Path("new").exists()


def test_data_are_known_from_a_folder_that_is_merged_with_it(typed: Call, ours: Path, packed: Path) -> None:
    code, out, err = typed("merge", ours, packed, "--into", "both")
    assert (code, err) == (0, "") and "6 attempt(s)" in out


def test_merged_results_stand_in_a_report(typed: Call, ours: Path, packed: Path) -> None:
    assert typed("merge", packed, "--into", ours)[0] == 0
    assert typed("report", ours, "--out", "rep", "--only", "table")[0] == 0
    table = Path("rep/leaderboard.md").read_text()
    assert all(method in table for method in ("dense", "imp", "l1_group", "magnitude"))


# --- what is no bundle ----------------------------------------------------------------------------------------------


def _linked(to: Path, source: Path) -> None:
    found = members(source)
    with zipfile.ZipFile(to, "w") as archive:
        for name, data in found.items():
            about = zipfile.ZipInfo(name)
            about.external_attr = ((stat.S_IFLNK if name.endswith("record.json") else stat.S_IFREG) | 0o644) << 16
            archive.writestr(about, data)


def _doubled(to: Path, source: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(to, "w") as archive:
        for name, data in [*members(source).items(), ("scores.csv", b"")]:
            archive.writestr(name, data)


def _cut(to: Path, source: Path) -> None:
    to.write_bytes(source.read_bytes()[:-300])


def _other_zip(to: Path, source: Path) -> None:
    with zipfile.ZipFile(to, "w") as archive:
        archive.writestr("bundle.json", "{}")


def _added(name: str) -> Callable[[Path, Path], None]:
    def make(to: Path, source: Path) -> None:
        repack(source, to, lambda found: found.update({name: b"x"}))

    return make


def _scores(to: Path, source: Path) -> None:
    repack(source, to, bump("wer"), honest=False)


def _newer(to: Path, source: Path) -> None:
    def change(found: dict[str, bytes]) -> None:
        found["bundle.json"] = json.dumps(json.loads(found["bundle.json"]) | {"format": 99}).encode()

    repack(source, to, change)


def _unlisted_member(to: Path, source: Path) -> None:
    repack(source, to, lambda found: found.update({"specs/aa.json": b"{}"}), honest=False)


def _claimed_twice(to: Path, source: Path) -> None:
    repack(source, to, claims(lambda rows: rows.append(rows[0])))


def _lacking(to: Path, source: Path) -> None:
    repack(source, to, lambda found: found.update({"scores.csv": b"cell,attempt\na,b\n"}))


def _corrupt(to: Path, source: Path) -> None:
    data = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        at = archive.getinfo("scores.csv").header_offset + 60
    data[at : at + 40] = bytes(40)
    to.write_bytes(data)


NO_BUNDLES: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "cut off": (_cut, "not a whole bundle"),
    "text": (lambda to, _: to.write_text("hello"), "not a whole bundle"),
    "empty": (lambda to, _: to.write_bytes(b""), "not a whole bundle"),
    "another zip": (_other_zip, "it is no bundle"),
    "zip slip": (_added("../evil.json"), "holds '../evil.json', which no bundle does"),
    "absolute": (_added("/tmp/evil.json"), "which no bundle does"),
    "slip inside": (_added("runs/aa/../../../spec.json"), "which no bundle does"),
    "backslash": (_added("runs\\aa\\b\\record.json"), "which no bundle does"),
    "a model": (_added("runs/aa/b/model.safetensors"), "which no bundle does"),
    "a pickle": (_added("runs/aa/b/x.pkl"), "which no bundle does"),
    "a link": (_linked, "record.json', which no bundle does"),
    "twice": (_doubled, "holds 'scores.csv' twice"),
    "a changed score": (_scores, "scores.csv changed since it was packed"),
    "newer": (_newer, "format 99 is newer"),
    "unlisted": (_unlisted_member, "does not list"),
    "claimed twice": (_claimed_twice, "has two rows for"),
    "columns": (_lacking, "lacks columns"),
    "corrupt": (_corrupt, "scores.csv cannot be read"),
}


@pytest.mark.parametrize("fault", NO_BUNDLES)
def test_what_is_no_bundle_is_one_line_and_leaves_nothing(typed: Call, packed: Path, ours: Path, fault: str) -> None:
    make, expected = NO_BUNDLES[fault]
    make(Path("bad.zip"), packed)
    before = snapshot(ours)
    for into in (ours, Path("new")):
        code, out, err = typed("merge", "bad.zip", "--into", into)
        assert (code, out, err.count("\n")) == (2, "", 1) and "bad.zip: " in err and expected in err, err
    assert snapshot(ours) == before and not Path("new").exists() and not Path("../evil.json").exists()


def test_a_bomb_is_not_unpacked(typed: Call, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.store import attached, unpacking

    monkeypatch.setattr(unpacking, "MOST_OF_ONE", 100)
    assert "more than 100" in typed("merge", packed, "--into", "new")[2]
    monkeypatch.undo()
    monkeypatch.chdir(packed.parent)
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1000)
    assert "more than 1,000; bundle it in parts" in typed("merge", packed, "--into", "new")[2]
    monkeypatch.setattr(unpacking, "MOST_BYTES", 2**32)
    monkeypatch.setattr(attached, "MOST_TEXT", 100)
    code, _, err = typed("merge", packed, "--into", "new", "--accept-data", "abababab")
    assert code == 2 and "its transcripts hold more than 100 bytes of text" in err
    shutil.rmtree("new")


@pytest.mark.parametrize("start", ["", "abab", "xyzxyzxyz"])
def test_data_are_vouched_for_by_hexadecimal_digits(typed: Call, packed: Path, start: str) -> None:
    code, _, err = typed("merge", packed, "--into", "new", "--accept-data", start)
    assert code == 2 and "give at least 8 hexadecimal digits" in err and not Path("new").exists()


def test_the_target_is_looked_at_first(typed: Call, packed: Path) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    code, _, err = typed("merge", packed, "--into", "full")
    assert code == 2 and "has other things in it" in err and [p.name for p in Path("full").iterdir()] == ["mine.txt"]

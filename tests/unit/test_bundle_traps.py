"""Bundles made to harm: names that leave the folder, others' timings and specs, sizes, data that nobody knows."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmark.specs import digest
from benchmark.store.folders import open_run
from benchmark.store.records import Attempt, records
from tests.bundling import (
    CELLS,
    IMP,
    Call,
    Change,
    another_reference,
    cell_of,
    claims,
    edit,
    in_spec,
    of,
    put,
    repack,
    result,
    snapshot,
    texts,
)
from tests.fake_runs import ok_data

pytest_plugins = ["tests.bundled"]

OTHERS: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "another corpus": (("corpus", "name"), "other", "data abababababab are not known here"),
    "less asked": (("corpus", "evaluate"), {"test": 11}, "12 utterances, and its spec asks for 11"),
    "another split": (("corpus", "evaluate"), {"zzz": 12}, "its spec asks for ['zzz']"),
    "no split": (("corpus", "evaluate"), {}, "its spec asks for []"),
    "seed": (("seed",), 10**30, "spec.seed = 1000"),
    "a model without a name": (("model", "name"), [1], "spec.model.name = [1] is not of the kind str"),
    "nested parts": (
        ("method",),
        {"name": "compose", "version": "1", "options": {"parts": [{"name": "compose", "options": {"parts": 5}}]}},
        "its composition has parts without a name",
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_cell_that_its_id_is_right_for(typed: Call, ours: Path, packed: Path, other: str) -> None:
    path, value, expected = OTHERS[other]

    def change(found: dict[str, bytes]) -> None:
        in_spec(*path, to=value)(found)
        cell = digest(json.loads(found[of(found, IMP, "/spec.json")]))[:16]
        edit(IMP, "record.json", put("cell", to=cell))(found)
        for name in [name for name in found if IMP.id in name]:
            found[name.replace(IMP.id, cell)] = found.pop(name)
        for name in [name for name in found if name == "scores.csv" or name.startswith("timings/")]:
            found[name] = found[name].replace(IMP.id.encode(), cell.encode())

    code, out, err = typed("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and err.count("\n") == 1 and expected in err and "4 attempt(s)" in out
    assert typed("report", ours, "--out", "rep", "--only", "table")[0] == 0


def _renamed(stamp: str) -> Change:
    """The attempt has another name, everywhere."""

    def change(found: dict[str, bytes]) -> None:
        old = of(found, IMP, "record.json").split("/")[2]
        edit(IMP, "record.json", put("attempt", to=stamp))(found)
        for name in [name for name in found if old in name]:
            found[name.replace(old, stamp)] = found.pop(name)
        for name in [name for name in found if name == "scores.csv" or name.startswith("timings/")]:
            found[name] = found[name].replace(old.encode(), stamp.encode())

    return change


@pytest.mark.parametrize("stamp", ["zzzz", "99991231T235959.000000Z-abcdef", "20261399T101500.123456Z-abcdef"])
def test_an_attempt_cannot_be_newer_than_now(typed: Call, ours: Path, packed: Path, stamp: str) -> None:
    code, _, err = typed("merge", repack(packed, Path("c.zip"), _renamed(stamp)), "--into", ours)
    assert code == 2 and err.count("\n") == 1
    assert "lies in the future" in err or "is no time stamp as attempts have" in err


def test_of_a_cell_with_a_result_here_that_one_stays(typed: Call, ours: Path, packed: Path) -> None:
    result(ours, IMP, 0.5)
    before = snapshot(ours)
    code, out, err = typed("merge", packed, "--into", ours)
    assert (code, err) == (0, "") and "4 attempt(s)" in out and "1 attempt(s) were there already" in out
    assert before.items() <= snapshot(ours).items()
    assert len(list((ours / "runs" / IMP.id).iterdir())) == 1


@pytest.mark.parametrize("row", ["../../victim,sub", "/victim,sub", "..,..", "abcd,..", ".,."])
def test_scores_cannot_name_a_place_outside(typed: Call, ours: Path, packed: Path, row: str) -> None:
    victim = Path("victim/sub")
    victim.mkdir(parents=True)
    name = row.replace("/victim", f"{Path('victim').absolute()}") if row.startswith("/") else row

    def change(found: dict[str, bytes]) -> None:
        found["scores.csv"] += f"{name},test,hindi:1,sig,1,0,0,0,1,0.0,0.0\n".encode()

    code, out, err = typed("merge", repack(packed, Path("c.zip"), change), "--into", ours, "--check")
    assert (code, out, err.count("\n")) == (2, "", 1) and "no attempt" in err and victim.is_dir()


@pytest.mark.parametrize("name", ["runs/../../x", "runs/a", "/etc/passwd", "runs/aa/../spec.json"])
def test_the_list_cannot_name_a_place_outside(typed: Call, ours: Path, packed: Path, name: str) -> None:
    def change(found: dict[str, bytes]) -> None:
        about = json.loads(found["bundle.json"])
        about["sha256"][name] = "00"
        found["bundle.json"] = json.dumps(about).encode()

    code, out, err = typed("merge", repack(packed, Path("c.zip"), change, honest=False), "--into", ours)
    assert (code, out, err.count("\n")) == (2, "", 1) and "which no bundle holds" in err


def _timing(how: Callable[[Any], None]) -> Change:
    def change(found: dict[str, bytes]) -> None:
        (name,) = [name for name in found if name.startswith("timings/")]
        data = json.loads(found[name])
        how(data)
        found[name] = json.dumps(data).encode()

    return change


TIMINGS: dict[str, tuple[Callable[[Any], None], str]] = {
    "negative": (lambda data: data["rows"][0].update(speedup=-3), "speedup = -3 of"),
    "too large": (lambda data: data["rows"][0].update(rtfx=10**400), "is no measurement"),
    "batch": (lambda data: data["rows"][0].update(batch=8.5), "batch = 8.5 of"),
    "words": (lambda data: data["rows"][0].update(rtfx="fast"), "rtfx = 'fast' of"),
    "stamp": (lambda data: data.update(stamp=5), "its stamp or device is not that of its name"),
    "device": (lambda data: data.update(device="our-cpu"), "its stamp or device is not that of its name"),
    "no cell": (lambda data: data["rows"][0].update(cell=[1]), "a row is of no attempt"),
    "no rows": (lambda data: data.update(rows=5), "lacks 'device' or 'rows'"),
}


@pytest.mark.parametrize("fault", TIMINGS)
def test_a_timing_that_is_none(typed: Call, ours: Path, packed: Path, fault: str) -> None:
    how, expected = TIMINGS[fault]
    code, out, err = typed("merge", repack(packed, Path("c.zip"), _timing(how)), "--into", ours)
    assert code == 2 and err.count("\n") == 1 and expected in err
    assert "5 attempt(s) and 0 timing record(s) copied" in out


def test_our_own_attempts_are_not_timed_by_others(typed: Call, ours: Path, packed: Path) -> None:
    (mine,) = records(ours)
    change = _timing(lambda data: data["rows"].append({"cell": mine.cell, "attempt": mine.attempt, "speedup": 77.0}))
    code, _, err = typed("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and "which is here already" in err and not (ours / "timings").exists()


SPECS: dict[str, tuple[bytes, str]] = {
    "no format": (b'{"spec": {"grid": [{"methods": ["dense"]}], "normalizer": "auto"}, "cells": []}', "no format"),
    "no normaliser": (b'{"format": 1, "spec": {"grid": [{"methods": ["dense"]}]}, "cells": []}', "names no normalizer"),
    "another": (
        b'{"format": 1, "spec": {"grid": [{"methods": ["dense"]}], "normalizer": "nope"}, "cells": []}',
        "unknown normalizer 'nope'",
    ),
    "no cells": (
        b'{"format": 1, "spec": {"grid": [{"methods": ["dense"]}], "normalizer": "auto"}, "cells": 3}',
        "'cells'",
    ),
    "a newer key": (b'{"format": 1, "spec": {"grid": [], "colour": 1}, "cells": []}', "unknown key 'colour'"),
    "utf-16": ('{"format": 1}'.encode("utf-16"), "spec"),
    "deep": (b"[" * 200_000, "not whole JSON"),
}


@pytest.mark.parametrize("fault", SPECS)
def test_a_spec_that_is_none(typed: Call, ours: Path, packed: Path, fault: str) -> None:
    content, expected = SPECS[fault]
    name = f"specs/{hashlib.sha256(content).hexdigest()[:16]}.json"
    code, out, err = typed(
        "merge", repack(packed, Path("c.zip"), lambda found: found.update({name: content})), "--into", ours
    )
    assert code == 2 and err.count("\n") == 1 and name in err and expected in err
    assert "5 attempt(s)" in out and not (ours / name).exists()
    assert typed("report", ours, "--out", "rep", "--only", "table")[0] == 0


def test_a_small_file_of_much_text_is_not_read(typed: Call, ours: Path, packed: Path) -> None:
    change = texts(IMP, lambda columns: columns.update(hypothesis=["अ" * 8_000_000] * 12))
    changed = repack(packed, Path("c.zip"), change)
    assert changed.stat().st_size < 2_000_000
    code, _, err = typed("merge", changed, "--into", ours)
    assert code == 2 and "bytes of text" in err and err.count("\n") == 1


def test_a_refused_record_is_no_witness_of_data(typed: Call, packed: Path) -> None:
    """The first record by name of data that are vouched for has a changed reference, and its claim is wrong too."""
    first = min(CELLS, key=lambda cell: cell.id)

    def change(found: dict[str, bytes]) -> None:
        texts(first, another_reference)(found)
        claims(lambda rows: [row.update(substitutions="0") for row in rows if row["cell"] == first.id] and None)(found)

    code, out, err = typed("merge", repack(packed, Path("c.zip"), change), "--into", "new", "--accept-data", "abababab")
    assert code == 2 and err.count("\n") == 1 and first.id in err and "4 attempt(s)" in out


def test_transcripts_bring_no_instructions_for_pandas(typed: Call, ours: Path, packed: Path) -> None:
    def change(found: dict[str, bytes]) -> None:
        name = of(found, IMP, ".parquet")
        table = pq.read_table(io.BytesIO(found[name]))
        to = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({"pandas": '{"index_columns": ["id"]}'}), to)
        found[name] = to.getvalue()

    assert typed("merge", repack(packed, Path("c.zip"), change), "--into", ours)[0] == 0
    (record,) = [record for record in records(ours) if record.cell == IMP.id]
    assert "id" in record.transcripts("test").columns


def test_where_all_is_left_out_no_folder_is_made(typed: Call, packed: Path) -> None:
    code, out, err = typed("merge", packed, "--into", "new")  # nothing here knows the data
    assert code == 2 and err.count("\n") == 4 and "--accept-data abababababab" in err
    assert "1 attempt(s)" in out  # the failure has no data
    only = Path("only.zip")
    repack(
        packed, only, lambda found: [found.pop(name) for name in list(found) if "random" in str(found[name])] and None
    )
    code, _, err = typed("merge", only, "--into", "other")
    assert code == 2 and not Path("other").exists()


def test_a_changed_member_is_found_by_its_digest(typed: Call, ours: Path, packed: Path) -> None:
    change = edit(IMP, "record.json", put("seconds", to=1.0))
    code, _, err = typed("merge", repack(packed, Path("c.zip"), change, honest=False), "--into", ours)
    assert code == 2 and "record.json changed since it was packed (SHA-256)" in err and err.count("\n") == 1
    assert not (ours / "runs" / IMP.id).exists()


def test_another_record_of_one_name(typed: Call, ours: Path, packed: Path) -> None:
    assert typed("merge", packed, "--into", ours)[0] == 0
    before = snapshot(ours)
    change = edit(IMP, "record.json", put("training", "seconds", to=1.0))
    code, _, err = typed("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and "has something else of that name" in err
    assert snapshot(ours) == before


def test_a_spec_under_a_false_name(typed: Call, ours: Path, packed: Path) -> None:
    def change(found: dict[str, bytes]) -> None:
        (name,) = [name for name in found if name.startswith("specs/")]
        found["specs/0123456789abcdef.json"] = found.pop(name)

    code, _, err = typed("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and "specs/0123456789abcdef.json: its name is not that of its content" in err
    assert not (ours / "specs").exists()


def test_control_characters_do_not_reach_the_terminal(typed: Call, ours: Path, packed: Path) -> None:
    change = in_spec("method", "name", to="\x1b[2J\nfalse line" * 100)
    code, _, err = typed("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and "\x1b" not in err and err.count("\n") == 1 and len(err) < 800


def test_references_of_accepted_data_agree_among_each_other(typed: Call, packed: Path) -> None:
    changed = repack(packed, Path("c.zip"), texts(IMP, another_reference))
    code, _, err = typed("merge", changed, "--into", "new", "--accept-data", "ABABABAB")
    assert code == 2 and err.count("\n") >= 1 and "is not that of cell" in err


def test_data_of_a_synthetic_corpus_are_made_here(typed: Call, tmp_path: Path) -> None:
    import benchmark

    split = benchmark.get("corpus", "synthetic-hi").load("test", 3)
    about = benchmark.get("corpus", "synthetic-hi").identity(("train", "test"))
    run = open_run(tmp_path / "run", create=True)

    def commit(digest: str, references: list[str], seed: int) -> None:
        cell = cell_of("dense", seed=seed, **about, evaluate={"test": 3})
        attempt = Attempt.create(run, cell.id, cell.identity())
        data = ok_data(cell.identity())
        columns = {"id": list(split.ids), "reference": references, "hypothesis": references}
        columns |= {"speaker": list(split.speakers)} if seed != 3 else {}
        name = attempt.write_transcripts("synthetic-hi", "hi", "test", columns)
        data["data"]["test"] = {"hash": digest, "utterances": 3, "transcripts": name}
        attempt.commit(data)

    commit(split.data_hash, list(split.texts), 0)
    commit("ef" * 32, list(split.texts), 1)
    commit(split.data_hash, ["अ", *split.texts[1:]], 2)
    commit(split.data_hash, list(split.texts), 3)
    assert typed("bundle", run, "--to", "b.zip")[0] == 0
    code, out, err = typed("merge", "b.zip", "--into", "new")
    assert code == 2 and "1 attempt(s)" in out and "3 left out" in out
    assert "it lacks a column speaker, unlike corpus synthetic-hi" in err
    assert "its data are efefefefefef, and synthetic-hi has" in err
    assert "is not that of corpus synthetic-hi" in err

"""Bundles: what is packed, byte for byte; what is let in again; and every lie that is found, named and left out."""

from __future__ import annotations

import csv
import hashlib
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
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.cli.main import invoke
from benchmark.specs import Cell, digest
from benchmark.store.bundles import CLAIMED
from benchmark.store.folders import keep_spec, open_run
from benchmark.store.records import MODEL, PLAN, Attempt, latest, records
from benchmark.store.timings import write_timing
from tests.fake_runs import fail, ok_data, sentences, spoil

Call = Callable[..., tuple[int, str, str]]
Change = Callable[[dict[str, bytes]], None]
CORPUS = {"name": "fake-hi", "version": "1", "language": "hi", "options": {}, "evaluate": {"test": 12}}
STAMPS = iter(range(10**6))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run one command in an empty folder; return its exit code, stdout and stderr."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = invoke([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def cell_of(method: str, kind: str = "none", keep: float | None = None, seed: int = 0, **corpus: Any) -> Cell:
    return Cell.model_validate({
        "model": {"name": "fake-nano", "revision": "fake", "options": {}},
        "corpus": {**CORPUS, **corpus},
        "method": {"name": method, "options": {}, "version": "1"},
        "budget": {"kind": kind, "keep": keep},
        "training": {"steps": 120},
        "decoding": {"beams": 1, "max_new_tokens": 44},
        "seed": seed,
    })  # fmt: skip


def result(run: Path, cell: Cell, error: float, digest: str = "ab" * 32, utterances: int = 12) -> Path:
    """Commit a consistent invented result whose id is that of its spec; return the attempt's folder."""
    import numpy as np

    keep = cell.budget.keep or 1.0
    data = ok_data(cell.identity(), nominal=keep, stored=keep if cell.budget.kind == "prunable_stored" else 1.0)
    counts = data["counts"]
    data["plan"] |= {
        "nominal": counts["prunable_nonzero"] / counts["prunable"],
        "stored": counts["prunable_stored"] / counts["prunable"],
    }
    if cell.budget.keep is not None:
        data["budget"]["reached"] = data["plan"]["nominal"]
    attempt = Attempt.create(run, cell.id, cell.identity())
    (attempt.path / MODEL).write_bytes(b"weights " * 1000)
    (attempt.path / PLAN).write_bytes(b"a plan")
    texts = sentences("test", utterances)
    heard = spoil(texts, error, np.random.default_rng(next(STAMPS)))
    columns = {"id": [f"u{n}" for n in range(utterances)], "reference": texts, "hypothesis": heard}
    name = attempt.write_transcripts("fake-hi", "hi", "test", columns)
    data["data"]["test"] = {"hash": digest, "utterances": utterances, "transcripts": name}
    return attempt.commit(data).path


CELLS = [
    cell_of("dense"),
    cell_of("imp", "prunable_nominal", 0.4),
    cell_of("l1_group", "prunable_stored", 0.4),
    cell_of("imp", "prunable_nominal", 0.4, seed=1),
]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's run folder: four results, a failure, timings and a spec."""
    run = open_run(tmp_path_factory.mktemp("theirs") / "run", create=True)
    made = [result(run, cell, error) for cell, error in zip(CELLS, (0.05, 0.2, 0.4, 0.25), strict=True)]
    fail(run, cell_of("random", "prunable_stored", 0.1).identity(), "missed")
    # fake_runs names cells otherwise; put the failure where its spec says
    wrong = next(record for record in records(run) if record.failed)
    identity = cell_of("random", "prunable_stored", 0.1).identity()
    shutil.rmtree(wrong.path.parent)
    Attempt.create(run, cell_of("random", "prunable_stored", 0.1).id, identity).commit(
        {"status": "failed", "error": {"type": "BudgetMissedError", "message": "missed"}, "spec": identity}
    )
    rows = [{"cell": path.parent.name, "attempt": path.name, "batch": 8, "rtfx": 90.0, "speedup": 1.5} for path in made]
    write_timing(run, "their-cpu", rows)
    keep_spec(run, {"grid": [{"methods": [{"name": "dense"}]}], "normalizer": "auto"}, [cell.id for cell in CELLS])
    return run


@pytest.fixture(scope="module")
def packed(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("packed") / "b.zip"
    assert invoke(["bundle", str(theirs), "--to", str(to)]) == 0
    return to


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Our own run folder: one result on the same test data."""
    run = open_run(tmp_path / "ours", create=True)
    result(run, cell_of("magnitude", "prunable_nominal", 0.4), 0.3)
    return run


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repack(source: Path, to: Path, change: Change, *, honest: bool = True) -> Path:
    """Write a changed copy of a bundle; an honest one lists the digests of what it holds now."""
    found = members(source)
    change(found)
    if honest and "bundle.json" in found:
        about = json.loads(found["bundle.json"])
        about["sha256"] = {k: hashlib.sha256(v).hexdigest() for k, v in found.items() if k != "bundle.json"}
        found["bundle.json"] = json.dumps(about).encode()
    with zipfile.ZipFile(to, "w") as archive:
        for name, data in found.items():
            archive.writestr(name, data)
    return to


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def of(found: dict[str, bytes], cell: Cell, ends: str) -> str:
    (name,) = [name for name in found if name.startswith(f"runs/{cell.id}/") and name.endswith(ends)]
    return name


def edit(cell: Cell, ends: str, how: Callable[[Any], None]) -> Change:
    """Change one JSON file of a cell's attempt."""

    def change(found: dict[str, bytes]) -> None:
        name = of(found, cell, ends)
        data = json.loads(found[name])
        how(data)
        found[name] = json.dumps(data).encode()

    return change


def claims(how: Callable[[list[dict[str, str]]], None]) -> Change:
    def change(found: dict[str, bytes]) -> None:
        rows = list(csv.DictReader(io.StringIO(found["scores.csv"].decode())))
        how(rows)
        text = io.StringIO()
        writer = csv.DictWriter(text, CLAIMED)
        writer.writeheader()
        writer.writerows(rows)
        found["scores.csv"] = text.getvalue().encode()

    return change


def texts(cell: Cell, how: Callable[[dict[str, list[Any]]], None]) -> Change:
    """Change the transcripts of a cell."""

    def change(found: dict[str, bytes]) -> None:
        name = of(found, cell, ".parquet")
        columns = pq.read_table(io.BytesIO(found[name])).to_pydict()
        how(columns)
        to = io.BytesIO()
        pq.write_table(pa.table(columns), to)
        found[name] = to.getvalue()

    return change


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


def test_equal_records_give_an_equal_file(call: Call, theirs: Path, packed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(theirs, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    assert call("bundle", copy, theirs, "--to", "b.zip")[0] == 0
    assert Path("b.zip").read_bytes() == packed.read_bytes()


def test_a_filter_and_plans(call: Call, theirs: Path) -> None:
    code, out, _ = call("bundle", theirs, "--to", "b.zip", "--method", "imp", "--seeds", "0", "--plans")
    found = members(Path("b.zip"))
    assert code == 0 and "2 attempt(s), 1 timing record(s)" in out
    packed = {name.split("/")[1] for name in found if name.startswith("runs/")}
    assert packed == {CELLS[0].id, CELLS[1].id}, "imp, and dense, which differences are to"
    assert found[of(found, CELLS[1], "plan.safetensors")] == b"a plan"


@pytest.mark.parametrize("name", ["a file", "a folder"])
def test_nothing_is_overwritten(call: Call, theirs: Path, name: str) -> None:
    Path("a folder").mkdir()
    Path("a file").write_text("mine")
    code, out, err = call("bundle", theirs, "--to", name)
    assert (code, out, err.count("\n")) == (2, "", 1) and "exists already" in err
    assert Path("a file").read_text() == "mine"


def test_a_bundle_of_nothing_and_of_no_run_folder(call: Call, tmp_path: Path) -> None:
    empty = open_run(tmp_path / "empty", create=True)
    assert "there is no record to bundle" in call("bundle", empty, "--to", "b.zip")[2]
    assert "no such folder" in call("bundle", tmp_path / "nowhere", "--to", "b.zip")[2]
    assert "unknown normalizer" in call("bundle", empty, "--to", "b.zip", "--normalizer", "hindy")[2]
    assert not Path("b.zip").exists()


def test_a_place_that_cannot_be_written(call: Call, theirs: Path) -> None:
    code, _, err = call("bundle", theirs, "--to", "no/such/b.zip")
    assert code == 2 and "cannot be written" in err and err.count("\n") == 1


def test_a_broken_record_is_named_and_left_out(call: Call, theirs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(theirs, copy)
    next((copy / "runs" / CELLS[0].id).glob("*/record.json")).write_text("{")
    code, out, err = call("bundle", copy, "--to", "b.zip")
    assert code == 1 and "4 attempt(s)" in out and CELLS[0].id in err and err.count("\n") == 1


# --- merging what is whole ----------------------------------------------------------------------------------------


def test_a_whole_bundle_is_the_same_run_folder_again(call: Call, theirs: Path, packed: Path) -> None:
    code, out, err = call("merge", packed, "--into", "new", "--accept-data", "abababab")
    assert (code, err) == (0, "") and "5 attempt(s) and 1 timing record(s) copied" in out
    there, here = snapshot(theirs), snapshot(Path("new"))
    for gone in (MODEL, PLAN, "prunebench.json"):
        there = {name: data for name, data in there.items() if not name.endswith(gone)}
    assert {name: data for name, data in here.items() if name != "prunebench.json"} == there


def test_a_second_time_changes_nothing(call: Call, ours: Path, packed: Path) -> None:
    assert call("merge", packed, "--into", ours)[0] == 0
    before = snapshot(ours)
    code, out, _ = call("merge", packed, "--into", ours)
    assert code == 0 and "0 attempt(s) and 0 timing record(s) copied, 5 attempt(s) were there" in out
    assert snapshot(ours) == before


def test_check_writes_nothing(call: Call, ours: Path, packed: Path) -> None:
    before = snapshot(ours)
    assert "5 attempt(s) and 1 timing record(s) would be copied" in call("merge", packed, "--into", ours, "--check")[1]
    assert snapshot(ours) == before
    assert call("merge", packed, "--into", "new", "--check", "--accept-data", "abababab")[0] == 0
    assert not Path("new").exists()


def test_data_are_known_from_a_folder_that_is_merged_with_it(call: Call, ours: Path, packed: Path) -> None:
    code, out, err = call("merge", ours, packed, "--into", "both")
    assert (code, err) == (0, "") and "6 attempt(s)" in out


def test_merged_results_stand_in_a_report(call: Call, ours: Path, packed: Path) -> None:
    assert call("merge", packed, "--into", ours)[0] == 0
    assert call("report", ours, "--out", "rep", "--only", "table")[0] == 0
    table = Path("rep/leaderboard.md").read_text()
    assert all(method in table for method in ("dense", "imp", "l1_group", "magnitude"))


# --- what fails is named and left out -----------------------------------------------------------------------------

IMP, L1 = CELLS[1], CELLS[2]


def _bump(key: str) -> Change:
    def how(rows: list[dict[str, str]]) -> None:
        row = next(row for row in rows if row["cell"] == IMP.id)
        row[key] = str(float(row[key]) / 2) if key in ("wer", "cer") else str(int(row[key]) - 1)

    return claims(how)


def _resign(rows: list[dict[str, str]]) -> None:
    row = next(row for row in rows if row["cell"] == IMP.id)
    row["signature"] = row["signature"].replace("hindi", "whisper_basic")


def _by_other(rows: list[dict[str, str]]) -> None:
    next(row for row in rows if row["cell"] == IMP.id)["normalizer"] = "klingon"


def _by_newer(rows: list[dict[str, str]]) -> None:
    next(row for row in rows if row["cell"] == IMP.id)["normalizer"] = "hindi:99"


def _unclaimed(rows: list[dict[str, str]]) -> None:
    rows[:] = [row for row in rows if row["cell"] != IMP.id]


def _heard(columns: dict[str, list[Any]]) -> None:
    columns["hypothesis"] = list(columns["reference"])


def _reference(columns: dict[str, list[Any]]) -> None:
    columns["reference"][3] = "अ"


def _twice(columns: dict[str, list[Any]]) -> None:
    columns["id"][3] = columns["id"][4]


def _fewer(columns: dict[str, list[Any]]) -> None:
    for values in columns.values():
        values.pop()


def _no_text(columns: dict[str, list[Any]]) -> None:
    columns["hypothesis"][3] = None


def _unlisted(columns: dict[str, list[Any]]) -> None:
    del columns["hypothesis"]


def _set(*path: str, to: Any) -> Callable[[Any], None]:
    def how(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return how


def _without(ends: str) -> Change:
    def change(found: dict[str, bytes]) -> None:
        del found[of(found, IMP, ends)]

    return change


def _seed(found: dict[str, bytes]) -> None:
    """The spec says another seed, in both files."""
    for ends, path in (("record.json", ("spec", "seed")), ("/spec.json", ("seed",))):
        edit(IMP, ends, _set(*path, to=7))(found)


def _in_spec(*path: str, to: Any) -> Change:
    def change(found: dict[str, bytes]) -> None:
        edit(IMP, "record.json", _set("spec", *path, to=to))(found)
        edit(IMP, "/spec.json", _set(*path, to=to))(found)

    return change


def _garbage(ends: str, data: bytes) -> Change:
    def change(found: dict[str, bytes]) -> None:
        found[of(found, IMP, ends)] = data

    return change


def _missed(found: dict[str, bytes]) -> None:
    """Nothing was removed, and every number says so."""

    def how(data: Any) -> None:
        counts = data["counts"]
        counts |= {"prunable_nonzero": counts["prunable"], "params_nominal": counts["params_dense"]}
        data["plan"]["nominal"] = data["budget"]["reached"] = 1.0
        data["budget"]["allowed"] = 0.9

    edit(IMP, "record.json", how)(found)


ODD: list[tuple[tuple[str, ...], Any, str]] = [
    (("status",), [], "status []"),
    (("training", "calibration_passes"), -5, "training.calibration_passes = -5"),
    (("training", "utterances"), 10**30, "training.utterances = 1000"),
    (("training", "seconds"), 10**400, "training.seconds"),
    (("training", "trained_on"), [1], "training.trained_on.0 = 1"),
    (("seconds",), -44, "seconds = -44"),
    (("data", "test", "skipped"), "many", "data.test.skipped = 'many'"),
    (("data",), {}, "scores are claimed of ['test'], and it has []"),
    (("environment",), [1, 2], "environment = [1, 2]"),
    (("plan", "quantised"), "int3", "plan.quantised = 'int3'"),
    (("decoding",), "x", "decoding = 'x'"),
    (("decoding", "signature"), "beam5,max=44", "its spec means greedy,max=44"),
    (("finished",), "\ud800", "it has half a character in a text"),
    (("colour",), 1, "colour = 1: Extra inputs"),
    (("counts", "weight_bytes"), -1, "counts.weight_bytes = -1"),
    (("counts", "macs", "position"), -3, "counts.macs.position = -3"),
]

LIES: dict[str, tuple[Change, str]] = {
    "substitutions": (_bump("substitutions"), "test: substitutions: '"),
    "wer": (_bump("wer"), "test: wer: '"),
    "cer": (_bump("cer"), "test: cer: '"),
    "length": (_bump("length"), "test: length: '"),
    "utterances": (_bump("utterances"), "test: utterances: '11' is claimed, and the transcripts give '12'"),
    "signature": (claims(_resign), "test: signature: 'wer|whisper_basic"),
    "a normaliser that is not here": (claims(_by_other), "unknown normalizer 'klingon'"),
    "a version that is not here": (claims(_by_newer), "version 99 was asked for"),
    "no claim": (claims(_unclaimed), "scores are claimed of [], and it has ['test']"),
    "hypotheses": (texts(IMP, _heard), "is claimed, and the transcripts give '0'"),
    "a reference": (texts(IMP, _reference), "the reference of 'u3' is not that of"),
    "an utterance twice": (texts(IMP, _twice), "an utterance is there twice"),
    "an utterance less": (texts(IMP, _fewer), "12 utterances are claimed, and the transcripts have 11"),
    "no texts": (texts(IMP, _no_text), "is None, not a text"),
    "no column": (texts(IMP, _unlisted), "transcripts without a column 'hypothesis'"),
    "no parquet": (_garbage(".parquet", b"PAR1 is not enough"), "cannot read transcripts"),
    "no transcripts": (_without(".parquet"), "'transcripts-fake-hi-hi-test.parquet' are not in the bundle"),
    "no record": (_without("record.json"), "it has no record.json"),
    "no spec": (_without("/spec.json"), "spec.json: cannot be read"),
    "half a record": (_garbage("record.json", b'{"format": 1,'), "record.json: not whole JSON"),
    "a list": (_garbage("record.json", b"[]"), "holds a list"),
    "a newer record": (edit(IMP, "record.json", _set("format", to=99)), "format 99 is newer"),
    "another cell": (edit(IMP, "record.json", _set("cell", to="00" * 8)), "says it is 0000"),
    "seed in one file": (edit(IMP, "record.json", _set("spec", "seed", to=7)), "differ in what was asked"),
    "seed": (_seed, f"its spec is that of cell {cell_of('imp', 'prunable_nominal', 0.4, seed=7).id}"),
    "an unknown key": (_in_spec("colour", to=1), "unknown key 'colour'"),
    "a seed that is none": (_in_spec("seed", to="x"), "seed = 'x'"),
    "old identity": (_in_spec("identity", to=1), "identity 1, and this prunebench reads"),
    "fewer weights": (
        edit(IMP, "record.json", _set("counts", "prunable_nonzero", to=100_000)),
        "plan.nominal is not prunable_nonzero / prunable",
    ),
    "more than all": (edit(IMP, "record.json", _set("counts", "prunable_stored", to=2**40)), "not prunable_nonzero <="),
    "grown": (edit(IMP, "record.json", _set("counts", "params_stored", to=2**40)), "params_stored exceed params_dense"),
    "a negative count": (edit(IMP, "record.json", _set("counts", "bytes", to=-1)), "counts.bytes = -1"),
    "a count in words": (edit(IMP, "record.json", _set("counts", "prunable", to="many")), "counts.prunable = 'many'"),
    "reached": (edit(IMP, "record.json", _set("budget", "reached", to=0.1)), "budget.reached = 0.1 is not what is"),
    "asked": (edit(IMP, "record.json", _set("budget", "asked", to=0.1)), "budget: says"),
    "fewer steps": (edit(IMP, "record.json", _set("training", "steps", to=12)), "training.steps = 12, and its spec"),
    "a list for a number": (edit(IMP, "record.json", _set("training", "tokens", to=[1])), "training.tokens = [1]"),
    "unknown data": (
        edit(IMP, "record.json", _set("data", "test", "hash", to="cd" * 32)),
        "ours has abababababab for the same spec",
    ),
    **{
        f"odd: {'.'.join(path)} = {value!r:.20}": (edit(IMP, "record.json", _set(*path, to=value)), said)
        for path, value, said in ODD
    },
    "a column more": (texts(IMP, lambda columns: columns.update(x=columns["id"])), "a column 'x' of string"),
    "speakers of its own": (
        texts(IMP, lambda columns: columns.update(speaker=columns["id"])),
        "it has a column speaker, unlike",
    ),
    "deep": (_garbage("record.json", b"[" * 200_000), "record.json: not whole JSON"),
    "missed": (_missed, "budget: 0.4 was asked, and 1.0000 is missed by more than 0.1250"),
    "a way out": (
        edit(IMP, "record.json", _set("data", "test", "transcripts", to="../../../../etc/passwd")),
        "data.test.transcripts = '../../../../etc/passwd'",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_fails_is_named_and_left_out(call: Call, ours: Path, packed: Path, lie: str) -> None:
    change, expected = LIES[lie]
    changed = repack(packed, Path("changed.zip"), change)
    before = snapshot(ours)
    code, out, err = call("merge", changed, "--into", ours)
    assert code == 2 and err.count("\n") == 1, err
    assert err.startswith("prunebench: error: changed.zip: left out ") and expected in err and IMP.id in err
    assert "4 attempt(s) and 1 timing record(s) copied" in out and "1 left out" in out
    assert not (ours / "runs" / IMP.id).exists()
    assert {record.cell for record in records(ours)} >= {CELLS[0].id, L1.id, CELLS[3].id}
    assert before.items() <= snapshot(ours).items()


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
def test_a_cell_that_its_id_is_right_for(call: Call, ours: Path, packed: Path, other: str) -> None:
    path, value, expected = OTHERS[other]

    def change(found: dict[str, bytes]) -> None:
        _in_spec(*path, to=value)(found)
        cell = digest(json.loads(found[of(found, IMP, "/spec.json")]))[:16]
        edit(IMP, "record.json", _set("cell", to=cell))(found)
        for name in [name for name in found if IMP.id in name]:
            found[name.replace(IMP.id, cell)] = found.pop(name)
        for name in [name for name in found if name == "scores.csv" or name.startswith("timings/")]:
            found[name] = found[name].replace(IMP.id.encode(), cell.encode())

    code, out, err = call("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and err.count("\n") == 1 and expected in err and "4 attempt(s)" in out
    assert call("report", ours, "--out", "rep", "--only", "table")[0] == 0


def _renamed(stamp: str) -> Change:
    """The attempt has another name, everywhere."""

    def change(found: dict[str, bytes]) -> None:
        old = of(found, IMP, "record.json").split("/")[2]
        edit(IMP, "record.json", _set("attempt", to=stamp))(found)
        for name in [name for name in found if old in name]:
            found[name.replace(old, stamp)] = found.pop(name)
        for name in [name for name in found if name == "scores.csv" or name.startswith("timings/")]:
            found[name] = found[name].replace(old.encode(), stamp.encode())

    return change


@pytest.mark.parametrize("stamp", ["zzzz", "99991231T235959.000000Z-abcdef", "20261399T101500.123456Z-abcdef"])
def test_an_attempt_cannot_be_newer_than_now(call: Call, ours: Path, packed: Path, stamp: str) -> None:
    code, _, err = call("merge", repack(packed, Path("c.zip"), _renamed(stamp)), "--into", ours)
    assert code == 2 and err.count("\n") == 1
    assert "lies in the future" in err or "is no time stamp as attempts have" in err


def test_of_a_cell_with_a_result_here_that_one_stays(call: Call, ours: Path, packed: Path) -> None:
    result(ours, IMP, 0.5)
    before = snapshot(ours)
    code, out, err = call("merge", packed, "--into", ours)
    assert (code, err) == (0, "") and "4 attempt(s)" in out and "1 attempt(s) were there already" in out
    assert before.items() <= snapshot(ours).items()
    assert len(list((ours / "runs" / IMP.id).iterdir())) == 1


@pytest.mark.parametrize("row", ["../../victim,sub", "/victim,sub", "..,..", "abcd,..", ".,."])
def test_scores_cannot_name_a_place_outside(call: Call, ours: Path, packed: Path, row: str) -> None:
    victim = Path("victim/sub")
    victim.mkdir(parents=True)
    name = row.replace("/victim", f"{Path('victim').absolute()}") if row.startswith("/") else row

    def change(found: dict[str, bytes]) -> None:
        found["scores.csv"] += f"{name},test,hindi:1,sig,1,0,0,0,1,0.0,0.0\n".encode()

    code, out, err = call("merge", repack(packed, Path("c.zip"), change), "--into", ours, "--check")
    assert (code, out, err.count("\n")) == (2, "", 1) and "no attempt" in err and victim.is_dir()


@pytest.mark.parametrize("name", ["runs/../../x", "runs/a", "/etc/passwd", "runs/aa/../spec.json"])
def test_the_list_cannot_name_a_place_outside(call: Call, ours: Path, packed: Path, name: str) -> None:
    def change(found: dict[str, bytes]) -> None:
        about = json.loads(found["bundle.json"])
        about["sha256"][name] = "00"
        found["bundle.json"] = json.dumps(about).encode()

    code, out, err = call("merge", repack(packed, Path("c.zip"), change, honest=False), "--into", ours)
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
def test_a_timing_that_is_none(call: Call, ours: Path, packed: Path, fault: str) -> None:
    how, expected = TIMINGS[fault]
    code, out, err = call("merge", repack(packed, Path("c.zip"), _timing(how)), "--into", ours)
    assert code == 2 and err.count("\n") == 1 and expected in err
    assert "5 attempt(s) and 0 timing record(s) copied" in out


def test_our_own_attempts_are_not_timed_by_others(call: Call, ours: Path, packed: Path) -> None:
    (mine,) = records(ours)
    change = _timing(lambda data: data["rows"].append({"cell": mine.cell, "attempt": mine.attempt, "speedup": 77.0}))
    code, _, err = call("merge", repack(packed, Path("c.zip"), change), "--into", ours)
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
def test_a_spec_that_is_none(call: Call, ours: Path, packed: Path, fault: str) -> None:
    content, expected = SPECS[fault]
    name = f"specs/{hashlib.sha256(content).hexdigest()[:16]}.json"
    code, out, err = call(
        "merge", repack(packed, Path("c.zip"), lambda found: found.update({name: content})), "--into", ours
    )
    assert code == 2 and err.count("\n") == 1 and name in err and expected in err
    assert "5 attempt(s)" in out and not (ours / name).exists()
    assert call("report", ours, "--out", "rep", "--only", "table")[0] == 0


def test_a_small_file_of_much_text_is_not_read(call: Call, ours: Path, packed: Path) -> None:
    change = texts(IMP, lambda columns: columns.update(hypothesis=["अ" * 8_000_000] * 12))
    changed = repack(packed, Path("c.zip"), change)
    assert changed.stat().st_size < 2_000_000
    code, _, err = call("merge", changed, "--into", ours)
    assert code == 2 and "bytes of text" in err and err.count("\n") == 1


FAILED = cell_of("random", "prunable_stored", 0.1)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("data",), {"test": 5}, "data = {'test': 5}: Extra inputs"),
        (("error", "message"), 5, "error.message = 5"),
        (("error", "message"), "\ud800", "half a character"),
        (("training",), {"trained_on": [{}]}, "Extra inputs"),
        (("seconds",), "x", "seconds"),
    ],
)
def test_failures_are_examined_too(
    call: Call, ours: Path, packed: Path, path: tuple[str, ...], value: Any, expected: str
) -> None:
    change = edit(FAILED, "record.json", _set(*path, to=value))
    code, out, err = call("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and err.count("\n") == 1 and expected in err and "4 attempt(s)" in out


def test_a_refused_record_is_no_witness_of_data(call: Call, packed: Path) -> None:
    """The first record by name of data that are vouched for has a changed reference, and its claim is wrong too."""
    first = min(CELLS, key=lambda cell: cell.id)

    def change(found: dict[str, bytes]) -> None:
        texts(first, _reference)(found)
        claims(lambda rows: [row.update(substitutions="0") for row in rows if row["cell"] == first.id] and None)(found)

    code, out, err = call("merge", repack(packed, Path("c.zip"), change), "--into", "new", "--accept-data", "abababab")
    assert code == 2 and err.count("\n") == 1 and first.id in err and "4 attempt(s)" in out


def test_transcripts_bring_no_instructions_for_pandas(call: Call, ours: Path, packed: Path) -> None:
    def change(found: dict[str, bytes]) -> None:
        name = of(found, IMP, ".parquet")
        table = pq.read_table(io.BytesIO(found[name]))
        to = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({"pandas": '{"index_columns": ["id"]}'}), to)
        found[name] = to.getvalue()

    assert call("merge", repack(packed, Path("c.zip"), change), "--into", ours)[0] == 0
    (record,) = [record for record in records(ours) if record.cell == IMP.id]
    assert "id" in record.transcripts("test").columns


def test_transcripts_that_are_missing_are_named_and_the_rest_is_packed(
    call: Call, theirs: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(theirs, copy)
    next((copy / "runs" / IMP.id).glob("*/*.parquet")).unlink()
    code, out, err = call("bundle", copy, "--to", "b.zip")
    assert code == 1 and "4 attempt(s)" in out and err.count("\n") == 1 and IMP.id in err


def test_where_all_is_left_out_no_folder_is_made(call: Call, packed: Path) -> None:
    code, out, err = call("merge", packed, "--into", "new")  # nothing here knows the data
    assert code == 2 and err.count("\n") == 4 and "--accept-data abababababab" in err
    assert "1 attempt(s)" in out  # the failure has no data
    only = Path("only.zip")
    repack(
        packed, only, lambda found: [found.pop(name) for name in list(found) if "random" in str(found[name])] and None
    )
    code, _, err = call("merge", only, "--into", "other")
    assert code == 2 and not Path("other").exists()


def test_a_changed_member_is_found_by_its_digest(call: Call, ours: Path, packed: Path) -> None:
    change = edit(IMP, "record.json", _set("seconds", to=1.0))
    code, _, err = call("merge", repack(packed, Path("c.zip"), change, honest=False), "--into", ours)
    assert code == 2 and "record.json changed since it was packed (SHA-256)" in err and err.count("\n") == 1
    assert not (ours / "runs" / IMP.id).exists()


def test_another_record_of_one_name(call: Call, ours: Path, packed: Path) -> None:
    assert call("merge", packed, "--into", ours)[0] == 0
    before = snapshot(ours)
    change = edit(IMP, "record.json", _set("training", "seconds", to=1.0))
    code, _, err = call("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and "has something else of that name" in err
    assert snapshot(ours) == before


def test_a_spec_under_a_false_name(call: Call, ours: Path, packed: Path) -> None:
    def change(found: dict[str, bytes]) -> None:
        (name,) = [name for name in found if name.startswith("specs/")]
        found["specs/0123456789abcdef.json"] = found.pop(name)

    code, _, err = call("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and "specs/0123456789abcdef.json: its name is not that of its content" in err
    assert not (ours / "specs").exists()


def test_control_characters_do_not_reach_the_terminal(call: Call, ours: Path, packed: Path) -> None:
    change = _in_spec("method", "name", to="\x1b[2J\nfalse line" * 100)
    code, _, err = call("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and "\x1b" not in err and err.count("\n") == 1 and len(err) < 800


def test_references_of_accepted_data_agree_among_each_other(call: Call, packed: Path) -> None:
    changed = repack(packed, Path("c.zip"), texts(IMP, _reference))
    code, _, err = call("merge", changed, "--into", "new", "--accept-data", "ABABABAB")
    assert code == 2 and err.count("\n") >= 1 and "is not that of cell" in err


# --- a synthetic corpus is its own witness ------------------------------------------------------------------------


def test_data_of_a_synthetic_corpus_are_made_here(call: Call, tmp_path: Path) -> None:
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
    assert call("bundle", run, "--to", "b.zip")[0] == 0
    code, out, err = call("merge", "b.zip", "--into", "new")
    assert code == 2 and "1 attempt(s)" in out and "3 left out" in out
    assert "it lacks a column speaker, unlike corpus synthetic-hi" in err
    assert "its data are efefefefefef, and synthetic-hi has" in err
    assert "is not that of corpus synthetic-hi" in err


# --- what is no bundle --------------------------------------------------------------------------------------------


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
    repack(source, to, _bump("wer"), honest=False)


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
def test_what_is_no_bundle_is_one_line_and_leaves_nothing(call: Call, packed: Path, ours: Path, fault: str) -> None:
    make, expected = NO_BUNDLES[fault]
    make(Path("bad.zip"), packed)
    before = snapshot(ours)
    for into in (ours, Path("new")):
        code, out, err = call("merge", "bad.zip", "--into", into)
        assert (code, out, err.count("\n")) == (2, "", 1) and "bad.zip: " in err and expected in err, err
    assert snapshot(ours) == before and not Path("new").exists() and not Path("../evil.json").exists()


def test_a_bomb_is_not_unpacked(call: Call, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.store import attached, unpacking

    monkeypatch.setattr(unpacking, "MOST_OF_ONE", 100)
    assert "more than 100" in call("merge", packed, "--into", "new")[2]
    monkeypatch.undo()
    monkeypatch.chdir(packed.parent)
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1000)
    assert "more than 1,000; bundle it in parts" in call("merge", packed, "--into", "new")[2]
    monkeypatch.setattr(unpacking, "MOST_BYTES", 2**32)
    monkeypatch.setattr(attached, "MOST_TEXT", 100)
    code, _, err = call("merge", packed, "--into", "new", "--accept-data", "abababab")
    assert code == 2 and "its transcripts hold more than 100 bytes of text" in err
    shutil.rmtree("new")


@pytest.mark.parametrize("start", ["", "abab", "xyzxyzxyz"])
def test_data_are_vouched_for_by_hexadecimal_digits(call: Call, packed: Path, start: str) -> None:
    code, _, err = call("merge", packed, "--into", "new", "--accept-data", start)
    assert code == 2 and "give at least 8 hexadecimal digits" in err and not Path("new").exists()


def test_the_target_is_looked_at_first(call: Call, packed: Path) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    code, _, err = call("merge", packed, "--into", "full")
    assert code == 2 and "has other things in it" in err and [p.name for p in Path("full").iterdir()] == ["mine.txt"]

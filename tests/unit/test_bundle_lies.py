"""Every lie that a record of a bundle can tell is found, named and left out; the other records are merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.store.records import records
from tests.bundling import (
    CELLS,
    IMP,
    L1,
    Call,
    Change,
    another_reference,
    bump,
    cell_of,
    claims,
    edit,
    in_spec,
    of,
    put,
    repack,
    snapshot,
    texts,
)

pytest_plugins = ["tests.bundled"]


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


def _twice(columns: dict[str, list[Any]]) -> None:
    columns["id"][3] = columns["id"][4]


def _fewer(columns: dict[str, list[Any]]) -> None:
    for values in columns.values():
        values.pop()


def _no_text(columns: dict[str, list[Any]]) -> None:
    columns["hypothesis"][3] = None


def _unlisted(columns: dict[str, list[Any]]) -> None:
    del columns["hypothesis"]


def _without(ends: str) -> Change:
    def change(found: dict[str, bytes]) -> None:
        del found[of(found, IMP, ends)]

    return change


def _seed(found: dict[str, bytes]) -> None:
    """The spec says another seed, in both files."""
    for ends, path in (("record.json", ("spec", "seed")), ("/spec.json", ("seed",))):
        edit(IMP, ends, put(*path, to=7))(found)


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
    "substitutions": (bump("substitutions"), "test: substitutions: '"),
    "wer": (bump("wer"), "test: wer: '"),
    "cer": (bump("cer"), "test: cer: '"),
    "length": (bump("length"), "test: length: '"),
    "utterances": (bump("utterances"), "test: utterances: '11' is claimed, and the transcripts give '12'"),
    "signature": (claims(_resign), "test: signature: 'wer|whisper_basic"),
    "a normaliser that is not here": (claims(_by_other), "unknown normalizer 'klingon'"),
    "a version that is not here": (claims(_by_newer), "version 99 was asked for"),
    "no claim": (claims(_unclaimed), "scores are claimed of [], and it has ['test']"),
    "hypotheses": (texts(IMP, _heard), "is claimed, and the transcripts give '0'"),
    "a reference": (texts(IMP, another_reference), "the reference of 'u3' is not that of"),
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
    "a newer record": (edit(IMP, "record.json", put("format", to=99)), "format 99 is newer"),
    "another cell": (edit(IMP, "record.json", put("cell", to="00" * 8)), "says it is 0000"),
    "seed in one file": (edit(IMP, "record.json", put("spec", "seed", to=7)), "differ in what was asked"),
    "seed": (_seed, f"its spec is that of cell {cell_of('imp', 'prunable_nominal', 0.4, seed=7).id}"),
    "an unknown key": (in_spec("colour", to=1), "unknown key 'colour'"),
    "a seed that is none": (in_spec("seed", to="x"), "seed = 'x'"),
    "old identity": (in_spec("identity", to=1), "identity 1, and this prunebench reads"),
    "fewer weights": (
        edit(IMP, "record.json", put("counts", "prunable_nonzero", to=100_000)),
        "plan.nominal is not prunable_nonzero / prunable",
    ),
    "more than all": (
        edit(IMP, "record.json", put("counts", "prunable_stored", to=2**40)),
        "not prunable_nonzero <=",
    ),
    "grown": (
        edit(IMP, "record.json", put("counts", "params_stored", to=2**40)),
        "params_stored exceed params_dense",
    ),
    "a negative count": (edit(IMP, "record.json", put("counts", "bytes", to=-1)), "counts.bytes = -1"),
    "a count in words": (edit(IMP, "record.json", put("counts", "prunable", to="many")), "counts.prunable = 'many'"),
    "reached": (edit(IMP, "record.json", put("budget", "reached", to=0.1)), "budget.reached = 0.1 is not what is"),
    "asked": (edit(IMP, "record.json", put("budget", "asked", to=0.1)), "budget: says"),
    "fewer steps": (edit(IMP, "record.json", put("training", "steps", to=12)), "training.steps = 12, and its spec"),
    "a list for a number": (edit(IMP, "record.json", put("training", "tokens", to=[1])), "training.tokens = [1]"),
    "unknown data": (
        edit(IMP, "record.json", put("data", "test", "hash", to="cd" * 32)),
        "ours has abababababab for the same spec",
    ),
    **{
        f"odd: {'.'.join(path)} = {value!r:.20}": (edit(IMP, "record.json", put(*path, to=value)), said)
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
        edit(IMP, "record.json", put("data", "test", "transcripts", to="../../../../etc/passwd")),
        "data.test.transcripts = '../../../../etc/passwd'",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_fails_is_named_and_left_out(typed: Call, ours: Path, packed: Path, lie: str) -> None:
    change, expected = LIES[lie]
    changed = repack(packed, Path("changed.zip"), change)
    before = snapshot(ours)
    code, out, err = typed("merge", changed, "--into", ours)
    assert code == 2 and err.count("\n") == 1, err
    assert err.startswith("prunebench: error: changed.zip: left out ") and expected in err and IMP.id in err
    assert "4 attempt(s) and 1 timing record(s) copied" in out and "1 left out" in out
    assert not (ours / "runs" / IMP.id).exists()
    assert {record.cell for record in records(ours)} >= {CELLS[0].id, L1.id, CELLS[3].id}
    assert before.items() <= snapshot(ours).items()


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
    typed: Call, ours: Path, packed: Path, path: tuple[str, ...], value: Any, expected: str
) -> None:
    change = edit(FAILED, "record.json", put(*path, to=value))
    code, out, err = typed("merge", repack(packed, Path("c.zip"), change), "--into", ours)
    assert code == 2 and err.count("\n") == 1 and expected in err and "4 attempt(s)" in out

"""One bench for many one-cell trees: what it has loaded is shared, what a spec says is its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.errors import SpecError
from benchmark.harness.bench import Bench
from benchmark.harness.tree import grow
from benchmark.harness.worker import Worker
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard
from benchmark.store.folders import open_run
from benchmark.store.records import MODEL, Record, latest
from tests.tiny import drop_out

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC: dict[str, Any] = {
    "name": "shared",
    "corpus": {"name": "synthetic-hi", "evaluate": {"dev": 4}},
    "grid": [{"methods": ["dense"]}],
    "training": {"steps": 2, "batch": 2, "utterances": 8},
    "profile": None,
}


def spec(**changes: Any) -> Leaderboard:
    return Leaderboard.parse({**SPEC, **changes}, "a test")


CHANGES: list[dict[str, Any]] = [
    {"training": {**SPEC["training"], "learning_rate": 1e-3, "steps": 3}},
    {"grid": [{"methods": ["magnitude"], "budget": "prunable_nominal", "keep": [0.5]}]},
    {"corpus": {**SPEC["corpus"], "evaluate": {"dev": 4, "test": 3}}, "decoding": {"max_new_tokens": 3}},
    {"keep_artefacts": "none", "seeds": [5]},
]


def work(folder: Path, asked: Leaderboard, bench: Bench | None) -> Record:
    run = open_run(folder, create=True)
    job = folder / "job"
    job.mkdir(exist_ok=True)
    tree = grow(asked)
    Worker(tree, run, job, lambda event: None, bench=bench).work()
    return next(record for record in latest(run) if record.cell == tree.cells[0].cell.id)


def meaning(record: Record) -> dict[str, Any]:
    """Return what a record says, without times."""
    told = {key: record.data[key] for key in ("spec", "plan", "counts", "budget", "data", "decoding")}
    spent = {key: value for key, value in record.data["training"].items() if key != "seconds"}
    said = {split: record.transcripts(split).to_dict("list") for split in record.data["data"]}
    return {**told, "training": spent, "said": said, "model": (record.path / MODEL).exists()}


@pytest.mark.parametrize("change", CHANGES)
def test_a_shared_bench_gives_the_record_that_one_of_its_own_gives(tmp_path: Path, change: dict[str, Any]) -> None:
    shared = Bench(spec())
    work(tmp_path / "shared", spec(), shared)
    ours = work(tmp_path / "shared", spec(**change), shared)
    theirs = work(tmp_path / "own", spec(**change), None)
    assert meaning(ours) == meaning(theirs)
    assert ours.data["decoding"]["signature"] == spec(**change).decoding.signature()
    assert shared.spec == spec()  # it stays as it is


def test_everything_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = REGISTRY.lookup("model", "nano-hi")
    corpus = REGISTRY.lookup("corpus", "synthetic-hi")
    loads: list[Any] = []

    def counted(owner: type, original: Any) -> None:
        def load(self: Any, *arguments: Any) -> Any:
            loads.append(arguments)
            return original(self, *arguments)

        monkeypatch.setattr(owner, "load", load)

    counted(model, model.load)
    counted(corpus, corpus.load)
    first = Bench(spec())
    for rate in (1e-4, 1e-3):  # also where the first loads nothing before the others do
        other = first.for_spec(spec(training={**SPEC["training"], "learning_rate": rate}))
        assert other.spec.training.learning_rate == rate
        other.prepare()
    assert sorted(map(str, loads)) == ["('dev', 4)", "('train', 8)", "()"]
    again = other.for_spec(spec(corpus={**SPEC["corpus"], "evaluate": {"test": 3, "dev": 4}}))
    assert list(again.evaluations) == ["test", "dev"] and again.material is first.material
    assert again.evaluations["dev"] is first.evaluations["dev"]
    assert len(loads) == 4 and first.structure is again.structure
    assert list(first.evaluations) == ["dev"]


def test_a_model_with_dropout_in_parts_is_refused_before_anything_is_trained() -> None:
    bench = Bench(spec(training={**SPEC["training"], "accumulate": 2}))
    bench.prepare()
    drop_out(bench._loaded[0], 0.1)
    with pytest.raises(SpecError, match="a batch in 2 parts"):
        bench.prepare()


def test_a_model_that_is_trained_is_nobody_elses(tmp_path: Path) -> None:
    shared = Bench(spec())
    before = {name: value.clone() for name, value in shared._loaded[0].state_dict().items()}
    work(tmp_path / "run", spec(), shared)
    assert all(torch.equal(value, before[name]) for name, value in shared._loaded[0].state_dict().items())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": {"name": "nano-multi"}}, "model"),
        ({"model": {"name": "nano-hi", "options": {"revision": "x"}}}, "model"),
        ({"corpus": {**SPEC["corpus"], "name": "synthetic-en"}}, "corpus"),
        ({"corpus": {**SPEC["corpus"], "options": {"seed": 3}}}, "corpus"),
        ({"corpus": {**SPEC["corpus"], "train": "dev"}}, "training split"),
        ({"training": {**SPEC["training"], "utterances": 9}}, "training pool"),
    ],
)
def test_another_model_corpus_or_pool_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(SpecError, match=f"a bench with {named} .* cannot serve"):
        Bench(spec()).for_spec(spec(**change))

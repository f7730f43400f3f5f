"""Looking at a cell while it trains: what is seen, that it leaves no trace, and what becomes of a stopped cell."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from filelock import Timeout
from safetensors.torch import load_file

import benchmark
from benchmark.api import Budget, Fit, Method, Prune, Rewind, Step
from benchmark.errors import DataError, SpecError
from benchmark.harness.batches import Tokenised, stream_order
from benchmark.harness.bench import Bench, device
from benchmark.harness.looking import Eyes, Looks
from benchmark.harness.state import Workshop
from benchmark.harness.training import Given, fit
from benchmark.harness.tree import Tree, grow
from benchmark.harness.watch import Watch
from benchmark.harness.worker import Worker, claim
from benchmark.measure.scores import Normalised, scored
from benchmark.pruning.weights import MagnitudeWeights
from benchmark.registry import REGISTRY
from benchmark.specs import Leaderboard, Training
from benchmark.store.folders import open_run
from benchmark.store.records import Record, finished, latest, records
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from tests.tiny import random_plan, tiny_whisper

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC: dict[str, Any] = {
    "name": "watched",
    "corpus": {"name": "synthetic-hi", "evaluate": {"dev": 6, "test": 2}},
    "grid": [
        {
            "methods": [{"name": "magnitude", "options": {"split": 0.25}}],
            "budget": "prunable_nominal",
            "keep": [0.6],
        }
    ],
    "training": {"steps": 8, "batch": 2, "utterances": 8},
    "profile": None,
}


def tree_of(**changes: Any) -> Tree:
    return grow(Leaderboard.parse({**SPEC, **changes}, "a test"))


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(tree_of().spec)


class Told:
    """What a worker says, and what a look saw; it stops at a step, or raises there."""

    def __init__(self, stop_at: int | None = None, error: BaseException | None = None) -> None:
        self.stop_at, self.error = stop_at, error
        self.events: list[dict[str, Any]] = []
        self.seen: list[list[float]] = []

    def look(self, at: int, rate: float) -> str | None:
        self.seen.append([at, rate])
        if at == self.stop_at and self.error is not None:
            raise self.error
        return "worse than the median" if at == self.stop_at else None


def work(
    folder: Path, bench: Bench, told: Told | None = None, every: int = 2, tree: Tree | None = None
) -> tuple[Path, Told]:
    run, told_or_none = open_run(folder / "run", create=True), told
    told = told or Told()
    job = folder / "job"
    job.mkdir(exist_ok=True)
    watch = None if told_or_none is None else Watch(every, 4, "auto", told.look)
    Worker(tree or tree_of(), run, job, told.events.append, bench=bench, watch=watch).work()
    return run, told


def weights(run: Path, tree: Tree) -> dict[str, torch.Tensor]:
    (path,) = tree.cells
    assert path.last is not None
    return load_file(Workshop(run).path(path.last) / "model.safetensors")


# --- no trace -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_are_equal_to_the_bit_with_and_without_a_look(tmp_path: Path, bench: Bench, precision: str) -> None:
    tree = tree_of(training={**SPEC["training"], "precision": precision})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone, _ = work(tmp_path / "a", bench, tree=tree)
    watched, told = work(tmp_path / "b", bench, Told(), tree=tree)
    assert [at for at, _ in told.seen] == [4, 6]  # the last Fit goes from step 2 to 8
    ours, theirs = weights(watched, tree), weights(alone, tree)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    (one,), (other,) = latest(alone), latest(watched)
    assert one.transcripts("test").equals(other.transcripts("test"))
    assert "watched" not in one.data and other.data["watched"]["values"] == told.seen
    assert one.data["training"].keys() == other.data["training"].keys()
    assert one.data["training"]["losses"] == other.data["training"]["losses"]


def trained(look: Callable[[Any, Plan], Looks] | None) -> tuple[Any, dict[str, Any]]:
    """Train a tiny model with dropout and SpecAugment, whose randomness comes from the global generators."""
    torch.manual_seed(0)
    model: Any = tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12).to(device())
    model.config.apply_spec_augment, model.config.mask_time_prob, model.config.mask_time_length = True, 0.5, 2
    for module in model.modules():
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.2
    draw = np.random.default_rng(0)
    data = Tokenised(draw.normal(size=(4, 8, 16)).astype(np.float16), [[4, 5, 6], [7, 8], [9, 4, 5, 6], [5]])
    structure = Structure.of(model)
    plan = random_plan(structure, 1)
    recipe = Training(batch=2, learning_rate=1e-3)
    done = fit(
        model,
        data,
        stream_order(4, 2, 0, 0, 6),
        recipe,
        Given(
            steps=6,
            seed=5,
            masker=Masker(model, structure, plan),
            look=None if look is None else look(model, plan),
        ),
    )
    return model, done.optimizer


def test_a_look_that_draws_from_every_generator_leaves_no_trace() -> None:
    modes = []

    def hear(model: Any, plan: Plan) -> list[str]:
        modes.append(model.training)
        small = shrink(model, plan).eval()
        small(
            input_features=torch.rand(1, 8, 16, device=device()), decoder_input_ids=torch.tensor([[3]], device=device())
        )
        return [str((random.random(), np.random.rand(), float(torch.rand(1)), float(torch.rand(1, device=device()))))]

    def look(at: int, rate: float) -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    watch = Watch(1, 1, "identity", look)
    eyes = cast("Eyes", SimpleNamespace(watch=watch, hear=hear, rate=lambda said: float(len(said))))
    plain, plain_moments = trained(None)
    watched, moments = trained(lambda model, plan: Looks(eyes, model, plan, 0))
    assert modes == [True] * 5  # never after the last step, and the model that trains stays in its mode
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
    for name, parts in plain_moments.items():
        assert all(torch.equal(value, moments[name][part]) for part, value in parts.items()), name


def test_what_is_heard_is_what_the_cell_says_in_the_end(tmp_path: Path, bench: Bench) -> None:
    tree = tree_of()
    run, told = work(tmp_path, bench, Told(), tree=tree)
    (record,) = latest(run)
    state = Workshop(run).load(tree.cells[0].last)
    model = bench.model(state)
    Masker(model, bench.structure, state.plan).apply_()
    eyes = Eyes(Watch(2, 6, "auto", told.look), bench)
    heard = eyes.hear(model, state.plan)
    assert heard == record.transcripts("dev")["hypothesis"].tolist()
    assert (
        eyes.rate(heard)
        == scored(record, "dev", Normalised("auto")).main.errors.sum()
        / scored(record, "dev", Normalised("auto")).main.lengths.sum()
    )
    about = record.data["watched"]
    assert (about["split"], about["utterances"]) == ("dev", 4)
    assert about["signature"] == scored(record, "dev", Normalised("auto")).signature


# --- stopping -----------------------------------------------------------------------------------------------------


def stopped_run(folder: Path, bench: Bench) -> tuple[Path, Told, Record]:
    run, told = work(folder, bench, Told(stop_at=4))
    (record,) = records(run)
    return run, told, record


def test_a_stopped_cell_has_a_record_that_is_no_result(tmp_path: Path, bench: Bench) -> None:
    run, told, record = stopped_run(tmp_path, bench)
    (path,) = tree_of().cells
    assert told.seen[-1][0] == 4 and len(told.seen) == 1
    assert (record.ok, record.failed, record.stopped) == (False, False, True)
    assert record.error == "stopped at step 4 of 8: worse than the median"
    assert record.data["status"] == "pruned" and record.data["watched"]["values"] == told.seen
    assert finished(run, record.cell) is None and latest(run) == [record]
    spent = record.data["training"]
    assert (spent["steps"], spent["utterances"], len(spent["losses"])) == (4, 8, 2)
    assert spent["nodes"] == list(path.nodes[:1]) and spent["seconds"] > 0
    assert not Workshop(run).path(path.nodes[1]).exists()
    assert {"stopped": record.cell} in told.events and not any("failed" in event for event in told.events)
    with pytest.raises(benchmark.errors.StoreError, match="stopped while it trained"):
        benchmark.load(record.path)


def test_a_stopped_cell_is_settled_for_its_job_and_computed_by_a_leaderboard(tmp_path: Path, bench: Bench) -> None:
    run, told, record = stopped_run(tmp_path, bench)
    work(tmp_path, bench, told)
    assert records(run) == [record]  # another worker of the same job leaves it alone
    outcome = benchmark.run(SPEC, out=run, workers=0, quiet=True)
    assert not outcome.failed and [one.cell for one in outcome.records] == [record.cell]
    assert outcome.records[0].ok and "watched" not in outcome.records[0].data
    assert latest(run) == outcome.records


@pytest.mark.parametrize("error", [RuntimeError("the database is gone"), Timeout("journal.lock"), KeyboardInterrupt()])
def test_what_a_look_raises_is_raised_and_leaves_nothing(tmp_path: Path, bench: Bench, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        work(tmp_path, bench, Told(stop_at=4, error=error))
    assert raised.value is error
    run, (path,) = tmp_path / "run", tree_of().cells
    assert not records(run) and not list((run / "runs").glob("*/*")) and not list((tmp_path / "job").iterdir())
    assert not Workshop(run).path(path.nodes[1]).exists()
    with claim(run, path.nodes[1]).acquire(timeout=0):  # given back
        pass
    again, _ = work(tmp_path, bench, Told())
    assert latest(again)[0].ok


def test_a_normaliser_that_breaks_is_no_failure_of_the_cell(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Eyes, said: list[str]) -> float:
        raise SpecError("normalizer 'x' failed on utterance 1")

    monkeypatch.setattr(Eyes, "rate", broken)
    with pytest.raises(SpecError, match="normalizer 'x' failed"):
        work(tmp_path, bench, Told())
    assert not records(tmp_path / "run")


def test_a_cell_that_fails_while_it_is_watched_fails(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dark(self: Eyes, model: Any, plan: Plan) -> list[str]:
        raise FloatingPointError("nothing to hear")

    monkeypatch.setattr(Eyes, "hear", dark)
    run, told = work(tmp_path, bench, Told())
    (record,) = records(run)
    assert record.failed and record.error == "FloatingPointError: nothing to hear"
    assert {"failed": record.cell, "error": "nothing to hear"} in told.events


def test_what_lies_in_the_cache_is_not_watched(tmp_path: Path, bench: Bench) -> None:
    run, first = work(tmp_path, bench, Told())
    (record,) = records(run)
    (record.path / "record.json").unlink()
    _, second = work(tmp_path, bench, Told(stop_at=4))
    assert first.seen and not second.seen
    assert latest(run)[0].ok and latest(run)[0].data["watched"]["values"] == first.seen  # seen when it was trained


# --- what is watched ----------------------------------------------------------------------------------------------

CUT = Prune(rule=MagnitudeWeights(budget=Budget(kind="prunable_nominal", keep=0.5)))


def program(monkeypatch: pytest.MonkeyPatch, *programs: list[Step], spec: dict[str, Any] | None = None) -> Tree:
    """Return the tree of methods with these programs, ten steps each."""
    REGISTRY.names("method")
    for number, steps in enumerate(programs):

        class Mine(Method):
            """A method of a test."""

            name = f"mine-{number}"
            budgets = frozenset({"none"})
            told = tuple(steps)

            def program(self, budget: Budget, total_steps: int) -> Iterator[Step]:
                yield from self.told

        monkeypatch.setitem(REGISTRY._plugins["method"], Mine.name, Mine)
        monkeypatch.setitem(REGISTRY._owners, ("method", Mine.name), "a test")
    grid = [{"methods": [f"mine-{number}" for number in range(len(programs))]}]
    return tree_of(grid=grid, training={"steps": 10}, **(spec or {}))


@pytest.mark.parametrize(
    ("steps", "every", "watched"),
    [
        ([Fit(steps=4), CUT, Fit(steps=6)], 3, [False, True]),
        ([Fit(steps=4), CUT, Fit(steps=3), Fit(steps=3)], 2, [False, False, True]),  # the last Fit only
        ([CUT, Fit(steps=10)], 5, [True]),
        ([Fit(steps=4), CUT, Fit(steps=6)], 10, [False, False]),  # no look on the last step
        ([Fit(steps=4), CUT, Fit(steps=6)], 4, [False, True]),  # at 8, not at 4 where it begins
        ([Fit(steps=4), CUT, Fit(steps=6)], 6, [False, True]),
        ([Fit(steps=4), CUT, Fit(steps=6)], 7, [False, True]),
        ([Fit(steps=10), CUT], 2, [False]),  # pruned after all training
        ([Fit(steps=10)], 2, [False]),  # never pruned
        ([CUT, Fit(steps=10), CUT], 2, [False]),  # pruned again after it
        ([CUT, Fit(steps=4), Fit(steps=6), Rewind(to_step=4)], 2, [False, False]),  # other weights are evaluated
    ],
)
def test_the_last_fit_after_a_prune_is_watched(
    monkeypatch: pytest.MonkeyPatch, steps: list[Step], every: int, watched: list[bool]
) -> None:
    tree = program(monkeypatch, steps)
    watch = Watch(every, 1, "identity", lambda at, rate: None)
    (path,) = tree.cells
    assert [watch.sees(tree.nodes[name], tree) for name in path.nodes] == watched


@pytest.mark.parametrize(("after", "seen"), [(0, True), (4, True), (5, False)])
def test_no_look_comes_sooner_after_the_prune_than_asked(
    monkeypatch: pytest.MonkeyPatch, after: int, seen: bool
) -> None:
    tree = program(monkeypatch, [Fit(steps=4), CUT, Fit(steps=6)])  # of the path steps 5 to 9, only 6 and 8 are even
    watch = Watch(2, 1, "identity", lambda at, rate: None, after)
    assert watch.sees(tree.nodes[tree.cells[0].nodes[-1]], tree) == seen


def test_a_node_of_several_cells_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    # the second goes on from where the first ends; the third ends where the first does and prunes once more
    chain: list[Step] = [CUT, Fit(steps=10)]
    twice = program(monkeypatch, chain, [*chain, CUT])
    watch = Watch(2, 1, "identity", lambda at, rate: None)
    assert not any(watch.sees(node, twice) for node in twice.nodes.values())


@pytest.mark.parametrize("change", [{"every": 0}, {"utterances": 0}])
def test_a_watch_that_sees_nothing_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(SpecError, match="at least 1 is needed"):
        Watch(**{"every": 1, "utterances": 1, "normalizer": "identity", "look": lambda at, rate: None, **change})  # type: ignore[arg-type]


def test_speech_without_a_reference_and_an_unknown_normaliser_are_refused(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SpecError, match="hindu"):
        Eyes(Watch(1, 2, "hindu", lambda at, rate: None), bench)
    other = bench.for_spec(bench.spec)
    split = SimpleNamespace(ids=("a",), texts=(" ",), waveform=lambda index: np.zeros(1))
    item = SimpleNamespace(split=split, features=np.zeros((1, 1, 1)), seconds=np.zeros(1))
    monkeypatch.setattr(other, "evaluations", {"dev": item})
    with pytest.raises(DataError, match="first 1 utterances of split 'dev' have no reference word"):
        Eyes(Watch(1, 2, "auto", lambda at, rate: None), other)

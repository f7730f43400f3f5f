"""Two processes train as one: same losses and weights, in however many parts, and the penalty counts once."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import multiprocessing

from benchmark.harness.batches import Tokenised, stream_order
from benchmark.harness.checkpoints import Checkpoints
from benchmark.harness.training import Given, fit
from benchmark.pruning.penalties import Solver, SparseGroupLasso
from benchmark.specs import Training
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import random_plan, tiny_whisper

STEPS, BATCH, RANKS = 6, 8, 2
SOLVERS: tuple[Solver, ...] = ("subgradient", "proximal")
PARTS = (1, 2)
PATIENCE = 240
"""Seconds; they take a tenth of that."""


def model_of() -> Any:
    """Neither dropout nor SpecAugment: what is drawn in a part would depend on the parts."""
    return tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12)


def trained(
    penalty: SparseGroupLasso | None, plan: Plan, accumulate: int = 1, checkpoints: Checkpoints | None = None
) -> dict[str, torch.Tensor]:
    """Train a tiny model on ``STEPS`` times ``BATCH`` utterances, in as many processes as there are."""
    torch.set_num_threads(1)
    model = model_of()
    draw = np.random.default_rng(0)
    labels = [draw.integers(4, 30, size=length).tolist() for length in (2, 9, 5, 3, 11, 4, 2, 7, 6, 10, 3)]
    data = Tokenised(draw.normal(size=(len(labels), 8, 16)).astype(np.float16), labels)
    structure = Structure.of(model)
    recipe = Training(batch=BATCH, learning_rate=5e-3, weight_decay=0.1, accumulate=accumulate)
    view, masker = View(model, structure, plan, 0), Masker(model, structure, plan)
    order = stream_order(len(labels), BATCH, 0, 0, STEPS)
    done = fit(
        model,
        data,
        order,
        recipe,
        Given(
            steps=STEPS,
            seed=0,
            penalty=penalty,
            view=view,
            masker=masker,
            checkpoints=checkpoints,
        ),
    )
    weights = {matrix.name: model.get_parameter(matrix.name).detach().clone() for matrix in structure.matrices}
    return {**weights, "losses": torch.tensor(done.losses), "seen": torch.tensor([done.utterances, done.tokens])}


def penalty_of(solver: Solver) -> SparseGroupLasso:
    return SparseGroupLasso(solver=solver, l1_enc=0.01, l1_dec=0.02, group_enc=0.03, group_dec=0.04)


def plan_of() -> Plan:
    return random_plan(Structure.of(model_of()), seed=1)


class Full(Checkpoints):
    """The disk is full for one process: the first as it writes weights, or the other before that."""

    def __init__(self, folder: Path, rank: int, full: int) -> None:
        super().__init__(folder, 2, rank, RANKS)
        self.full = rank == full

    def _begin(self, place: Path) -> None:
        if self.full and self.rank:
            raise OSError(28, "No space left on device")
        super()._begin(place)

    def _write(self, *_: Any) -> None:
        assert self.full
        raise OSError(28, "No space left on device")


def one_rank(rank: int, port: int, folder: str) -> None:
    """Train in all ways as one of ``RANKS`` processes, with torchrun's variables; leave weights in files."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(RANKS)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": ""}
    for solver in SOLVERS:
        for parts in PARTS:
            found = trained(penalty_of(solver), plan_of(), parts)
            save_file(found, Path(folder) / f"{solver}-{parts}-{rank}")
    written = Checkpoints(Path(folder) / "checkpoints", 4, rank, RANKS)
    trained(None, plan_of(), 2, written)
    save_file(trained(None, plan_of(), 2, written), Path(folder) / f"resumed-{rank}")  # goes on from step 4
    for full in range(RANKS):
        failing = Full(Path(folder) / f"full-{full}", rank, full)
        found = trained(None, plan_of(), 2, failing)
        save_file({**found, "every": torch.tensor(failing.every)}, Path(folder) / f"full-{full}-{rank}")
    assert torch.distributed.get_world_size() == RANKS and torch.distributed.get_backend() == "gloo"
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes end with, by solver, parts and rank."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = multiprocessing.spawn(one_rank, args=(port, str(folder)), nprocs=RANKS, join=False)
    deadline = time.monotonic() + PATIENCE
    while not running.join(timeout=1):
        if time.monotonic() > deadline:
            for process in running.processes:
                process.kill()
            pytest.fail(f"the processes wait for one another: they are not done after {PATIENCE} s")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_two_processes_have_the_losses_and_weights_of_one(
    solver: Solver, parts: int, ranks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32 the order of the sums differs, and nothing else: 1e-5 after steps of 5e-3, 1e-6 of a loss near 4.

    Transcripts are unequally long, so a mean of the two processes' means would not do.
    """
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # as in the two
    first, second = (load_file(ranks / f"{solver}-{parts}-{rank}") for rank in range(RANKS))
    plan, matrices = plan_of(), Structure.of(model_of()).matrices
    alone, free = trained(penalty_of(solver), plan), trained(None, plan)
    for name in (*[matrix.name for matrix in matrices], "losses", "seen"):
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], alone[name], rtol=1e-6, atol=1e-5, msg=name)
    for matrix in matrices:
        assert not first[matrix.name][~plan.mask(matrix)].any()
    names = [matrix.name for matrix in matrices]
    assert max(float((alone[name] - free[name]).abs().max()) for name in names) > 0.01  # the penalty is not nothing
    assert float((alone["losses"][0] - alone["losses"][-1]).abs()) > 0.1  # nor is the curve flat


@pytest.mark.slow
def test_several_processes_go_on_from_their_checkpoint(ranks: Path) -> None:
    first, second = (load_file(ranks / f"resumed-{rank}") for rank in range(RANKS))
    alone = trained(None, plan_of())
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-6, atol=1e-5, msg=name)
    assert {path.name for path in (ranks / "checkpoints").glob("step-*/generators-*")} == {
        f"generators-{rank}.safetensors" for rank in range(RANKS)
    }


@pytest.mark.slow
@pytest.mark.parametrize("full", range(RANKS))
def test_a_disk_that_is_full_for_one_process_ends_the_checkpoints_of_all_and_not_the_fit(
    full: int, ranks: Path
) -> None:
    first, second = (load_file(ranks / f"full-{full}-{rank}") for rank in range(RANKS))
    assert first["every"] == second["every"] == sys.maxsize
    assert not list((ranks / f"full-{full}").iterdir())
    alone = trained(None, plan_of())
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-6, atol=1e-5, msg=name)

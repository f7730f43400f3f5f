"""Two processes train as one: the penalty counts once, and both end with the weights of a single process."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import multiprocessing

from benchmark.harness.batches import Tokenised, stream_order
from benchmark.harness.training import fit
from benchmark.pruning.penalties import Solver, SparseGroupLasso
from benchmark.specs import Training
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.view import View
from tests.tiny import random_plan, tiny_whisper

STEPS, BATCH, RANKS = 6, 4, 2
SOLVERS: tuple[Solver, ...] = ("subgradient", "proximal")


def model_of() -> Any:
    return tiny_whisper(d=16, layers=(1, 1), heads=2, ffn=16, vocab=30, frames=16, targets=12)


def trained(penalty: SparseGroupLasso | None, plan: Plan, batch: int) -> dict[str, torch.Tensor]:
    """Train a tiny model on ``STEPS`` times ``BATCH`` utterances, ``batch`` of them a step in this process."""
    torch.set_num_threads(1)
    model = model_of()
    draw = np.random.default_rng(0)
    labels = draw.integers(4, 30, size=(8, 5)).tolist()
    data = Tokenised(draw.normal(size=(8, 8, 16)).astype(np.float16), labels)
    structure = Structure.of(model)
    recipe = Training(batch=batch, learning_rate=5e-3, weight_decay=0.1)
    view, masker = View(model, structure, plan, 0), Masker(model, structure, plan)
    order = stream_order(8, BATCH, 0, 0, STEPS)
    fit(model, data, order, recipe, steps=STEPS, seed=0, penalty=penalty, view=view, masker=masker)
    return {matrix.name: model.get_parameter(matrix.name).detach().clone() for matrix in structure.matrices}


def penalty_of(solver: Solver) -> SparseGroupLasso:
    return SparseGroupLasso(solver=solver, l1_enc=0.01, l1_dec=0.02, group_enc=0.03, group_dec=0.04)


def plan_of() -> Plan:
    return random_plan(Structure.of(model_of()), seed=1)


def one_rank(rank: int, port: int, folder: str) -> None:
    """Train with both solvers as one of ``RANKS`` processes, and leave the weights in a file."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(RANKS)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": ""}
    for solver in SOLVERS:
        save_file(trained(penalty_of(solver), plan_of(), BATCH // RANKS), Path(folder) / f"{solver}-{rank}")
    assert torch.distributed.get_world_size() == RANKS and torch.distributed.get_backend() == "gloo"
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights that two processes end with, by solver and rank."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(one_rank, args=(port, str(folder)), nprocs=RANKS)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_two_processes_end_with_the_weights_of_one(
    solver: Solver, ranks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32 the order of the sums differs, and nothing else: 1e-5 after steps of 5e-3."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # as in the two
    first, second = (load_file(ranks / f"{solver}-{rank}") for rank in range(RANKS))
    plan, matrices = plan_of(), Structure.of(model_of()).matrices
    alone, free = trained(penalty_of(solver), plan, BATCH), trained(None, plan, BATCH)
    for matrix in matrices:
        assert torch.equal(first[matrix.name], second[matrix.name]), matrix.name
        torch.testing.assert_close(first[matrix.name], alone[matrix.name], rtol=0, atol=1e-5, msg=matrix.name)
        assert not first[matrix.name][~plan.mask(matrix)].any()
    assert max(float((alone[name] - free[name]).abs().max()) for name in alone) > 0.01  # the penalty is not nothing

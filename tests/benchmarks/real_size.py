"""Whisper-small of random weights through decide, surgery, save, load and a forward pass, one rule per process.

Run as a program: ``python -m tests.benchmarks.real_size RULE FOLDER`` prints one JSON line with seconds and peak
memory. Statistics of Calibrate steps are random: what is timed is the decision, not the passes.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from benchmark.api import Budget, Rule
from benchmark.pruning.activations import TaylorGroups
from benchmark.pruning.adaptive import WeightAdaptive
from benchmark.pruning.applying import prune_
from benchmark.pruning.coarse import KeepLayers
from benchmark.pruning.groups import L1Groups, RandomGroups
from benchmark.pruning.low_rank import LowRank
from benchmark.whisper.files import load, save
from benchmark.whisper.masking import Masker
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View

HALF = Budget(kind="prunable_stored", keep=0.5)
RULES: dict[str, Rule] = {
    "l1_group": L1Groups(budget=HALF),
    "random_structured": RandomGroups(budget=HALF),
    "taylor": TaylorGroups(budget=HALF),
    "layer_drop": KeepLayers(budget=HALF),
    "sgl_adaptive, heads and neurons": WeightAdaptive(budget=HALF, groups="structural", rho=0.5, beta=0.5),
    "sgl_adaptive, columns": WeightAdaptive(budget=HALF, groups="column", rho=0.5, beta=0.5),
    "low_rank": LowRank(budget=HALF),
}
"""The rules of all methods that store less, as the methods build them."""


def small_config() -> WhisperConfig:
    """Return the sizes of openai/whisper-small."""
    sizes: dict[str, Any] = {"d_model": 768, "vocab_size": 51865, "num_mel_bins": 80}
    for stack in ("encoder", "decoder"):
        sizes |= {f"{stack}_layers": 12, f"{stack}_attention_heads": 12, f"{stack}_ffn_dim": 3072}
    return WhisperConfig(**sizes)


def whisper_small() -> WhisperForConditionalGeneration:
    """Return a whisper-small of random weights."""
    torch.manual_seed(0)
    return WhisperForConditionalGeneration(small_config()).eval()


def statistics(structure: Structure, rule: Rule) -> dict[str, dict[str, torch.Tensor]]:
    """Return random statistics of the kind that a rule reads."""
    draw = torch.Generator().manual_seed(0)
    if isinstance(rule, TaylorGroups):
        return {"gradient": {m.name: torch.randn(m.shape, generator=draw) for m in structure.matrices}}
    if not isinstance(rule, LowRank):
        return {}
    found: dict[str, torch.Tensor] = {}
    for width in {m.shape[1] for m in structure.matrices}:
        # A spectrum that falls, as that of activations does: otherwise no rank would be better than another.
        rows = torch.randn(2 * width, width, generator=draw) * torch.linspace(1, 0.05, width) ** 2
        square, mean = (rows.T @ rows / len(rows)).double(), rows.mean(0).double()
        for matrix in structure.matrices:
            if matrix.shape[1] == width:
                found |= {matrix.name: square, f"{matrix.name}:mean": mean}
    return {"input_covariance": found}


def one(name: str, folder: Path) -> dict[str, Any]:
    """Return the seconds of each part, and the process' peak memory in GB, for one rule at a stored half."""
    seconds: dict[str, float] = {}

    def lap(part: str, began: float) -> float:
        seconds[part] = time.perf_counter() - began
        return time.perf_counter()

    model, rule = whisper_small(), RULES[name]
    structure = Structure.of(model)
    view = View(model, structure, Plan(), 0, statistics(structure, rule))  # type: ignore[arg-type]
    now = time.perf_counter()
    plan = prune_(rule, view, model).plan
    now = lap("decide", now)
    Masker(model, structure, plan).apply_()
    small = shrink(model, plan)
    now = lap("surgery", now)
    del model, view
    save(small, folder / "model", check=False)  # its check opens a second copy in a second process
    now = lap("save", now)
    again = load(folder / "model")
    now = lap("load", now)
    with torch.inference_mode():
        features = torch.randn(1, 80, 3000)
        again(input_features=features, decoder_input_ids=torch.full((1, 4), 50258))
    lap("forward", now)
    return {
        "rule": name,
        "stored": plan.stored_density(structure),
        "parameters": sum(p.numel() for p in again.parameters()),
        "seconds": seconds,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def fresh(name: str, folder: Path) -> dict[str, Any]:
    """Return a row for one rule, measured in a process of its own.

    Raises:
        CalledProcessError: the process failed.
    """
    command = [sys.executable, "-m", "tests.benchmarks.real_size", name, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    parts = {f"{part}, s": round(seconds, 1) for part, seconds in found["seconds"].items()}
    return {
        "rule": name,
        "stored": f"{found['stored']:.1%}",
        "parameters": f"{found['parameters'] / 1e6:.0f} M",
        **parts,
        "all, s": round(sum(found["seconds"].values()), 1),
        "peak, GB": round(found["peak_gb"], 2),
    }


if __name__ == "__main__":
    print(json.dumps(one(sys.argv[1], Path(sys.argv[2]))))

"""What a node leaves behind: weights, optimiser, plan and a ledger of costs, in the disposable ``work`` folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from benchmark.errors import StoreError
from benchmark.store.files import sync, write_atomically
from benchmark.whisper.plan import Plan
from benchmark.whisper.view import Statistics

Moments = dict[str, dict[str, torch.Tensor]]
SEPARATOR = "\t"


class NodeLost(StoreError):
    """A node of the cache is gone or unreadable: it is made again."""

    def __init__(self, node: str, message: str) -> None:
        super().__init__(message)
        self.node = node


@dataclass
class Ledger:
    """What was spent on the path so far. Seconds are those of the process that did the work."""

    steps: int = 0
    utterances: int = 0
    tokens: int = 0
    calibration_passes: int = 0
    teacher_passes: int = 0
    """Utterances that were passed through a teacher, forward only."""
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    """Devices, threads and commits that the Fits ran under, each once."""


@dataclass
class State:
    """A point on a path. ``weights`` is None for the model as it came."""

    weights: dict[str, torch.Tensor] | None = None
    optimizer: Moments | None = None
    plan: Plan = field(default_factory=Plan)
    decided: Plan = field(default_factory=Plan)
    """What rules decided, without what died by it: says which parts turned into constants."""
    statistics: Statistics = field(default_factory=dict)
    """Of Calibrate steps since the last Fit; never written, they are gathered where they are used."""
    ledger: Ledger = field(default_factory=Ledger)


class Workshop:
    """The folder ``work/nodes``: one folder a node, ``node.json`` written last as the mark that it is whole."""

    def __init__(self, run: Path) -> None:
        self.folder = run / "work" / "nodes"

    def path(self, node: str) -> Path:
        """Return the folder of a node."""
        return self.folder / node

    def has(self, node: str, *, optimizer: bool) -> bool:
        """Whether a node is there, with its optimiser where one is asked for."""
        mark = self.path(node) / "node.json"
        if not mark.is_file():
            return False
        return not optimizer or (self.path(node) / "optimizer.safetensors").is_file()

    def save(self, node: str, state: State) -> None:
        """Write a state; the mark comes last, so a process that dies here leaves nothing that looks finished."""
        self.drop(node)
        folder = self.path(node)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(state.weights or {}, folder / "model.safetensors")
        if state.optimizer is not None:
            flat = {
                f"{name}{SEPARATOR}{key}": value
                for name, moments in state.optimizer.items()
                for key, value in moments.items()
            }
            save_file(flat, folder / "optimizer.safetensors")
        state.plan.save(folder / "plan.safetensors")
        state.decided.save(folder / "decided.safetensors")
        for file in folder.iterdir():  # what the mark vouches for must be on disk before the mark is
            sync(file)
        write_atomically(folder / "node.json", json.dumps(asdict(state.ledger)).encode())

    def load(self, node: str | None, *, optimizer: bool = True) -> State:
        """Read a state back (None: the model as it came).

        Raises:
            NodeLost: a file of the node is missing or unreadable; ``work`` may be deleted at any time.
        """
        if node is None:
            return State()
        folder = self.path(node)
        try:
            ledger = Ledger(**json.loads((folder / "node.json").read_text()))
            weights = load_file(folder / "model.safetensors")
            moments = self._moments(folder) if optimizer else None
            plan, decided = (Plan.load(folder / f"{name}.safetensors") for name in ("plan", "decided"))
            return State(weights, moments, plan, decided, ledger=ledger)
        except (OSError, ValueError, TypeError, SafetensorError, StoreError) as error:
            raise NodeLost(node, f"cached node {folder} cannot be read ({error}); delete that folder") from None

    def _moments(self, folder: Path) -> Moments | None:
        path = folder / "optimizer.safetensors"
        if not path.is_file():
            return None
        moments: Moments = {}
        for key, value in load_file(path).items():
            name, _, part = key.partition(SEPARATOR)
            moments.setdefault(name, {})[part] = value
        return moments

    def drop(self, node: str) -> None:
        """Delete a node: the mark first, so that a half-deleted one is not taken for whole."""
        (self.path(node) / "node.json").unlink(missing_ok=True)
        shutil.rmtree(self.path(node), ignore_errors=True)


def snapshot(model: Any) -> dict[str, torch.Tensor]:
    """Return the model's weights on the CPU, tied tensors once."""
    seen: set[int] = set()
    weights: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        if value.data_ptr() in seen and value.numel():
            continue
        seen.add(value.data_ptr())
        weights[name] = value.detach().cpu().clone().contiguous()
    return weights

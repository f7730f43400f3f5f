"""What a node leaves behind: weights, optimiser, plan and a ledger of costs, in the disposable ``work`` folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from benchmark.errors import StoreError
from benchmark.store.files import sync, write_atomically
from benchmark.store.folders import OPTIMIZER
from benchmark.whisper.plan import Plan
from benchmark.whisper.view import Statistics

if TYPE_CHECKING:
    from benchmark.harness.training import Trained

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
    skipped_steps: int = 0
    """Of ``steps``, those that fp16 skipped because a gradient overflowed: the data went by, and the weights stayed."""
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    """Devices, threads and commits that the Fits ran under, each once."""
    watched: dict[str, Any] | None = None
    """What was seen while the last of ``nodes`` was trained (``harness.watch``)."""

    def after(self, trained: Trained, *, taught: bool) -> Ledger:
        """Return what is spent after one Fit more; its node is not entered yet, and what was watched is another's."""
        return Ledger(
            steps=self.steps + trained.steps,
            utterances=self.utterances + trained.utterances,
            tokens=self.tokens + trained.tokens,
            calibration_passes=self.calibration_passes,
            teacher_passes=self.teacher_passes + (trained.utterances if taught else 0),
            skipped_steps=self.skipped_steps + trained.skipped,
            seconds=self.seconds + trained.seconds,
            losses=[*self.losses, trained.loss],
            nodes=list(self.nodes),
            trained_on=each_once(self.trained_on, trained.trained_on),
        )


def each_once(known: list[dict[str, Any]], more: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is known, and behind it what of ``more`` is new."""
    return [*known, *[one for one in more if one not in known]]


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
        self.run = run
        self.folder = run / "work" / "nodes"

    def path(self, node: str) -> Path:
        """Return the folder of a node."""
        return self.folder / node

    def has(self, node: str, *, optimizer: bool) -> bool:
        """Whether a node is there, with its optimiser where one is asked for."""
        if not self._mark(node).is_file():
            return False
        return not optimizer or (self.path(node) / OPTIMIZER).is_file()

    def save(self, node: str, state: State) -> None:
        """Write a state; the mark comes last, so a process that dies here leaves nothing that looks finished.

        Raises:
            OSError, SafetensorError: it cannot be written; nothing of it is left.
        """
        self.drop(node)
        try:
            self._write(self.path(node), state)
            write_atomically(self._mark(node), json.dumps(asdict(state.ledger)).encode())
        except BaseException:
            self.drop(node)  # what a full disk has no room for must not fill it
            raise

    @staticmethod
    def _write(folder: Path, state: State) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(state.weights or {}, folder / "model.safetensors")
        if state.optimizer is not None:
            flat = {
                f"{name}{SEPARATOR}{key}": value
                for name, moments in state.optimizer.items()
                for key, value in moments.items()
            }
            save_file(flat, folder / OPTIMIZER)
        state.plan.save(folder / "plan.safetensors")
        state.decided.save(folder / "decided.safetensors")
        for file in folder.iterdir():  # what the mark vouches for must be on disk before the mark is
            sync(file)

    def load(self, node: str | None, *, optimizer: bool = True) -> State:
        """Read a state back (None: the model as it came), and note that it was used.

        Raises:
            NodeLost: a file of the node is missing or unreadable; ``work`` may be deleted at any time.
        """
        if node is None:
            return State()
        folder = self.path(node)
        try:
            ledger = Ledger(**json.loads(self._mark(node).read_text()))
            weights = load_file(folder / "model.safetensors")
            moments = self._moments(folder) if optimizer else None
            plan, decided = (Plan.load(folder / f"{name}.safetensors") for name in ("plan", "decided"))
            self._touch(node)
            return State(weights, moments, plan, decided, ledger=ledger)
        except (OSError, ValueError, TypeError, SafetensorError, StoreError) as error:
            raise NodeLost(node, f"cached node {folder} cannot be read ({error}); delete that folder") from None

    def _moments(self, folder: Path) -> Moments | None:
        path = folder / OPTIMIZER
        if not path.is_file():
            return None
        moments: Moments = {}
        for key, value in load_file(path).items():
            name, _, part = key.partition(SEPARATOR)
            moments.setdefault(name, {})[part] = value
        return moments

    def _touch(self, node: str) -> None:
        # somebody else's node on a shared disk may not be ours to touch, and a dropped one must not come back
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.utime(self._mark(node))

    def _mark(self, node: str) -> Path:
        return self.path(node) / "node.json"

    def keep_newest(self, count: int, keep: Collection[str] = ()) -> list[str]:
        """Drop all but the ``count`` nodes that were written or read last, and return the dropped ones.

        Those in ``keep`` stay besides, and so does a node that somebody holds the claim of. What a dead process left
        half-written goes too. A node that another process still wants is made again there.
        """
        from benchmark.harness.worker import claim

        ages = {folder.name: self._used(folder.name) for folder in self.folder.glob("*") if folder.name not in keep}
        dropped = []
        whole = sorted((node for node in ages if ages[node] >= 0), key=lambda node: ages[node], reverse=True)
        for node in sorted(ages.keys() - whole[:count]):
            try:
                with claim(self.run, node).acquire(timeout=0):
                    if self._used(node) == ages[node]:  # else it was made or read since we looked
                        self.drop(node)
                        dropped.append(node)
            except Timeout:
                continue
        return dropped

    def _used(self, node: str) -> int:
        """Return when a node was last written or read, in nanoseconds; -1 for one without its mark."""
        try:
            return self._mark(node).stat().st_mtime_ns
        except FileNotFoundError:
            return -1

    def names(self) -> set[str]:
        """Return the nodes of which something is there, half-written ones too."""
        return {path.name for path in self.folder.glob("*")}

    def drop(self, node: str) -> None:
        """Delete a node: the mark first, so that a half-deleted one is not taken for whole."""
        self._mark(node).unlink(missing_ok=True)
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

"""Checkpoints inside a Fit, so that a killed one goes on where it was: safetensors and JSON in the folder ``work``.

One is a folder ``step-<steps done>`` whose ``checkpoint.json`` is written last, as the mark that it is whole. What is
in it is all that the next step depends on besides the recipe and the data: weights, the optimiser's moments, and the
states of all random generators. On the CPU a resumed Fit so ends with the bits of one that ran through; on a GPU as
nearly as two runs of the same Fit do there, whose kernels add in no fixed order.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from benchmark.harness.state import SEPARATOR, Moments, snapshot
from benchmark.specs import Training
from benchmark.store.files import sync, write_atomically

MARK = "checkpoint.json"
FORMAT = 2


@dataclass
class Progressed:
    """What a Fit has come to: its weights are in the model."""

    steps: int = 0
    """Optimiser steps done."""
    scheduled: int = 0
    """Steps of the learning rate's schedule: fewer where fp16 overflowed and a step was skipped."""
    seconds: float = 0.0
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    """Devices, threads and commits that the steps were done under, each once."""
    losses: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    """Of each step, fp32 of shape ``(steps,)``."""
    moments: Moments | None = None
    """None: as the Fit began."""
    scaler: dict[str, Any] | None = None
    """The state of fp16's gradient scaler."""
    generators: dict[str, torch.Tensor] | None = None


class Checkpoints:
    """The checkpoints of one Fit.

    Args:
        folder: of this Fit alone.
        every: optimiser steps between two.
        rank: of this process among those that train together; random generators are kept for each.
        ranks: how many these are.
    """

    def __init__(self, folder: Path, every: int, rank: int = 0, ranks: int = 1) -> None:
        self.folder, self.every, self.rank, self.ranks = folder, every, rank, ranks

    @classmethod
    def of(cls, recipe: Training, run: Path, node: str) -> Checkpoints | None:
        """Return those of a node in a run folder's ``work``; None where the recipe asks for none."""
        if recipe.checkpoint_every is None:
            return None
        return cls(run / "work" / "checkpoints" / node, recipe.checkpoint_every)

    def due(self, steps: int) -> bool:
        """Whether one is to be written after so many steps."""
        return steps % self.every == 0

    def save(self, model: Any, reached: Progressed, agree: Callable[[bool], bool] = bool) -> None:
        """Write a checkpoint and drop the older ones.

        A disk that is full, for whichever process, ends the checkpoints of all and not the Fit: the fault is named on
        standard error.

        Args:
            model: whose weights are kept.
            reached: everything else.
            agree: told whether all went well here, returns whether it did in all processes, when all have called it;
                needed where there are several.
        """
        place = self.folder / f"step-{reached.steps:08d}"
        well = agree(self._tried(place, partial(self._begin, place)))
        if well:
            well = agree(self.rank != 0 or self._tried(place, partial(self._write, place, model, reached)))
        if not well:
            self.every = sys.maxsize
            shutil.rmtree(place, ignore_errors=True)

    @staticmethod
    def _tried(place: Path, write: Callable[[], None]) -> bool:
        try:
            write()
        except (OSError, SafetensorError) as error:
            _say(f"checkpoint {place} cannot be written ({error}); this Fit goes on without further ones")
            return False
        return True

    def _begin(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        save_file(generators(), place / f"generators-{self.rank}.safetensors")

    def _write(self, place: Path, model: Any, reached: Progressed) -> None:
        save_file(snapshot(model), place / "model.safetensors")
        moments = {
            f"{name}{SEPARATOR}{part}": value
            for name, parts in (reached.moments or {}).items()
            for part, value in parts.items()
        }
        save_file(moments, place / "optimizer.safetensors")
        save_file({"losses": reached.losses}, place / "losses.safetensors")
        for file in place.iterdir():  # what the mark vouches for must be on disk before the mark is
            sync(file)
        about = {
            "format": FORMAT,
            "steps": reached.steps,
            "scheduled": reached.scheduled,
            "seconds": reached.seconds,
            "trained_on": reached.trained_on,
            "scaler": reached.scaler,
            "processes": self.ranks,
            "sizes": {file.name: file.stat().st_size for file in place.iterdir()},
        }
        write_atomically(place / MARK, json.dumps(about))
        for older in self.folder.glob("step-*"):
            if older != place:
                (older / MARK).unlink(missing_ok=True)
                shutil.rmtree(older, ignore_errors=True)

    def load(self, model: Any) -> Progressed:
        """Put the newest whole checkpoint into the model and return it; a Fit of no steps where there is none.

        One that cannot be used is named on standard error and deleted, and the Fit starts again.
        """
        for place in sorted(self.folder.glob("step-*"), reverse=True):
            if not (place / MARK).is_file():
                continue  # its process died while it was written: the one before it is whole
            try:
                return self._read(place, model)
            except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
                said = " ".join(str(error).split())[:200]
                _say(f"checkpoint {place} cannot be used ({said}); it is deleted and the Fit starts again")
                self.drop()
        return Progressed()

    def _read(self, place: Path, model: Any) -> Progressed:
        about = json.loads((place / MARK).read_text())
        if (about["format"], about["processes"]) != (FORMAT, self.ranks):
            raise ValueError(f"format {about['format']} of {about['processes']} processes, here {FORMAT}, {self.ranks}")
        for name, size in about["sizes"].items():
            if (place / name).stat().st_size != size:
                raise ValueError(f"{name} has {(place / name).stat().st_size} bytes and had {size}")
        moments: Moments = {}
        for key, value in load_file(place / "optimizer.safetensors").items():
            name, _, part = key.partition(SEPARATOR)
            moments.setdefault(name, {})[part] = value
        found = Progressed(
            steps=int(about["steps"]),
            scheduled=int(about["scheduled"]),
            seconds=float(about["seconds"]),
            trained_on=list(about["trained_on"]),
            losses=load_file(place / "losses.safetensors")["losses"],
            moments=moments,
            scaler=about["scaler"],
            generators=load_file(place / f"generators-{self.rank}.safetensors"),
        )
        if len(found.losses) != found.steps:
            raise ValueError(f"{len(found.losses)} losses of {found.steps} steps")
        # last: what is broken must not leave half of its weights in the model
        weights = load_file(place / "model.safetensors")
        expected = {name: value.shape for name, value in snapshot(model).items()}
        if expected != {name: value.shape for name, value in weights.items()}:
            raise ValueError("its weights are those of another model")
        model.load_state_dict(weights, strict=False)  # tied weights are there once
        return found

    def drop(self) -> None:
        """Delete all of them: the marks first, so that half a checkpoint is not taken for a whole one."""
        for mark in self.folder.glob(f"step-*/{MARK}"):
            mark.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def generators() -> dict[str, torch.Tensor]:
    """Return the states of the global random generators: Python's, numpy's, torch's, and the GPU's."""
    _, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    _, plain, plain_gauss = random.getstate()
    found = {
        "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        "numpy-place": torch.tensor([place, has_gauss]),
        "numpy-gauss": torch.tensor([gauss], dtype=torch.float64),
        "python": torch.tensor(plain, dtype=torch.int64),
        "torch": torch.get_rng_state(),
    }
    if plain_gauss is not None:
        found["python-gauss"] = torch.tensor([plain_gauss], dtype=torch.float64)
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def restore(found: dict[str, torch.Tensor]) -> None:
    """Give the global random generators the states that ``generators`` has returned."""
    place, has_gauss = found["numpy-place"].tolist()
    keys = found["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, place, has_gauss, float(found["numpy-gauss"][0])))
    gauss = float(found["python-gauss"][0]) if "python-gauss" in found else None
    random.setstate((3, tuple(found["python"].tolist()), gauss))
    torch.set_rng_state(found["torch"])
    if "cuda" in found and torch.cuda.is_available():
        torch.cuda.set_rng_state(found["cuda"])


def _say(text: str) -> None:
    print(f"prunebench: {text}", file=sys.stderr, flush=True)

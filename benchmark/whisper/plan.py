"""A plan: what is left of a model, as kept members per structural group and a bit mask per matrix.

All indices are those of the dense model, so plans compose by intersection, in any order. What lies in a removed layer
is not said twice: a plan forgets it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import SpecError
from benchmark.whisper.plan_files import read_plan, write_plan
from benchmark.whisper.structure import Group, Matrix, Structure

_IN_LAYER = re.compile(r"(model\.(?:encoder|decoder)\.layers)\.(\d+)\.")
QUANTISED = ("int8",)


@dataclass(frozen=True, eq=False)
class Plan:
    """What is kept, in indices of the dense model. Immutable; tensors are held on the CPU and must not be written to.

    On creation, index lists are sorted and freed of duplicates, and masks without a single pruned weight are dropped.
    """

    kept: Mapping[str, Tensor] = field(default_factory=dict)
    """Group key (heads, neurons, layers, tokens) to int64 indices of the members kept, shape ``(members,)``; an absent
    group keeps all."""
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    """Matrix name to a bool mask of the matrix's dense shape, True where kept; an absent matrix keeps all."""
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    """Matrix name to int64 indices of the input columns that a compact Linear gathers; the others are gone."""
    ranks: Mapping[str, int] = field(default_factory=dict)
    """Matrix name to the rank at which its (already rewritten) weights are stored, as two factors."""
    quantised: str | None = None
    """How the Linear layers are stored and executed, if not in floating point: ``int8`` (dynamic)."""

    def __post_init__(self) -> None:
        kept = {key: _indices(key, value) for key, value in self.kept.items()}
        masks = {name: _bits(name, value) for name, value in self.masks.items()}
        columns = {name: _indices(name, value) for name, value in self.columns.items()}
        if self.quantised not in (None, *QUANTISED):
            raise SpecError(f"plan: quantised = {self.quantised!r}; known: {', '.join(QUANTISED)}")
        stays = _outside_removed_layers({key: value for key, value in kept.items() if key.endswith(".layers")})
        set_ = object.__setattr__
        set_(self, "kept", {key: value for key, value in kept.items() if stays(key)})
        set_(self, "masks", {name: mask for name, mask in masks.items() if stays(name) and not mask.all()})
        set_(self, "columns", {name: value for name, value in columns.items() if stays(name)})
        set_(self, "ranks", {name: int(rank) for name, rank in self.ranks.items() if stays(name)})

    # --- composition ------------------------------------------------------------------------------------------------

    def then(self, later: Plan) -> Plan:
        """Return the plan that keeps what both keep; ranks and quantisation are the later one's where both have them.

        Raises:
            SpecError: the two hold masks of different shapes for one matrix.
        """
        kept = dict(self.kept)
        for key, indices in later.kept.items():
            kept[key] = kept[key][torch.isin(kept[key], indices)] if key in kept else indices
        masks = dict(self.masks)
        for name, mask in later.masks.items():
            if name in masks and masks[name].shape != mask.shape:
                raise SpecError(
                    f"plans of different models: {name} is {_shape(masks[name])} in one and {_shape(mask)} in the other"
                )
            masks[name] = masks[name] & mask if name in masks else mask
        columns = dict(self.columns)
        for name, indices in later.columns.items():
            columns[name] = columns[name][torch.isin(columns[name], indices)] if name in columns else indices
        ranks = {**self.ranks, **later.ranks}
        return Plan(kept, masks, columns, ranks, later.quantised or self.quantised)

    def canonical(self, structure: Structure) -> Plan:
        """Return an equal-meaning plan in its one form: no full kept lists, no mask bits inside removed members.

        Only the structure knows how many members a group has, so ``digest`` alone cannot see that a list is full.
        """
        kept = {key: value for key, value in self.kept.items() if len(value) < structure.group(key).count}
        masks = {}
        for name, mask in self.masks.items():
            matrix = structure.matrix(name)
            masks[name] = mask | ~_alive(matrix, kept[matrix.group]) if matrix.group in kept else mask
        columns = {n: value for n, value in self.columns.items() if len(value) < structure.matrix(n).shape[1]}
        return Plan(kept, masks, columns, self.ranks, self.quantised)

    # --- what it says about one matrix, and about the whole ---------------------------------------------------------

    def has(self, matrix: Matrix) -> bool:
        """Whether the matrix lies in a layer that is kept."""
        layers = self.kept.get(matrix.layers)
        return layers is None or bool((layers == matrix.layer).any())

    def members(self, group: Group) -> Tensor:
        """Return which members of a group are kept: bool, shape ``(group.count,)``; none in a removed layer."""
        layers = self.kept.get(f"model.{group.stack}.layers")
        if group.kind in ("head", "ffn_neuron") and layers is not None and not bool((layers == group.layer).any()):
            return torch.zeros(group.count, dtype=torch.bool)
        return _members(group.count, self.kept.get(group.key))

    def mask(self, matrix: Matrix) -> Tensor:
        """Return a fresh bool mask of the matrix's dense shape, True where no way of pruning removes a weight."""
        if not self.has(matrix):
            return torch.zeros(matrix.shape, dtype=torch.bool)
        mask = self.masks.get(matrix.name)
        mask = torch.ones(matrix.shape, dtype=torch.bool) if mask is None else mask.clone()
        if matrix.group in self.kept:
            mask &= _alive(matrix, self.kept[matrix.group])
        if matrix.name in self.columns:
            mask &= torch.isin(torch.arange(matrix.shape[1]), self.columns[matrix.name])[None, :]
        return mask

    def nonzero(self, structure: Structure) -> int:
        """Return the prunable weights that are kept, counting every removal (of a factorised matrix, its factors)."""
        return sum(self.nonzero_of(matrix) for matrix in structure.matrices)

    def stored(self, structure: Structure) -> int:
        """Return the prunable weights that are saved after surgery: zeros inside what is kept count as stored."""
        return sum(self.stored_of(matrix) for matrix in structure.matrices)

    def density(self, structure: Structure) -> float:
        """Return the nominal kept fraction of the prunable weights."""
        return self.nonzero(structure) / structure.prunable

    def stored_density(self, structure: Structure) -> float:
        """Return the stored kept fraction of the prunable weights."""
        return self.stored(structure) / structure.prunable

    def nonzero_of(self, matrix: Matrix) -> int:
        """Return the weights of one matrix that are kept; of a factorised one, those of its factors."""
        return int(self.mask(matrix).count_nonzero()) if matrix.name in self.masks else self.stored_of(matrix)

    def stored_of(self, matrix: Matrix) -> int:
        """Return the weights of one matrix that are saved after surgery; of a factorised one, those of its factors."""
        rows, columns = self.shape(matrix)
        rank = self.ranks.get(matrix.name)
        return rows * columns if rank is None else rank * (rows + columns)

    def shape(self, matrix: Matrix) -> tuple[int, int]:
        """Return the shape that the matrix has after surgery, ``(out, in)``; ``(0, 0)`` in a removed layer."""
        if not self.has(matrix):
            return 0, 0
        rows, columns = matrix.shape
        if matrix.group in self.kept:
            members = len(self.kept[matrix.group]) * matrix.width
            rows, columns = (members, columns) if matrix.axis == 0 else (rows, members)
        if matrix.name in self.columns:
            columns = len(self.live_columns(matrix))
        return rows, columns

    def live_columns(self, matrix: Matrix) -> Tensor:
        """Return the dense indices of the columns that a compact Linear multiplies: gathered, and of a kept member."""
        live = self.columns[matrix.name]
        if matrix.axis == 1 and matrix.group in self.kept:
            return live[_alive(matrix, self.kept[matrix.group]).flatten()[live]]
        return live

    def validate(self, structure: Structure) -> None:
        """Check that this is a plan of that model and leaves at least one member in every group.

        Raises:
            SpecError: an unknown group or matrix, a mask of another shape, an index out of range, or an empty group.
        """
        for key, indices in self.kept.items():
            group = structure.group(key)
            if len(indices) == 0:
                raise SpecError(f"plan removes all of {key}; keep at least one {group.kind.replace('_', ' ')}")
            if int(indices[0]) < 0 or int(indices[-1]) >= group.count:
                wrong = int(indices[0]) if int(indices[0]) < 0 else int(indices[-1])
                raise SpecError(f"plan of another model: {key} has members 0 to {group.count - 1}, not {wrong}")
        for name, mask in self.masks.items():
            matrix = structure.matrix(name)
            if tuple(mask.shape) != matrix.shape:
                shape = "x".join(map(str, matrix.shape))
                raise SpecError(f"plan of another model: {name} is {shape} here and {_shape(mask)} in the plan")
        for name, live in self.columns.items():
            width = structure.matrix(name).shape[1]
            if len(live) == 0 or int(live[0]) < 0 or int(live[-1]) >= width:
                raise SpecError(f"plan of another model: live columns of {name} are not some of 0 to {width - 1}")
            if len(self.live_columns(structure.matrix(name))) == 0:
                raise SpecError(f"plan removes all columns of {name}; keep at least one")
        for name, rank in self.ranks.items():
            if not 0 < rank <= min(structure.matrix(name).shape):
                raise SpecError(f"plan: rank {rank} of {name} is not one of 1 to {min(structure.matrix(name).shape)}")
            if name in self.masks or name in self.columns:
                raise SpecError(f"plan: {name} is stored as two factors, which hold no single pruned weight or column")

    # --- identity ---------------------------------------------------------------------------------------------------

    def digest(self) -> str:
        """Return the SHA-256 of the content in hex; independent of the order of keys (see also ``canonical``)."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        for part in self._parts():
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()

    def _parts(self) -> Iterator[bytes]:
        for key in sorted(self.kept):
            yield b"kept"
            yield key.encode()
            yield self.kept[key].numpy().astype("<i8").tobytes()
        for name in sorted(self.masks):
            yield b"mask"
            yield name.encode()
            yield _shape(self.masks[name]).encode()
            yield np.packbits(self.masks[name].numpy()).tobytes()
        for name in sorted(self.columns):
            yield b"columns"
            yield name.encode()
            yield self.columns[name].numpy().astype("<i8").tobytes()
        for name in sorted(self.ranks):
            yield f"rank {name} {self.ranks[name]}".encode()
        if self.quantised:
            yield f"quantised {self.quantised}".encode()

    def __eq__(self, other: object) -> bool:
        return self.digest() == other.digest() if isinstance(other, Plan) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest())

    # --- disk -------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, whole or not at all: indices as they are, masks as packed bits.

        Raises:
            StoreError: the file cannot be written.
        """
        write_plan(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read what ``save`` wrote, and check that the content is what was written.

        Raises:
            StoreError: missing, not a plan, of a newer format, or changed since it was written.
        """
        return read_plan(path, cls)


def _alive(matrix: Matrix, kept: Tensor) -> Tensor:
    """Return which rows (axis 0) or columns (axis 1) belong to ``kept``: a bool that broadcasts over the matrix."""
    entries = _members(matrix.shape[matrix.axis] // matrix.width, kept).repeat_interleave(matrix.width)
    return entries[:, None] if matrix.axis == 0 else entries[None, :]


def _members(count: int, kept: Tensor | None) -> Tensor:
    if kept is None:
        return torch.ones(count, dtype=torch.bool)
    return torch.zeros(count, dtype=torch.bool).index_fill_(0, kept, value=True)


def _outside_removed_layers(layers: Mapping[str, Tensor]) -> Callable[[str], bool]:
    """Return a test of names: does what is named so lie in a layer that is kept (or in none)?"""
    kept = {key: set(value.tolist()) for key, value in layers.items()}

    def stays(name: str) -> bool:
        found = _IN_LAYER.match(name)
        return found is None or found[1] not in kept or int(found[2]) in kept[found[1]]

    return stays


def _indices(key: str, value: Tensor) -> Tensor:
    if value.ndim != 1 or value.dtype.is_floating_point or value.dtype == torch.bool:
        raise SpecError(
            f"plan: kept members of {key} must be a list of indices, not {value.dtype} of {value.ndim} axes"
        )
    unique: Tensor = torch.unique(value.detach().to("cpu", torch.int64))  # sorted by definition
    return unique


def _bits(name: str, value: Tensor) -> Tensor:
    if value.ndim != 2 or value.dtype != torch.bool:
        raise SpecError(f"plan: mask of {name} must be a bool matrix, not {value.dtype} of {value.ndim} axes")
    return value.detach().to("cpu").contiguous()


def _shape(mask: Tensor) -> str:
    return "x".join(str(size) for size in mask.shape)

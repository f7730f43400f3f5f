"""Plans on disk, and what all our safetensors files share: they are written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmark.errors import SpecError, StoreError

if TYPE_CHECKING:
    from benchmark.whisper.plan import Plan

FORMAT = 2
"""2 added columns, ranks and quantisation; a plan without them is written as 1, which every version reads."""
_KIND = "prunebench-plan"


def write_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write what ``Plan.save`` promises."""
    tensors = {f"kept:{key}": value for key, value in plan.kept.items()}
    for name, mask in plan.masks.items():
        tensors[f"mask:{name}"] = torch.from_numpy(np.packbits(mask.numpy()))
    shapes = {name: list(mask.shape) for name, mask in sorted(plan.masks.items())}
    metadata = {"kind": _KIND, "format": "1", "shapes": json.dumps(shapes), "digest": plan.digest()}
    if plan.columns or plan.ranks or plan.quantised:
        tensors |= {f"columns:{name}": value for name, value in plan.columns.items()}
        more = {"ranks": json.dumps(dict(sorted(plan.ranks.items()))), "quantised": plan.quantised or ""}
        metadata |= {"format": str(FORMAT), **more}
    write_tensors(Path(path), tensors, metadata)


def read_plan(path: str | os.PathLike[str], make: Callable[..., Plan]) -> Plan:
    """Read what ``Plan.load`` promises; ``make`` is the class, called with its fields in order."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            if metadata.get("kind") != _KIND:
                raise StoreError(f"{path}: not a plan; expected a file that Plan.save wrote")
            if int(metadata["format"]) > FORMAT:
                newer = f"plan of format {metadata['format']}, this prunebench reads up to {FORMAT}"
                raise StoreError(f"{path}: {newer}; update prunebench")
            shapes = json.loads(metadata["shapes"])
            stored = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in stored}
        kept = {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("kept:")}
        masks = {name: _unpack(tensors[f"mask:{name}"], shape) for name, shape in shapes.items()}
        columns = {name[8:]: tensor for name, tensor in tensors.items() if name.startswith("columns:")}
        ranks = json.loads(metadata.get("ranks", "{}"))
        plan = make(kept, masks, columns, ranks, metadata.get("quantised") or None)
    except FileNotFoundError:
        raise StoreError(f"{path}: no such plan; run the cell again to make it") from None
    except (OSError, SafetensorError, KeyError, ValueError, SpecError) as error:
        raise StoreError(f"{path}: damaged plan ({_line(error)}); run the cell again to make it") from error
    if plan.digest() != metadata.get("digest"):
        raise StoreError(f"{path}: damaged plan (content does not match its digest); run the cell again to make it")
    return plan


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all; parent folders must exist.

    Raises:
        StoreError: the file cannot be written; nothing of it is left then.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        save_file(dict(tensors), partial, metadata=dict(metadata))
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: cannot be written ({_line(error)}); check the folder and the free space") from error
    finally:
        partial.unlink(missing_ok=True)


def _unpack(packed: Tensor, shape: list[int]) -> Tensor:
    rows, columns = shape
    bits = np.unpackbits(packed.numpy(), count=rows * columns)
    return torch.from_numpy(bits.astype(bool)).reshape(rows, columns)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

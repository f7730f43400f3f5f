"""Models on disk: Hugging Face folders that open anywhere, and the state dicts that a run keeps."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import WhisperForConditionalGeneration
from transformers.utils import logging

from benchmark.errors import DataError, PrunebenchError, StoreError
from benchmark.registry import REGISTRY
from benchmark.store.files import to_json, write_atomically
from benchmark.store.folders import check_format, read_json
from benchmark.store.records import MODEL, PLAN, RECORD, SPEC
from benchmark.whisper._selfcheck import check_folder
from benchmark.whisper.modeling_pruned_whisper import SHAPE_FORMAT, PrunedWhisperForConditionalGeneration
from benchmark.whisper.plan import Plan, write_tensors
from benchmark.whisper.surgery import shrink

if TYPE_CHECKING:
    from transformers import ProcessorMixin

CHECKSUMS = "checksums.json"
STATE_FORMAT = 1
_STATE_KIND = "prunebench-state"
_TIED = "proj_out.weight"
_UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, SafetensorError)
"""What torch, safetensors and transformers raise for files that are cut off, foreign or of another shape."""


# --- Hugging Face folders -------------------------------------------------------------------------------------------


def save(
    model: WhisperForConditionalGeneration,
    path: str | os.PathLike[str],
    processor: ProcessorMixin | None = None,
    check: bool = True,
) -> Path:
    """Write a Hugging Face folder (config, weights, generation config, code of the pruned class, processor).

    The folder is written beside its place, opened and compared with ``model`` in a fresh process (``check``), and only
    then takes its name: what is there under that name is whole and was seen to work.

    Raises:
        StoreError: ``path`` is not empty, cannot be written, or what was written does not compute what ``model`` does.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"{target}: exists and is not empty; give a new folder or remove it first")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        partial.mkdir(parents=True)
        with _config_untouched(model), _quiet():
            model.save_pretrained(partial)
        if processor is not None:
            processor.save_pretrained(partial)
        sums = {file.name: _sha256(file) for file in sorted(partial.glob("*.safetensors"))}
        write_atomically(partial / CHECKSUMS, to_json({"format": 1, "sha256": sums}))
        if check:
            check_folder(model, partial)
        partial.replace(target)
    except PrunebenchError as error:
        raise StoreError(f"{target}: not saved: {error}") from error
    except _UNREADABLE as error:
        raise StoreError(f"{target}: cannot be saved ({_line(error)}); check the folder and the free space") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone already when all went well
    return target


def load(path: str | os.PathLike[str]) -> WhisperForConditionalGeneration:
    """Open a Hugging Face folder (ours or a stock Whisper) or an attempt's folder of a run; the model is in eval mode.

    Only code of this package and of transformers runs, never code from the folder.

    Raises:
        DataError: no such folder, nothing in it that can be opened, not a Whisper, or weights that do not fit.
        StoreError: an attempt's folder that is incomplete, damaged, or from a newer version.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give a folder that prunebench or save_pretrained wrote")
    if (folder / RECORD).is_file():
        return _evaluating(_load_attempt(folder))
    if (folder / "config.json").is_file():
        return _evaluating(_load_folder(folder))
    raise DataError(f"{folder}: neither config.json nor {RECORD} in it; give a model folder or an attempt's folder")


def _evaluating(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    model.eval()
    return model


def _load_folder(folder: Path) -> WhisperForConditionalGeneration:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / 'config.json'}: cannot be read ({_line(error)}); restore the folder") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "whisper":
        raise DataError(f"{folder}: a model of type {kind!r}, not a Whisper; give a folder with a Whisper")
    shape = config.get("kept_shape")
    if isinstance(shape, dict) and shape.get("format", 0) > SHAPE_FORMAT:
        newer = f"kept_shape of format {shape['format']}, this prunebench reads up to {SHAPE_FORMAT}"
        raise DataError(f"{folder}: {newer}; update prunebench")
    _verify(folder)
    model_class = WhisperForConditionalGeneration if shape is None else PrunedWhisperForConditionalGeneration
    try:
        with _quiet():
            # With this option transformers returns a pair, which its annotations do not know.
            opened: Any = model_class.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except _UNREADABLE as error:
        raise DataError(
            f"{folder}: weights do not open as this Whisper ({_line(error)}); restore the folder"
        ) from error
    model: WhisperForConditionalGeneration = opened[0]
    found: dict[str, Any] = opened[1]
    for trouble in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if found[trouble]:
            first, trouble = sorted(map(str, found[trouble]))[0], trouble.replace("_", " ")
            raise DataError(f"{folder}: weights do not fit the config ({trouble}: {first}, ...); restore the folder")
    return model


def _verify(folder: Path) -> None:
    """Compare the weights with the checksums that ``save`` wrote; other people's folders have none."""
    path = folder / CHECKSUMS
    if not path.is_file():
        return
    sums = read_json(path, "restore the folder, or remove this file to open it unverified")
    check_format(sums, path)
    for name, expected in sums.get("sha256", {}).items():
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: missing; restore the folder")
        if _sha256(folder / name) != expected:
            raise DataError(
                f"{folder / name}: changed since it was saved; restore it, or remove {CHECKSUMS} to open it"
            )


def _load_attempt(folder: Path) -> WhisperForConditionalGeneration:
    way_out = "run the cell again to make it anew"
    record = read_json(folder / RECORD, way_out)
    check_format(record, folder / RECORD)
    if record.get("status", "ok") != "ok":
        raise StoreError(f"{folder}: a failed attempt, which left no model; give an attempt that succeeded")
    for name in (SPEC, PLAN, MODEL):
        if not (folder / name).is_file():
            raise StoreError(f"{folder / name}: missing (a run may keep no artefacts); {way_out}")
    spec = read_json(folder / SPEC, way_out).get("model")
    if not isinstance(spec, dict) or "name" not in spec:
        raise StoreError(f"{folder / SPEC}: names no model; {way_out}")
    plan = Plan.load(folder / PLAN)
    state = read_state(folder / MODEL)
    base, _ = REGISTRY.get("model", spec["name"], **spec.get("options", {})).load()
    return load_state(shrink(base, plan), state, folder / MODEL)


# --- state dicts ----------------------------------------------------------------------------------------------------


def state_for_disk(model: WhisperForConditionalGeneration) -> dict[str, Tensor]:
    """Return the state dict on the CPU, contiguous, with the tied output projection left out (it is the embedding)."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if model.proj_out.weight is model.get_input_embeddings().weight:
        del state[_TIED]
    return state


def write_state(model: WhisperForConditionalGeneration, path: str | os.PathLike[str]) -> None:
    """Write the model's state dict as safetensors, with a digest of its content; whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    state = state_for_disk(model)
    metadata = {"kind": _STATE_KIND, "format": str(STATE_FORMAT), "digest": _content(state)}
    write_tensors(Path(path), state, metadata)


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read what ``write_state`` wrote.

    Raises:
        StoreError: missing, not a state dict of ours, of a newer format, or changed since it was written.
    """
    way_out = "restore it, or run the cell again to make it anew"
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            known = metadata.get("kind") == _STATE_KIND
            newest = int(metadata["format"]) <= STATE_FORMAT if known else True
            state = {name: file.get_tensor(name) for name in names} if known and newest else {}
    except _UNREADABLE as error:
        raise StoreError(f"{path}: cannot be read ({_line(error)}); {way_out}") from error
    if not known:
        raise StoreError(f"{path}: not a state dict that prunebench wrote; {way_out}")
    if not newest:
        raise StoreError(f"{path}: format {metadata['format']} is newer than this prunebench reads; update prunebench")
    if _content(state) != metadata.get("digest"):
        raise StoreError(f"{path}: changed since it was written; {way_out}")
    return state


def load_state(
    model: WhisperForConditionalGeneration, state: Mapping[str, Tensor], where: str | os.PathLike[str]
) -> WhisperForConditionalGeneration:
    """Load a state dict from disk strictly, in place; an absent tied projection follows the embedding.

    Raises:
        StoreError: a name or a shape does not fit; ``where`` begins the line.
    """
    state = dict(state)
    if _TIED not in state and model.proj_out.weight is model.get_input_embeddings().weight:
        state[_TIED] = state.get("model.decoder.embed_tokens.weight", model.proj_out.weight)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise StoreError(f"{where}: does not fit the plan and the model of its spec ({detail}); run it anew") from error
    return model


def _content(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _config_untouched(model: WhisperForConditionalGeneration) -> Iterator[None]:
    """Undo what ``save_pretrained`` notes in the config of a model that is only being written."""
    before: dict[str, Any] = dict(vars(model.config))
    try:
        yield
    finally:
        vars(model.config).clear()
        vars(model.config).update(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars off the terminal for files that take a moment."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)

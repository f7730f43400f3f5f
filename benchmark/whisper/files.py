"""Models on disk: Hugging Face folders that open anywhere, and attempts of a run opened as models."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import WhisperForConditionalGeneration
from transformers.utils import logging

from benchmark.errors import DataError, PrunebenchError, StoreError
from benchmark.registry import REGISTRY
from benchmark.store.checksums import seal, verify
from benchmark.store.folders import check_format, check_new, read_json
from benchmark.store.records import MODEL, PLAN, RECORD, SPEC
from benchmark.store.sources import model_options
from benchmark.whisper._selfcheck import check_folder
from benchmark.whisper.card import About, write_card
from benchmark.whisper.modeling_pruned_whisper import SHAPE_FORMAT, PrunedWhisperForConditionalGeneration
from benchmark.whisper.plan import Plan
from benchmark.whisper.quantise import is_quantised, quantise
from benchmark.whisper.runtimes import EXPORT
from benchmark.whisper.states import UNREADABLE, load_state, read_state, said
from benchmark.whisper.surgery import shrink

if TYPE_CHECKING:
    from transformers import ProcessorMixin


def save(
    model: WhisperForConditionalGeneration,
    path: str | os.PathLike[str],
    processor: ProcessorMixin | None = None,
    check: bool = True,
    *,
    about: About | None = None,
) -> Path:
    """Write a Hugging Face folder (config, weights, generation config, code of the pruned class, processor, card).

    The card says what the model itself shows; ``about`` adds what only its maker knows.

    The folder is written beside its place, opened and compared with ``model`` in a fresh process (``check``), and only
    then takes its name: what is there under that name is whole and was seen to work.

    Raises:
        StoreError: ``path`` is not empty, cannot be written, or what was written does not compute what ``model`` does.
    """
    if is_quantised(model):
        raise StoreError(f"{path}: int8 layers have no form that transformers opens; save the model before quantising")
    with new_folder(path) as partial:
        with _config_untouched(model), _quiet():
            model.save_pretrained(partial)
        if processor is not None:
            processor.save_pretrained(partial)
        write_card(model, partial, Path(path).name, about)
        seal(partial)
        if check:
            check_folder(model, partial)
    return Path(path)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder to fill, which takes its name when all went well; else nothing of it is left.

    Raises:
        StoreError: ``path`` is not empty or cannot be written, or whoever filled it found something wrong.
    """
    target = Path(path)
    check_new(target)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.replace(target)
    except PrunebenchError as error:
        raise StoreError(f"{target}: not saved: {error}") from error
    except UNREADABLE as error:
        raise StoreError(f"{target}: cannot be saved ({said(error)}); check the folder and the free space") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone already when all went well


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
    model.model.encoder.embed_positions.requires_grad_(False)  # as built; transformers 5 forgets it on opening
    return model


def _load_folder(folder: Path) -> WhisperForConditionalGeneration:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / 'config.json'}: cannot be read ({said(error)}); restore the folder") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "whisper":
        raise DataError(f"{folder}: a model of type {kind!r}, not a Whisper; give a folder with a Whisper")
    shape = config.get("kept_shape")
    if shape is not None:
        _check_shape(shape, folder / "config.json")
    verify(folder)
    if (folder / EXPORT).is_file():
        raise DataError(f"{folder}: exported for another runtime; benchmark.whisper.runtimes.ExportedWhisper opens it")
    model_class = WhisperForConditionalGeneration if shape is None else PrunedWhisperForConditionalGeneration
    try:
        with _quiet():
            # With this option transformers returns a pair, which its annotations do not know.
            opened: Any = model_class.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except UNREADABLE as error:
        raise DataError(f"{folder}: weights do not open as this Whisper ({said(error)}); restore the folder") from error
    model: WhisperForConditionalGeneration = opened[0]
    found: dict[str, Any] = opened[1]
    for trouble in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if found[trouble]:
            first, trouble = sorted(map(str, found[trouble]))[0], trouble.replace("_", " ")
            raise DataError(f"{folder}: weights do not fit the config ({trouble}: {first}, ...); restore the folder")
    return model


def _check_shape(shape: Any, where: Path) -> None:
    """Refuse a ``kept_shape`` that no version wrote, before transformers stumbles over it."""
    known = shape.get("format") if isinstance(shape, dict) else None
    if not isinstance(known, int):
        raise DataError(f"{where}: kept_shape has no format number; restore the folder")
    if known > SHAPE_FORMAT:
        raise DataError(
            f"{where}: kept_shape of format {known}, this prunebench reads up to {SHAPE_FORMAT}; update prunebench"
        )
    for part in ("heads", "ffn", "columns", "ranks")[: 2 * known]:  # format 2 added the last two
        counts = shape.get(part)
        wrong = counts if not isinstance(counts, dict) else [v for v in counts.values() if type(v) is not int or v < 1]
        if not isinstance(counts, dict) or wrong:
            raise DataError(
                f"{where}: kept_shape.{part} does not say how many are left ({wrong!r}); restore the folder"
            )


def _load_attempt(folder: Path) -> WhisperForConditionalGeneration:
    way_out = "run the cell again to make it anew"
    record = read_json(folder / RECORD, way_out)
    check_format(record, folder / RECORD)
    if record.get("status", "ok") != "ok":
        what = "an attempt that was stopped while it trained" if record["status"] == "pruned" else "a failed attempt"
        raise StoreError(f"{folder}: {what}, which left no model; give an attempt that succeeded")
    for name in (SPEC, PLAN, MODEL):
        if not (folder / name).is_file():
            raise StoreError(f"{folder / name}: missing (a run may keep no artefacts); {way_out}")
    spec = read_json(folder / SPEC, way_out).get("model")
    if not isinstance(spec, dict) or "name" not in spec:
        raise StoreError(f"{folder / SPEC}: names no model; {way_out}")
    plan = Plan.load(folder / PLAN)
    if plan.digest() != (record.get("plan") or {}).get("digest"):
        raise StoreError(f"{folder / PLAN}: not the plan that the record names; restore it, or {way_out}")
    state = read_state(folder / MODEL)
    source = REGISTRY.get("model", spec["name"], **model_options(folder, spec))
    if source.revision != spec.get("revision"):
        raise StoreError(
            f"{folder}: made from {spec['name']} at revision {spec.get('revision')}, and here it is {source.revision}; "
            "install the version of the model's package that made it"
        )
    base, _ = source.load()
    small = shrink(base, plan)
    return load_state(quantise(small) if plan.quantised else small, state, folder / MODEL)


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

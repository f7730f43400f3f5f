"""A Whisper as a folder for another runtime: written, compared with torch, and only then given its name."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from benchmark.errors import SpecError, StoreError, nearest
from benchmark.store.checksums import seal
from benchmark.store.files import to_json, write_atomically
from benchmark.store.folders import check_new
from benchmark.whisper import graphs
from benchmark.whisper.card import About, origin, write_card
from benchmark.whisper.export_parity import Material, Parity, compare, random_material
from benchmark.whisper.files import new_folder, save
from benchmark.whisper.quantise import is_quantised
from benchmark.whisper.runtimes import EXPORT, ExportedWhisper, import_openvino, require
from benchmark.whisper.states import said

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

Format = Literal["hf", "onnx", "openvino"]
FORMATS: tuple[str, ...] = get_args(Format)
_WRITERS: dict[str, Callable[[WhisperForConditionalGeneration, Path], None]] = {
    "onnx": graphs.write_onnx,
    "openvino": graphs.write_openvino,
}
_NEEDS: dict[str, tuple[str, ...]] = {
    "hf": (),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
}
# What transformers' decoding would do and the greedy decoder of the runtimes does not: field, and what switches it off.
_FOREIGN: dict[str, tuple[Any, ...]] = {
    "repetition_penalty": (None, 1.0),
    "no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1.0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "bad_words_ids": (None,),
    "sequence_bias": (None,),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "guidance_scale": (None, 1, 1.0),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "exponential_decay_length_penalty": (None,),
}


def check_format(format_: str) -> None:
    """Refuse a format that is unknown, or whose packages are not installed.

    Raises:
        SpecError: and the way out.
    """
    if format_ not in FORMATS:
        raise SpecError(f"unknown format {format_!r}{nearest(format_, FORMATS)}")
    require(format_, _NEEDS[format_])


def export(
    model: WhisperForConditionalGeneration,
    path: str | os.PathLike[str],
    format_: str,
    processor: WhisperProcessor | None = None,
    *,
    about: About | None = None,
    material: Material | None = None,
) -> Parity | None:
    """Write ``model`` as ``hf``, ``onnx`` or ``openvino`` into a new folder, with processor, configs and card.

    ``hf`` is ``save``, which checks itself; the others are compared with torch on ``material`` (seeded random windows
    where there is none), and what was found equal is returned. ``model`` is not changed.

    Raises:
        SpecError: an unknown format, or a package that is not installed.
        StoreError: the folder is not empty, the model cannot be carried over, or says something else there; nothing
            is left then.
    """
    check_format(format_)
    check_new(Path(path))
    if is_quantised(model):
        raise StoreError(f"{path}: not saved: int8 layers of torch have no form in {format_!r}; export it without int8")
    if format_ == "hf":
        save(model, path, processor, about=about)
        return None
    _check_decoding(model)
    plain = copy.deepcopy(model).cpu().float().eval()
    with new_folder(path) as partial, _refusals(format_):
        _WRITERS[format_](plain, partial)
        plain.config.save_pretrained(partial)
        plain.generation_config.save_pretrained(partial)
        if processor is not None:
            processor.save_pretrained(partial)
        caches = [[layer.self_attn.num_heads, layer.self_attn.head_dim] for layer in plain.model.decoder.layers]
        held = {"format": 1, "runtime": format_, "self_attention": caches, "graphs": graphs.names(plain)}
        write_atomically(partial / EXPORT, to_json(held))
        exported = ExportedWhisper.open(partial, threads=torch.get_num_threads())
        parity = compare(plain, exported, material or random_material(plain))
        write_atomically(partial / EXPORT, to_json({**held, "parity": dataclasses.asdict(parity)}))
        about = dataclasses.replace(about or About(**origin(model)), parity=parity.sentence)
        write_card(plain, partial, Path(path).name, about, format_)
        seal(partial)
    return parity


def _check_decoding(model: WhisperForConditionalGeneration) -> None:
    """Refuse a generation config that asks for more than greedy search with suppressed tokens."""
    for name, off in _FOREIGN.items():
        value = getattr(model.generation_config, name, None)
        if value not in off:
            raise StoreError(
                f"the generation config sets {name} = {value!r}, which the runtimes' greedy decoder does not do; "
                "unset it, or export --format hf"
            )


@contextmanager
def _refusals(format_: str) -> Iterator[None]:
    """Turn what tracer, converter and runtime raise for a model they cannot carry into one line."""
    try:
        yield
    except _foreign_errors(format_) as error:
        raise StoreError(f"{format_!r} does not carry this model ({said(error)}); export --format hf") from error


def _foreign_errors(format_: str) -> tuple[type[Exception], ...]:
    """Return the errors of a runtime, which derive from ``Exception`` itself; tracers raise ``RuntimeError``."""
    if format_ == "onnx":
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        found: list[Any] = [getattr(state, name) for name in _ORT_ERRORS if hasattr(state, name)]
    else:
        frontend = import_openvino().frontend
        found = [getattr(frontend, name) for name in _OV_ERRORS if hasattr(frontend, name)]
    return (RuntimeError, NotImplementedError, *found)


_ORT_ERRORS = ("Fail", "InvalidArgument", "InvalidGraph", "NotImplemented", "RuntimeException", "EPFail")
_OV_ERRORS = ("GeneralFailure", "InitializationFailure", "NotImplementedFailure", "OpConversionFailure")

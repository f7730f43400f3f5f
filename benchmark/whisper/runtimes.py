"""An exported Whisper in onnxruntime or OpenVINO: greedy transcripts without torch's weights or torch's arithmetic.

::

    from benchmark.whisper.runtimes import ExportedWhisper

    whisper = ExportedWhisper.open("folder")  # what `prunebench export --format onnx` (or openvino) wrote
    whisper.listen([waveform], language="hi")  # mono float32 at 16 kHz -> ["..."]

This file needs numpy and the runtime; the processor in the folder is opened by transformers when text is asked for.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import DataError, SpecError, nearest
from benchmark.store.checksums import verify
from benchmark.store.folders import check_format, read_json

EXPORT = "export.json"
"""Says what an exported folder holds: ``format``, ``runtime``, ``layers``, sizes of the cache, measured parity."""
ENCODER, DECODER = "encoder", "decoder"
NEEDS: dict[str, tuple[str, ...]] = {"onnx": ("onnxruntime",), "openvino": ("openvino",)}
"""Modules that running each format needs (an export to ONNX needs more)."""
_RATE = 16_000


def require(format_: str, modules: Sequence[str]) -> None:
    """Refuse a format whose packages are not installed.

    Raises:
        SpecError: one of them is missing; the line names the command that installs it.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise SpecError(
            f"format {format_!r} needs {', '.join(missing)}, not installed here; in the checkout: "
            f"pip install '.[{format_}]'"
        )


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which reports imports and conversions over the network unasked."""
    name, absent = "openvino_telemetry", object()
    before: Any = sys.modules.get(name, absent)
    sys.modules[name] = None  # type: ignore[assignment] # None is how Python is told that a module cannot be imported
    try:
        import openvino
    finally:
        if before is absent:
            del sys.modules[name]
        else:
            sys.modules[name] = before
    return openvino


class Session(ABC):
    """Both graphs in one runtime; arrays in, arrays out."""

    @abstractmethod
    def __init__(self, folder: Path, threads: int) -> None: ...

    @abstractmethod
    def _run(self, name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of one of the two graphs."""

    def encode(self, features: np.ndarray) -> list[np.ndarray]:
        """Return key and value of each decoder layer's cross-attention."""
        return self._run(ENCODER, [features])

    def decode(
        self, tokens: np.ndarray, positions: np.ndarray, past: list[np.ndarray], cross: list[np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the logits, and the cache with these tokens joined on."""
        logits, *present = self._run(DECODER, [tokens, positions, *past, *cross])
        return logits, present


class OnnxSession(Session):
    """Both graphs in onnxruntime, on the CPU."""

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self._graphs = {
            name: onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
            for name in (ENCODER, DECODER)
        }
        self._names = {name: [port.name for port in graph.get_inputs()] for name, graph in self._graphs.items()}

    def _run(self, name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = self._graphs[name].run(None, dict(zip(self._names[name], arrays, strict=True)))
        return found


class OpenVinoSession(Session):
    """Both graphs in OpenVINO, on the CPU, in fp32 throughout (its default may be bf16)."""

    def __init__(self, folder: Path, threads: int) -> None:
        core = import_openvino().Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "EXECUTION_MODE_HINT": "ACCURACY",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        self._graphs = {
            name: core.compile_model(folder / f"{name}.xml", "CPU", settings) for name in (ENCODER, DECODER)
        }

    def _run(self, name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
        found = self._graphs[name](arrays)
        return [np.array(found[index]) for index in range(len(found))]


_SESSIONS: dict[str, type[Session]] = {"onnx": OnnxSession, "openvino": OpenVinoSession}


class ExportedWhisper:
    """A folder that ``prunebench export`` wrote, opened in its runtime; decoding is greedy and without time stamps."""

    def __init__(self, folder: Path, session: Session, about: dict[str, Any]) -> None:
        self.folder = folder
        self.session = session
        self.runtime = str(about["runtime"])
        self._layers: list[tuple[int, int]] = [(heads, width) for heads, width in about["self_attention"]]
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
        self.generation: dict[str, Any] = json.loads((folder / "generation_config.json").read_bytes())

    @classmethod
    def open(cls, path: str | os.PathLike[str], threads: int | None = None) -> ExportedWhisper:
        """Open an exported folder, on ``threads`` CPU threads (None: one per core).

        Raises:
            DataError: no such folder, not an exported one, or one that changed since it was written.
            SpecError: its runtime is not installed.
            StoreError: its ``export.json`` is broken or from a newer version.
        """
        folder = Path(path)
        if not (folder / EXPORT).is_file():
            raise DataError(f"{folder}: no {EXPORT} in it; give a folder that `prunebench export` wrote")
        about = read_json(folder / EXPORT, "export the model again")
        check_format(about, folder / EXPORT)
        runtime = str(about.get("runtime"))
        if runtime not in _SESSIONS:
            raise DataError(f"{folder / EXPORT}: unknown runtime {runtime!r}{nearest(runtime, _SESSIONS)}")
        require(runtime, NEEDS[runtime])
        verify(folder)
        return cls(folder, _SESSIONS[runtime](folder, threads or os.cpu_count() or 1), about)

    @cached_property
    def processor(self) -> Any:
        """The WhisperProcessor in the folder.

        Raises:
            DataError: the folder has none.
        """
        from transformers import WhisperProcessor

        try:
            return WhisperProcessor.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder}: no processor in it that opens; text needs one") from error

    def prompt(self, language: str | None = None) -> list[int]:
        """Return the ids a transcript starts with: start, language and task (multilingual only), no time stamps.

        Without a language, a multilingual model that knows only one takes it.

        Raises:
            SpecError: an unknown language, or none where there are several.
        """
        ids = [int(self.generation.get("decoder_start_token_id", self.config["decoder_start_token_id"]))]
        table = self.generation.get("lang_to_id")
        if table and self.generation.get("is_multilingual", True):
            known = {token.strip("<|>"): int(number) for token, number in table.items()}
            language = next(iter(known)) if language is None and len(known) == 1 else language
            if language not in known:
                raise SpecError(
                    f"this model does not know the language {language!r}{nearest(language or '', known)}"
                    if language
                    else f"this model knows {len(known)} languages; say which one is spoken"
                )
            ids += [known[language], int(self.generation["task_to_id"]["transcribe"])]
        plain = self.generation.get("no_timestamps_token_id")
        return ids if plain is None else [*ids, int(plain)]

    def logits(self, features: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Return the logits of ``tokens`` ``(B, T)``, prompt and all, in one pass: shape ``(B, T, vocabulary)``."""
        cross = self.session.encode(_float(features))
        return self.session.decode(*_placed(tokens, 0), self._empty(len(features)), cross)[0]

    def generate(
        self, features: np.ndarray, *, language: str | None = None, max_new_tokens: int | None = None
    ) -> list[list[int]]:
        """Return the greedy tokens of log-mels ``(B, mels, frames)``: without the prompt, with the end token.

        Raises:
            SpecError: an unknown language, or a limit beyond the model's positions.
        """
        prompt = self.prompt(language)
        room = int(self.config["max_target_positions"]) - len(prompt)
        limit = room if max_new_tokens is None else max_new_tokens
        if not 0 < limit <= room:
            raise SpecError(f"max_new_tokens = {limit}: this model has room for {room}")
        ends = np.atleast_1d(self.generation.get("eos_token_id", self.config["eos_token_id"]))
        never, at_first = (self.generation.get(name) or [] for name in ("suppress_tokens", "begin_suppress_tokens"))
        cross, past = self.session.encode(_float(features)), self._empty(len(features))
        tokens = np.tile(np.array(prompt, np.int64), (len(features), 1))
        rows: list[list[int]] = [[] for _ in features]
        open_rows, at = set(range(len(rows))), 0
        for step in range(limit):
            logits, past = self.session.decode(*_placed(tokens, at), past, cross)
            scores = logits[:, -1]
            scores[:, [*never, *(at_first if step == 0 else ())]] = -np.inf
            at, tokens = at + tokens.shape[1], scores.argmax(axis=1).astype(np.int64)[:, None]
            for index in tuple(open_rows):
                rows[index].append(int(tokens[index, 0]))
                if rows[index][-1] in ends:
                    open_rows.remove(index)
            if not open_rows:
                break
        return rows

    def transcribe(self, features: np.ndarray, *, language: str | None = None, batch: int = 8) -> list[str]:
        """Return the text of each log-mel window of shape ``(N, mels, frames)``."""
        parts = range(0, len(features), batch)
        rows = [row for at in parts for row in self.generate(features[at : at + batch], language=language)]
        texts: list[str] = self.processor.batch_decode(rows, skip_special_tokens=True)
        return texts

    def listen(self, waveforms: Sequence[np.ndarray], *, language: str | None = None, batch: int = 8) -> list[str]:
        """Return the text of each waveform: mono float32 at 16 kHz, no longer than the model's window."""
        extract = self.processor.feature_extractor
        found = extract(list(waveforms), sampling_rate=_RATE, return_tensors="np")["input_features"]
        return self.transcribe(np.asarray(found), language=language, batch=batch)

    def _empty(self, batch: int) -> list[np.ndarray]:
        return [np.zeros((batch, heads, 0, width), np.float32) for heads, width in self._layers for _ in range(2)]


def _float(features: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(features, dtype=np.float32)


def _placed(tokens: np.ndarray, at: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens as the graph takes them, and their positions."""
    return np.ascontiguousarray(tokens, dtype=np.int64), np.arange(at, at + tokens.shape[1], dtype=np.int64)

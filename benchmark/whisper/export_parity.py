"""Does an exported model say what torch says? Logits of the same tokens, and greedy tokens, on the same windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import StoreError
from benchmark.measure.decoding import Decoding, transcribe
from benchmark.whisper.runtimes import ExportedWhisper

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

TOLERANCE = 1e-3
"""Of the largest logit."""
_LOGITS_OF = 16
_RANDOM, _RANDOM_TOKENS = 4, 24
_BATCH = 16


@dataclass(frozen=True)
class Speech:
    """Windows to compare on: log-mels ``(N, mels, frames)``, and what the record's transcripts say, where known."""

    name: str
    features: np.ndarray
    stored: Sequence[str] | None = None


@dataclass(frozen=True)
class Material:
    """What an export is compared on; ``limit`` is the greatest number of tokens (None: the model's own)."""

    speech: Sequence[Speech]
    language: str | None
    limit: int | None = None


@dataclass(frozen=True)
class Parity:
    """What was compared and found equal."""

    on: str
    utterances: int
    tokens: int
    difference: float
    largest: float
    stored_equal: int | None
    """Transcripts that are those of the record, word for word; None where there are none to compare with."""

    @property
    def sentence(self) -> str:
        """For the card and the terminal."""
        text = (
            f"Greedy tokens of {self.utterances} windows ({self.on}; {self.tokens:,} tokens) are equal to torch's; "
            f"logits differ by at most {self.difference:.2g} where the largest is {self.largest:.3g}."
        )
        if self.stored_equal is None:
            return text
        return f"{text} {self.stored_equal} of {self.utterances} transcripts are those of the record, word for word."


def random_material(model: WhisperForConditionalGeneration) -> Material:
    """Return seeded random windows: for a model that no corpus belongs to."""
    shape = (_RANDOM, model.config.num_mel_bins, 2 * model.config.max_source_positions)
    features = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    known = getattr(model.generation_config, "lang_to_id", None) or {}
    language = min(known, default="").strip("<|>") or None
    room = model.config.max_target_positions - 4  # positions of the prompt
    return Material([Speech("seeded random features", features)], language, max(1, min(_RANDOM_TOKENS, room)))


def compare(model: WhisperForConditionalGeneration, exported: ExportedWhisper, material: Material) -> Parity:
    """Return what was found equal.

    Raises:
        StoreError: a greedy token or a logit differs, and where.
    """
    differences, largest, tokens, equal = [0.0], 0.0, 0, 0
    for part in material.speech:
        ours = _torch_tokens(model, part.features, material)
        theirs = _exported_tokens(exported, part.features, material)
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            if one != other:
                raise StoreError(
                    f"parity: window {index} of {part.name}: greedy tokens are {_from_first(other, one)}, "
                    f"torch's are {_from_first(one, other)}"
                )
        tokens += sum(map(len, ours))
        few = slice(0, _LOGITS_OF)
        difference, size = _logits(model, exported, part.features[few], ours[few], material.language)
        differences.append(difference)
        largest = max(largest, size)
        if not difference <= TOLERANCE * size:  # so written, nan fails
            raise StoreError(
                f"parity: logits of {part.name} differ by {difference:.3g} where the largest is {size:.3g}"
            )
        if part.stored is not None:
            said = exported.processor.batch_decode(theirs, skip_special_tokens=True)
            equal += sum(one == other for one, other in zip(said, part.stored, strict=True))
    count = sum(len(part.features) for part in material.speech)
    known = all(part.stored is not None for part in material.speech)
    on = ", ".join(part.name for part in material.speech)
    return Parity(on, count, tokens, max(differences), largest, equal if known else None)


def _from_first(row: list[int], other: list[int]) -> str:
    """Return some of a row from where it leaves the other, e.g. ``[..., 17, 4]``."""
    same = 0
    while same < min(len(row), len(other)) and row[same] == other[same]:
        same += 1
    return f"{'[..., ' if same else '['}{', '.join(map(str, row[same : same + 4]))}]"


class _Ids:
    """In the place of a processor: the tokens themselves as text."""

    def batch_decode(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        """Return each row's numbers."""
        return [" ".join(map(str, row)) for row in rows]


def _torch_tokens(model: WhisperForConditionalGeneration, features: np.ndarray, material: Material) -> list[list[int]]:
    """Decode with the harness' own greedy decoder: the one that transcripts of a run come from."""
    decoding = Decoding(max_new_tokens=material.limit, batch=_BATCH)
    said = transcribe(model, _Ids(), features, language=material.language or "", decoding=decoding)
    return [[int(token) for token in text.split()] for text in said.texts]


def _exported_tokens(exported: ExportedWhisper, features: np.ndarray, material: Material) -> list[list[int]]:
    rows: list[list[int]] = []
    for start in range(0, len(features), _BATCH):
        part = features[start : start + _BATCH]
        rows += exported.generate(part, language=material.language, max_new_tokens=material.limit)
    return rows


def _logits(
    model: WhisperForConditionalGeneration,
    exported: ExportedWhisper,
    features: np.ndarray,
    rows: list[list[int]],
    language: str | None,
) -> tuple[float, float]:
    """Return the largest difference and the largest size of the logits along what was said."""
    import torch

    prompt = exported.prompt(language)
    room = int(model.config.max_target_positions)
    width = min(room, len(prompt) + max(map(len, rows), default=0))
    given = np.full((len(rows), width), prompt[0], np.int64)
    for index, row in enumerate(rows):  # what is beyond a row's end is compared too: none looks ahead
        spoken = [*prompt, *row][:width]
        given[index, : len(spoken)] = spoken
    with torch.inference_mode():
        inputs: dict[str, Any] = {
            "input_features": torch.from_numpy(np.array(features, dtype=np.float32)),
            "decoder_input_ids": torch.from_numpy(given),
        }
        ours = model(**inputs).logits.numpy()
    theirs = exported.logits(features, given)
    if theirs.shape != ours.shape:
        raise StoreError(f"parity: logits have shape {theirs.shape}, torch's have {ours.shape}")
    return float(np.abs(ours - theirs).max()), float(np.abs(ours).max())

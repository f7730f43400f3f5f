"""The model card of a saved folder: what it is, what was removed, numbers, how to load it, what it cannot do.

Everything that the model shows by itself is read off the model; ``About`` adds what only its maker knows. Front matter
and ``model-index`` are built by huggingface_hub's own classes, so what they read is what was meant; scores on tasks of
the hub's benchmark data sets go into `.eval_results/` too (``benchmark.whisper.eval_results``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from benchmark.markdown import flat
from benchmark.reproduce import SPEC_FILE, Recipe
from benchmark.store.files import write_atomically
from benchmark.whisper import _card_text as text
from benchmark.whisper.eval_results import HubTask, files

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

CARD = "README.md"
_TASK = "automatic-speech-recognition"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LIBRARIES = {"hf": "transformers", "onnx": "onnx", "openvino": "openvino"}


@dataclass(frozen=True)
class Score:
    """One error rate of one evaluation split, as a fraction, and what it was made with."""

    corpus: str
    version: str
    language: str
    synthetic: bool
    split: str
    metric: str
    rate: float
    signature: str
    data_hash: str
    utterances: int
    counts: dict[str, int]
    """Runaways, empty hypotheses, and, where they were counted, substitutions, deletions, insertions and length."""
    interval: tuple[float, float] | None = None
    """95 %, as fractions."""
    difference: tuple[float, float, float] | None = None
    """To the dense model of the same run and seed, paired: this minus dense, and its 95 % interval, as fractions."""
    resampled: str = ""
    """What the intervals were made by drawing: ``300 utterances``, ``8 speakers``."""
    finished: str = ""
    """When it was decoded (ISO 8601)."""
    hub: HubTask | None = None
    """The task of a benchmark dataset on the hub that the whole split is."""


@dataclass(frozen=True)
class Timing:
    """What one artefact took on one device at one batch; a pair is (least, most) of the middle half."""

    device: str
    batch: int
    utterances: int
    speedup: float
    """Against the model as it came, timed in turn with it."""
    speedup_range: tuple[float, float]
    rtfx: float
    """Seconds of audio a second."""
    rtfx_range: tuple[float, float]
    encoder_ms: float
    """A window."""
    peak_memory: int | None
    """Bytes, beyond the libraries'."""


@dataclass(frozen=True)
class About:
    """What a card says beyond what the model shows; all of it may be unknown, and is left out then."""

    base: str = ""
    """How the model that was pruned is called in the text."""
    base_model: str | None = None
    """Its id on the Hugging Face hub."""
    license: str | None = None
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    """Sentences on how it was made: method, budget, training."""
    command: str = ""
    """What wrote the folder."""
    dense: int | None = None
    """Parameters of the model before anything was removed."""
    scores: tuple[Score, ...] = ()
    compared: str = ""
    """What the dense model is that scores are compared with."""
    timings: tuple[Timing, ...] = ()
    recipe: Recipe | None = field(default=None, repr=False)
    """How to make the record again that the folder was written from."""
    limits: tuple[str, ...] = ()
    """Sentences on what else the numbers do not say."""
    parity: str = ""
    """How far an export was seen to agree with torch."""


def origin(model: WhisperForConditionalGeneration) -> dict[str, Any]:
    """Return fields of ``About`` as told by where a model was loaded from: its hub id, or the card in its folder."""
    place = str(getattr(model.config, "_name_or_path", "") or "")
    folder = Path(place)
    if place and folder.is_dir():
        found = _front_matter(folder / CARD)
        languages = found.get("language") or ()
        return {
            "base": str(found.get("model_name") or folder.name),
            "base_model": found.get("base_model"),
            "license": found.get("license"),
            "languages": (languages,) if isinstance(languages, str) else tuple(map(str, languages)),
            "tags": tuple(map(str, found.get("tags") or ())),
        }
    return {"base": place, "base_model": place} if _HUB_ID.fullmatch(place) else {}


def _front_matter(path: Path) -> dict[str, Any]:
    """Return a card's front matter; empty where there is none, or none that can be read: it is a courtesy."""
    try:
        text = path.read_text(encoding="utf-8")
        return ModelCard(text, ignore_metadata_errors=True).data.to_dict() if text.startswith("---") else {}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return {}


def write_card(
    model: WhisperForConditionalGeneration, folder: Path, name: str, about: About | None = None, form: str = "hf"
) -> None:
    """Write the card into a folder that has its weights, and the files that it speaks of, in their sub-folders.

    Raises:
        OSError: the folder cannot be written.
    """
    about = About(**origin(model)) if about is None else about
    written = {CARD: card(model, folder, name, about, form), **files(about.scores)}
    if about.recipe is not None and about.recipe.spec is not None:
        written[SPEC_FILE] = about.recipe.spec
    for place, content in written.items():
        (folder / place).parent.mkdir(exist_ok=True)
        write_atomically(folder / place, content)


def card(
    model: WhisperForConditionalGeneration, folder: Path, name: str, about: About | None = None, form: str = "hf"
) -> str:
    """Return the card of ``model`` as it lies in ``folder`` (its weights written), in the form hf, onnx or openvino."""
    about = About(**origin(model)) if about is None else about
    data = ModelCardData(
        model_name=flat(name),
        base_model=about.base_model,
        language=_alone(_languages(model, about)),
        license=about.license,
        library_name=_LIBRARIES[form],
        pipeline_tag=_TASK,
        tags=list(dict.fromkeys(["whisper", "prunebench", *about.tags])),
        metrics=sorted({score.metric for score in about.scores}) or None,
        eval_results=[_result(score) for score in about.scores] or None,
    )
    sections = text.sections(model, folder, name, about, form)
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def _languages(model: WhisperForConditionalGeneration, about: About) -> tuple[str, ...]:
    known = [token.strip("<|>") for token in getattr(model.generation_config, "lang_to_id", None) or ()]
    return about.languages or (tuple(known) if len(known) == 1 else ())


def _alone(values: tuple[str, ...]) -> str | list[str] | None:
    return (values[0] if len(values) == 1 else list(values)) if values else None


def _result(score: Score) -> EvalResult:
    spoken = " (synthetic speech)" if score.synthetic else ""
    about = {"data_hash": score.data_hash, "utterances": score.utterances, "synthetic": score.synthetic}
    return EvalResult(
        task_type=_TASK,
        task_name="Automatic Speech Recognition",
        dataset_type=flat(score.corpus),
        dataset_name=f"{flat(score.corpus)}{spoken}",
        dataset_config=score.language,
        dataset_split=flat(score.split),
        dataset_revision=flat(score.version),
        dataset_args=about,
        metric_type=score.metric,
        metric_value=_percent(score.rate),
        metric_name=f"{score.metric.upper()} % [{flat(score.signature)}]",
        metric_args=_arguments(score),
    )


def _arguments(score: Score) -> dict[str, Any]:
    """Return what stands beside a value in ``model-index``; rates are in per cent, as the value is."""
    found: dict[str, Any] = {"signature": flat(score.signature), **_plain(score.counts)}
    if score.interval is not None:
        found["interval_95"] = [_percent(value) for value in score.interval]
    if score.difference is not None:
        found["minus_dense"] = _percent(score.difference[0])
        found["minus_dense_interval_95"] = [_percent(value) for value in score.difference[1:]]
    if score.resampled:
        found["resampled"] = flat(score.resampled)
    return found


def _plain(counts: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(value) for name, value in counts.items()}


def _percent(rate: float) -> float:
    return round(100 * float(rate), 4)

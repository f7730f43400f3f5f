"""The model card of a saved folder: what it is, what was removed, numbers, how to load it, what it cannot do.

Everything that the model shows by itself is read off the model; ``About`` adds what only its maker knows. Front matter
and ``model-index`` are built by huggingface_hub's own classes, so what they read is what was meant.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from benchmark.measure.counting import nonzero, parameters

if TYPE_CHECKING:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

CARD = "README.md"
_TASK = "automatic-speech-recognition"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS = (".safetensors", ".onnx", ".data", ".bin", ".xml")
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
    counts: dict[str, Any]
    """Further numbers of the row: interval, substitutions, deletions, insertions, length, empty, runaways."""


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
    dense: int | None = None
    """Parameters of the model before anything was removed."""
    scores: tuple[Score, ...] = ()
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


def card(
    model: WhisperForConditionalGeneration, folder: Path, name: str, about: About | None = None, form: str = "hf"
) -> str:
    """Return the card of ``model`` as it lies in ``folder`` (its weights written), in the form hf, onnx or openvino."""
    about = About(**origin(model)) if about is None else about
    data = ModelCardData(
        model_name=name,
        base_model=about.base_model,
        language=_alone(_languages(model, about)),
        license=about.license,
        library_name=_LIBRARIES[form],
        pipeline_tag=_TASK,
        tags=list(dict.fromkeys(["whisper", "prunebench", *about.tags])),
        metrics=sorted({score.metric for score in about.scores}) or None,
        eval_results=[_result(score) for score in about.scores] or None,
    )
    dense = about.dense or _dense(model)
    sections = [f"# {name}", *_what(model, dense, about), *_numbers(model, dense, folder, about), *_scores(about)]
    sections += [*_loading(model, name, form), *_making(about), *_limits(parameters(model) < dense, about, form)]
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
        dataset_type=score.corpus,
        dataset_name=f"{score.corpus}{spoken}",
        dataset_config=score.language,
        dataset_split=score.split,
        dataset_revision=score.version,
        dataset_args=about,
        metric_type=score.metric,
        metric_value=round(100 * score.rate, 4),
        metric_name=f"{score.metric.upper()} % [{score.signature}]",
        metric_args={"signature": score.signature, **score.counts},
    )


# --- the text -----------------------------------------------------------------------------------------------------


def _what(model: WhisperForConditionalGeneration, dense: int, about: About) -> Iterator[str]:
    of, stored = f" of `{about.base}`" if about.base else "", parameters(model)
    if stored < dense:
        yield f"A physically smaller Whisper, made{of} with prunebench: {stored:,} of {dense:,} parameters are stored."
    else:
        yield f"A Whisper of {stored:,} parameters, saved{of} with prunebench. Its matrices have their full size."
    yield "## What is left"
    rows = [f"| {what} | {before} | {left} |" for what, before, left in _left(model)]
    yield "\n".join(["| part | a layer before | left, layer by layer |", "|---|---:|---|", *rows])


def _left(model: WhisperForConditionalGeneration) -> Iterator[tuple[str, str, str]]:
    """Yield what may have gone: heads and neurons of each layer, layers, tokens, gathered columns, ranks."""
    config: Any = model.config
    shape = getattr(config, "kept_shape", None) or {"heads": {}, "ffn": {}}
    blocks = {"encoder": ("self_attn",), "decoder": ("self_attn", "encoder_attn")}
    said = {"self_attn": "self-attention heads", "encoder_attn": "cross-attention heads"}
    for stack, attentions in blocks.items():
        layers = range(getattr(config, f"{stack}_layers"))
        for kind, before, what in (
            *((name, getattr(config, f"{stack}_attention_heads"), said[name]) for name in attentions),
            ("ffn", getattr(config, f"{stack}_ffn_dim"), "FFN neurons"),
        ):
            table = shape["ffn" if kind == "ffn" else "heads"]
            left = [table.get(f"model.{stack}.layers.{layer}.{kind}", before) for layer in layers]
            yield f"{stack}: {what}", str(before), ", ".join(map(str, left))
    yield "layers: encoder, decoder", "", f"{config.encoder_layers}, {config.decoder_layers}"
    yield "tokens of the vocabulary", "", f"{config.vocab_size:,}"
    for name, what in (("columns", "matrices that read some of their inputs"), ("ranks", "matrices in two factors")):
        found = shape.get(name)
        if found:
            yield what, "", f"{len(found)} ({name} {min(found.values())} to {max(found.values())})"


def _dense(model: WhisperForConditionalGeneration) -> int:
    """Return the parameters of a model with this depth and vocabulary from which nothing else was removed."""
    import torch
    from transformers import WhisperForConditionalGeneration

    config: WhisperConfig = copy.deepcopy(model.config)
    vars(config).pop("kept_shape", None)
    with torch.device("meta"):
        return parameters(WhisperForConditionalGeneration(config))


def _numbers(model: WhisperForConditionalGeneration, dense: int, folder: Path, about: About) -> Iterator[str]:
    stored, zeros = parameters(model), parameters(model) - nonzero(model)
    basis = "before pruning" if about.dense else "of the same depth and vocabulary, unpruned"
    size = sum(file.stat().st_size for file in folder.iterdir() if file.suffix in _WEIGHTS)
    yield "## Numbers"
    rows = [
        ("parameters stored", f"{stored:,} ({stored / dense:.1%} of {dense:,} {basis})"),
        ("of them exactly zero", f"{zeros:,} (a zero is stored and multiplied like any other number)"),
        ("bytes of the weights", f"{size:,}"),
    ]
    yield "\n".join(["| what | how much |", "|---|---|", *(f"| {what} | {number} |" for what, number in rows)])


def _scores(about: About) -> Iterator[str]:
    if not about.scores:
        return
    yield "## Error rates"
    yield "From the transcripts of the run's record, which torch decoded."
    head = "| corpus | split | utterances | metric | % | signature | data |"
    rows = [
        f"| {s.corpus}, version {s.version}{' (synthetic)' if s.synthetic else ''} | {s.split} | {s.utterances} "
        f"| {s.metric.upper()}{_interval(s)} | {100 * s.rate:.2f} | {_escaped(s.signature)} | {s.data_hash[:12]} |"
        for s in about.scores
    ]
    yield "\n".join([head, "|---|---|---:|---|---:|---|---|", *rows])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _interval(score: Score) -> str:
    span = score.counts.get("interval_95")
    return f" (95 %: {100 * span[0]:.2f} to {100 * span[1]:.2f})" if span else ""


def _loading(model: WhisperForConditionalGeneration, name: str, form: str) -> Iterator[str]:
    yield "## How to load it"
    if form != "hf":
        yield (
            f"It runs in {'onnxruntime' if form == 'onnx' else 'OpenVINO'}, without torch's weights; decoding is "
            "greedy, without time stamps, on the CPU:"
        )
        code = [
            "from benchmark.whisper.runtimes import ExportedWhisper",
            "",
            f'whisper = ExportedWhisper.open("{name}")',
            "whisper.listen([waveform])  # mono float32 at 16 kHz; language= where it knows several",
        ]
        yield "\n".join(["```python", *code, "```"])
        return
    own = getattr(model.config, "kept_shape", None) is not None
    trust = ", trust_remote_code=True" if own else ""
    code = [
        "import benchmark  # prunebench: runs no code from this folder",
        f'model = benchmark.load("{name}")',
        "",
        "from transformers import AutoModelForSpeechSeq2Seq  # transformers alone",
        f'model = AutoModelForSpeechSeq2Seq.from_pretrained("{name}"{trust})',
    ]
    yield "\n".join(["```python", *code, "```"])
    yield (
        "Transformers alone needs `trust_remote_code=True`: layers differ in width, which a stock config cannot say, "
        "and the class that can is `modeling_pruned_whisper.py` in this folder. Without it, it refuses to open."
        if own
        else "Its shapes are those of a stock Whisper, so `trust_remote_code` is not needed."
    )


def _making(about: About) -> Iterator[str]:
    lines = [*about.made, *([f"Made by:\n\n    {about.command}"] if about.command else [])]
    if lines:
        yield "## How it was made"
        yield from lines
    if about.parity:
        yield "## Agreement with torch"
        yield about.parity


def _limits(pruned: bool, about: About, form: str) -> Iterator[str]:
    limits = []
    if any(score.synthetic for score in about.scores) or "synthetic" in about.tags:
        limits.append("Trained or tested on **synthetic** speech: these numbers say nothing about recorded speech.")
    if not about.scores:
        limits.append("No error rate was measured on this folder.")
    if pruned and not any("trained" in line for line in about.made):
        limits.append("What is left was not trained after the removal; fine-tune it before use.")
    if form == "hf":
        limits.append("Fewer parameters are not a promise of speed: time it on the device that it is meant for.")
    else:
        limits.append("Greedy decoding of one window only: no beams, no time stamps, no speech longer than the window.")
    yield "## Limits"
    yield "\n".join(f"- {line}" for line in limits)

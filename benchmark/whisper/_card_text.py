"""The text of a model card, section by section. What comes from a record or a user is escaped where it is put in."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.markdown import code, flat, plain, table
from benchmark.measure.counting import nonzero, parameters
from benchmark.reproduce import SPEC_FILE
from benchmark.whisper.eval_results import FOLDER, WHY_NOT, entries

if TYPE_CHECKING:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    from benchmark.whisper.card import About, Score, Timing

_WEIGHTS = (".safetensors", ".onnx", ".data", ".bin", ".xml")


def sections(model: WhisperForConditionalGeneration, folder: Path, name: str, about: About, form: str) -> Iterator[str]:
    """Yield the paragraphs of a card, headings among them."""
    dense = about.dense or _dense(model)
    yield f"# {plain(name)}"
    yield from _what(model, dense, about)
    yield from _numbers(model, dense, folder, about)
    yield from _scores(about)
    yield from _speed(about, form)
    yield from _loading(model, name, form)
    yield from _making(about)
    yield from _limits(parameters(model) < dense, about, form)


def _what(model: WhisperForConditionalGeneration, dense: int, about: About) -> Iterator[str]:
    of, stored = f" of {code(about.base)}" if about.base else "", parameters(model)
    if stored < dense:
        yield f"A physically smaller Whisper, made{of} with prunebench: {stored:,} of {dense:,} parameters are stored."
    else:
        yield f"A Whisper of {stored:,} parameters, saved{of} with prunebench. Its matrices have their full size."
    yield "## What is left"
    yield table(["part", "a layer before", "left, layer by layer"], _left(model), words=(0, 2))


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
            kept = shape["ffn" if kind == "ffn" else "heads"]
            left = [kept.get(f"model.{stack}.layers.{layer}.{kind}", before) for layer in layers]
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
    yield table(["what", "how much"], rows, words=(0, 1))


# --- measured -----------------------------------------------------------------------------------------------------


def _scores(about: About) -> Iterator[str]:
    if not about.scores:
        return
    yield "## Error rates"
    yield "From the transcripts of the run's record, which torch decoded."
    differ = any(score.difference for score in about.scores)
    headings = ["corpus", "split", "utterances", "metric", "% [95 %]", *(["Δ to dense [95 %]"] * differ)]
    yield table(
        [*headings, "signature", "data"],
        (
            [
                f"{plain(s.corpus)}, version {plain(s.version)}{' (synthetic)' if s.synthetic else ''}",
                *(plain(s.split), f"{s.utterances:,}", s.metric.upper(), f"{100 * s.rate:.2f}{_interval(s.interval)}"),
                *([_difference(s)] * differ),
                *(code(s.signature), code(s.data_hash[:12])),
            ]
            for s in about.scores
        ),
        words=(0, 1, 3, 5 + differ, 6 + differ),
    )
    drawn = dict.fromkeys(f"{plain(s.resampled)} ({plain(s.split)})" for s in about.scores if s.resampled)
    if drawn:
        yield f"Intervals are 95 % bootstrap intervals, made by drawing again from {', '.join(drawn)}."
    if differ:
        told = f" ({about.compared})" if about.compared else ""
        yield f"Δ, in points, is paired with dense{told}; below zero is better."
    written = entries(about.scores)
    yield f"`{FOLDER}/` holds those that are tasks of a benchmark on the hub: {len(written)}." if written else WHY_NOT


def _interval(span: tuple[float, float] | None, sign: str = "") -> str:
    return f" [{_points(span[0], sign)}, {_points(span[1], sign)}]" if span else ""


def _difference(score: Score) -> str:
    if score.difference is None:
        return "–"
    value, *span = score.difference
    return f"{_points(value, '+')}{_interval((span[0], span[1]), '+')}"


def _points(value: float, sign: str) -> str:
    return f"{100 * value:{sign}.2f}".replace("-", "−")


def _speed(about: About, form: str) -> Iterator[str]:
    if not about.timings:
        return
    yield "## Measured speed"
    yield (
        "By `prunebench profile`, in torch, in turn with the model as it came in one process; in brackets the middle "
        f"half of the repeats.{'' if form == 'hf' else ' This folder, which another runtime executes, was not timed.'}"
    )
    headings = ["device", "batch", "utterances", "speed-up", "RTFx", "encoder ms a window", "peak memory"]
    yield table(headings, map(_timed, about.timings))
    yield "RTFx: seconds of audio a second of decoding. Peak memory: beyond that of the libraries."


def _timed(timing: Timing) -> list[str]:
    speed, real = ("{:.2f}× [{:.2f}, {:.2f}]", "{:.0f} [{:.0f}, {:.0f}]")
    memory = "–" if timing.peak_memory is None else f"{timing.peak_memory / 1e6:.1f} MB"
    return [
        *(code(timing.device), str(timing.batch), str(timing.utterances)),
        *(speed.format(timing.speedup, *timing.speedup_range), real.format(timing.rtfx, *timing.rtfx_range)),
        *(f"{timing.encoder_ms:.2f}", memory),
    ]


# --- use ----------------------------------------------------------------------------------------------------------


def _loading(model: WhisperForConditionalGeneration, name: str, form: str) -> Iterator[str]:
    yield "## How to load it"
    place = json.dumps(flat(name), ensure_ascii=False)
    if form != "hf":
        yield (
            f"It runs in {'onnxruntime' if form == 'onnx' else 'OpenVINO'}, without torch's weights; decoding is "
            "greedy, without time stamps, on the CPU:"
        )
        yield _block(
            "from benchmark.whisper.runtimes import ExportedWhisper",
            "",
            f"whisper = ExportedWhisper.open({place})",
            "whisper.listen([waveform])  # mono float32 at 16 kHz; language= where it knows several",
            kind="python",
        )
        return
    own = getattr(model.config, "kept_shape", None) is not None
    yield _block(
        "import benchmark  # prunebench: runs no code from this folder",
        f"model = benchmark.load({place})",
        "",
        "from transformers import AutoModelForSpeechSeq2Seq  # transformers alone",
        f"model = AutoModelForSpeechSeq2Seq.from_pretrained({place}{', trust_remote_code=True' if own else ''})",
        kind="python",
    )
    yield (
        "Transformers alone needs `trust_remote_code=True`: layers differ in width, which a stock config cannot say, "
        "and the class that can is `modeling_pruned_whisper.py` in this folder. Without it, it refuses to open."
        if own
        else "Its shapes are those of a stock Whisper, so `trust_remote_code` is not needed."
    )


def _block(*lines: str, kind: str = "") -> str:
    """Return lines as a block of code; each stays the line that it is."""
    shown = ("".join(sign if sign.isprintable() else " " for sign in line) for line in lines)
    return "\n".join([f"```{kind}", *shown, "```"])


def _making(about: About) -> Iterator[str]:
    if about.made or about.command:
        yield "## How it was made"
        yield from about.made
    if about.recipe is None:
        yield from (["Made by:", _block(about.command, kind="sh")] if about.command else [])
    else:
        yield "## How to make it again"
        if about.recipe.fill_in:
            places = ", ".join(map(code, about.recipe.fill_in))
            yield f"First fill in {places} in `{SPEC_FILE}`: where data lie is of one machine, and in no record."
        yield "One command makes the record again, and the dense model that it is compared with:"
        yield _block(about.recipe.command, kind="sh")
        if about.command:
            yield "and this folder is written from it by"
            yield _block(f"{about.command} --runs {about.recipe.run}", kind="sh")
        yield "Equal numbers are promised at equal versions, threads and kind of device."
    if about.parity:
        yield "## Agreement with torch"
        yield about.parity


def _limits(pruned: bool, about: About, form: str) -> Iterator[str]:
    limits = list(about.limits)
    if any(score.synthetic for score in about.scores) or "synthetic" in about.tags:
        limits.insert(0, "Trained or tested on **synthetic** speech: these numbers say nothing about recorded speech.")
    if not about.scores:
        limits.append("No error rate was measured on this folder.")
    if pruned and not any("trained" in line for line in about.made):
        limits.append("What is left was not trained after the removal; fine-tune it before use.")
    if form != "hf":
        limits.append("Greedy decoding of one window only: no beams, no time stamps, no speech longer than the window.")
    elif about.timings:
        limits.append("Speed is that of the device named above; time it on the device that it is meant for.")
    else:
        limits.append("Fewer parameters are not a promise of speed: time it on the device that it is meant for.")
    yield "## Limits"
    yield "\n".join(f"- {line}" for line in limits)

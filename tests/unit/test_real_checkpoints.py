"""Checkpoints as published: their prompts, what old ones lack; methods, saving and loading take them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import benchmark
from benchmark.api import Budget, Prune
from benchmark.errors import SpecError
from benchmark.harness.nano import tokenise
from benchmark.measure.decoding import Decoding, check_decoding, transcribe
from benchmark.pruning.applying import prune_
from benchmark.registry import REGISTRY
from benchmark.whisper.checkpoints import set_language
from benchmark.whisper.plan import Plan
from benchmark.whisper.structure import Structure
from benchmark.whisper.surgery import shrink
from benchmark.whisper.view import View
from tests.real_whispers import PUBLISHED, checkpoint, smaller, whisper

# Ids in openai/whisper-tiny, -tiny.en and -large-v3 on the hub: start, Hindi, transcribe, no time stamps.
PROMPTS = {
    "tiny": [50258, 50276, 50359, 50363],
    "tiny.en": [50257, 50362],
    "small": [50258, 50276, 50359, 50363],
    "large-v3": [50258, 50276, 50360, 50364],
    "turbo": [50258, 50276, 50360, 50364],
    "distil-large-v3": [50258, 50276, 50360, 50364],
}
MILLIONS = {"tiny": 37.76, "small": 241.73, "medium": 763.86, "large-v3": 1543.49, "turbo": 808.88}
"""Parameters of the published checkpoints, tied ones once."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: checkpoint(root / name, smaller(name)) for name in PROMPTS}


def opened(folder: Path, **options: Any) -> tuple[Any, Any]:
    found: tuple[Any, Any] = REGISTRY.get("model", "whisper", source=str(folder), **options).load()
    return found


def language_of(name: str) -> str:
    return "en" if name.endswith(".en") else "hi"


def noise(model: Any, count: int = 1) -> np.ndarray:
    draw = np.random.default_rng(0)
    return draw.standard_normal((count, model.config.num_mel_bins, 3000)).astype(np.float16)


def said(model: Any, processor: Any, language: str) -> Any:
    asked = Decoding(max_new_tokens=5)
    return transcribe(model, processor, noise(model), language=language, decoding=asked)


def prompt_of(model: Any, processor: Any, language: str) -> list[int]:
    seen: list[list[int]] = []
    handle = model.model.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"][0].tolist()), with_kwargs=True
    )
    said(model, processor, language)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("name", MILLIONS)
def test_the_shapes_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        whole = whisper(PUBLISHED[name])
    counted = {id(parameter): parameter.numel() for parameter in whole.parameters()}
    assert sum(counted.values()) / 1e6 == pytest.approx(MILLIONS[name], abs=0.01)
    structure, layers = Structure.from_config(PUBLISHED[name].config()), PUBLISHED[name].layers
    assert len(structure.matrices) == 6 * layers[0] + 10 * layers[1]


@pytest.mark.parametrize("name", PROMPTS)
def test_the_prompt_and_the_labels_are_those_of_the_checkpoint(folders: dict[str, Path], name: str) -> None:
    model, processor = opened(folders[name])
    language = language_of(name)
    assert prompt_of(model, processor, language) == PROMPTS[name]
    set_language(processor, model, language)
    (label,) = tokenise(["a b"], processor)
    letters = processor.tokenizer("a b", add_special_tokens=False).input_ids
    assert label == [*PROMPTS[name][1:], *letters, model.config.eos_token_id]
    assert not model.training and model.config.num_mel_bins == processor.feature_extractor.feature_size


def test_an_old_checkpoint_transcribes_though_its_config_forces_a_translation(tmp_path: Path) -> None:
    model, processor = opened(checkpoint(tmp_path / "old", smaller("small"), old=True))
    assert prompt_of(model, processor, "ta") == [50258, 50287, 50359, 50363]
    assert model.generation_config.forced_decoder_ids is None and model.config.forced_decoder_ids is None
    again = benchmark.load(benchmark.save(model, tmp_path / "saved", processor, check=False))
    assert again.generation_config.lang_to_id == model.generation_config.lang_to_id


def test_an_old_english_checkpoint_stays_english(tmp_path: Path) -> None:
    model, processor = opened(checkpoint(tmp_path / "old", smaller("tiny.en"), old=True))
    assert prompt_of(model, processor, "en") == [50257, 50362]
    with pytest.raises(SpecError, match="knows English"):
        check_decoding(model, "hi", Decoding())


@pytest.mark.parametrize(
    ("name", "language", "words"),
    [
        ("tiny", "yue", "does not know the language 'yue'"),  # Cantonese came with large-v3
        ("tiny", "hindi", "does not know the language 'hindi'"),
        ("tiny.en", "hi", "knows English (en) alone, and not 'hi'"),
    ],
)
def test_a_language_that_the_model_does_not_know(
    folders: dict[str, Path], name: str, language: str, words: str
) -> None:
    model, _ = opened(folders[name])
    with pytest.raises(SpecError) as error:
        check_decoding(model, language, Decoding())
    assert words in str(error.value) and "\n" not in str(error.value)


def test_large_v3_knows_cantonese(folders: dict[str, Path]) -> None:
    assert prompt_of(*opened(folders["turbo"]), "yue")[:2] == [50258, 50358]


@pytest.mark.parametrize(("dtype", "wanted"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_precision_and_attention_are_those_that_were_asked_for(
    folders: dict[str, Path], dtype: str, wanted: torch.dtype, attention: str
) -> None:
    model, processor = opened(folders["tiny"], dtype=dtype, attention=attention)
    assert {parameter.dtype for parameter in model.parameters()} == {wanted}
    assert model.config._attn_implementation == attention
    assert said(model, processor, "hi").tokens.tolist() == [5]


def test_both_kinds_of_attention_say_the_same(folders: dict[str, Path]) -> None:
    one, other = (said(*opened(folders["small"], attention=kind), "hi") for kind in ("sdpa", "eager"))
    assert one.texts == other.texts and one.texts != [""]


def with_zeros(model: Any, method: str) -> Any:
    """Carry out the one Prune of a method that only sets weights to zero, which ``compress`` refuses."""
    program = REGISTRY.get("method", method).program(Budget(kind="prunable_nominal", keep=0.5), 2)
    (rule,) = (step.rule for step in program if isinstance(step, Prune))
    structure = Structure.of(model)
    plan = prune_(rule, View(model, structure, Plan(), 0), model).plan
    assert plan.nonzero(structure) / structure.prunable == pytest.approx(0.5, abs=0.001)
    return shrink(model, plan)


@pytest.mark.parametrize("method", ["magnitude", "l1_group"])
@pytest.mark.parametrize("name", PROMPTS)
def test_methods_saving_and_loading_take_every_checkpoint(
    folders: dict[str, Path], name: str, method: str, tmp_path: Path
) -> None:
    model, processor = opened(folders[name])
    small = benchmark.compress(model, method, keep=0.5) if method == "l1_group" else with_zeros(model, method)
    again = benchmark.load(benchmark.save(small, tmp_path / "small", processor, check=False))
    one, other = (said(some, processor, language_of(name)) for some in (small, again))
    assert one.texts == other.texts and one.tokens.tolist() == other.tokens.tolist()
    ours, theirs = small.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    sizes = [sum(p.numel() for p in some.parameters()) for some in (model, again)]
    assert sizes[1] < sizes[0] if method == "l1_group" else sizes[1] == sizes[0]


@pytest.mark.slow
def test_one_saved_checkpoint_computes_the_same_in_a_fresh_process(folders: dict[str, Path], tmp_path: Path) -> None:
    model, processor = opened(folders["distil-large-v3"])
    benchmark.save(benchmark.compress(model, "l1_group", keep=0.5), tmp_path / "small", processor)

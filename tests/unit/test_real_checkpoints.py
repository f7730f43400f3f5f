"""Checkpoints as published: their prompts, what old ones lack; methods, saving and loading take them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import benchmark
from benchmark.api import Budget, Prune
from benchmark.cli.main import invoke
from benchmark.errors import SpecError
from benchmark.harness.nano import tokenise
from benchmark.measure.decoding import Decoding, check_decoding, transcribe
from benchmark.pruning.applying import prune_
from benchmark.registry import REGISTRY
from benchmark.whisper.checkpoints import check_language, set_language
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


@pytest.mark.parametrize(
    ("name", "language", "words"),
    [
        ("tiny", "or", "does not know the language 'or'"),  # Odia, which transformers' tokenizer knows neither
        ("tiny", "yue", "does not know the language 'yue'"),  # Cantonese, which that tokenizer does know
        ("tiny", "hindi", "does not know the language 'hindi'"),
        ("tiny.en", "hi", "knows English (en) alone, and not 'hi'"),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_a_language_is_refused_by_the_files_of_a_checkpoint_without_its_weights(
    tmp_path: Path, name: str, language: str, words: str, old: bool
) -> None:
    folder = checkpoint(tmp_path / name, smaller(name), old=old)
    (folder / "model.safetensors").unlink()
    source = REGISTRY.get("model", "whisper", source=str(folder))
    with pytest.raises(SpecError) as error:
        check_language(source, language)
    assert words in str(error.value) and "\n" not in str(error.value)
    check_language(source, language_of(name))


def test_what_is_not_on_this_machine_is_not_judged_by_its_language(tmp_path: Path) -> None:
    check_language(REGISTRY.get("model", "whisper", source="openai/whisper-none", revision="0" * 40), "or")
    with pytest.raises(SpecError, match=r"does not know the language 'or'; known: hi$"):
        check_language(REGISTRY.get("model", "nano-hi"), "or")
    (tmp_path / "generation_config.json").write_text("[")
    (tmp_path / "config.json").write_text("{}")
    check_language(REGISTRY.get("model", "whisper", source=str(tmp_path)), "or")


@pytest.mark.parametrize("language", ["or", "xx", "hindi"])
def test_labels_of_a_language_that_the_model_does_not_know_are_refused_in_one_line(
    folders: dict[str, Path], language: str
) -> None:
    model, processor = opened(folders["tiny"])
    with pytest.raises(SpecError) as error:
        set_language(processor, model, language)
    assert f"does not know the language {language!r}" in str(error.value) and "\n" not in str(error.value)
    model.generation_config.lang_to_id["<|or|>"] = 50276  # taught by someone, by another tokenizer
    with pytest.raises(SpecError, match="WhisperTokenizer has no such language"):
        set_language(processor, model, "or")


def test_a_run_in_a_language_that_the_model_does_not_know_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        soundfile.write(tmp_path / split / "a.wav", np.zeros(16_000, np.float32), 16_000)
        (tmp_path / split / "a.txt").write_text("a", encoding="utf-8")
    corpus = {"name": "folder", "options": {"path": str(tmp_path), "language": "or"}, "evaluate": {"test": None}}
    spec = {"name": "odia", "corpus": corpus, "grid": [{"methods": ["shipped"]}], "normalizer": "whisper_basic"}
    (tmp_path / "odia.yaml").write_text(json.dumps(spec), encoding="utf-8")
    assert invoke(["run", str(tmp_path / "odia.yaml"), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    said = capsys.readouterr().err.strip()
    assert "this model does not know the language 'or'; known: hi" in said and "\n" not in said


def test_a_checkpoint_that_does_not_say_what_ends_a_text_ends_where_its_tokenizer_says(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "mute", smaller("tiny"))
    path = folder / "generation_config.json"
    about = {name: value for name, value in json.loads(path.read_text()).items() if "suppress" not in name}
    path.write_text(json.dumps({**about, "eos_token_id": None, "pad_token_id": None}))
    model, processor = opened(folder)
    end = processor.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert model.generation_config.eos_token_id == model.generation_config.pad_token_id == end == 50_257

    def ends(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_fill(-1, torch.tensor([end]), 99.0)

    model.proj_out.register_forward_hook(ends)
    result = said(model, processor, "hi")
    assert result.tokens.tolist() == [1] and not result.truncated.any()


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

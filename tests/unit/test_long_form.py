"""Speech over 30 s: window after window, against transformers' own pipeline of the same calls, on random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmark.errors import DataError
from benchmark.measure.decoding import Decoding, transcribe
from benchmark.measure.long_form import transcribe_all, transcribe_long
from tests import real_whispers

SECONDS = (31, 75, 45)


@pytest.fixture(scope="module")
def made() -> tuple[Any, Any]:
    shape = real_whispers.smaller("tiny")
    processor = real_whispers.processor(shape)
    model = real_whispers.whisper(shape)
    model.generation_config = real_whispers.generation(shape, processor)
    with torch.no_grad():  # a text that ends now and then, with time stamps in it
        embedding = model.get_output_embeddings().weight
        stamp = model.generation_config.no_timestamps_token_id + 1
        bias = embedding[[stamp + 500, stamp + 900]].mean(0) + 0.5 * embedding[model.generation_config.eos_token_id]
        model.model.decoder.layer_norm.bias.add_(4 * bias / bias.norm())
    return model, processor


def speech() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [(0.1 * draw.standard_normal(16_000 * seconds)).astype(np.float32) for seconds in SECONDS]


def told(made: tuple[Any, Any], **options: Any) -> Any:
    sounds = speech()
    decoding = Decoding(max_new_tokens=24, **options)
    return transcribe_long(*made, [lambda s=s: s for s in sounds], language="hi", decoding=decoding)


def test_it_says_what_whispers_own_generate_says(made: tuple[Any, Any]) -> None:
    model, processor = made
    said = told(made)
    for sound, text, count in zip(speech(), said.texts, said.tokens, strict=True):
        heard = processor.feature_extractor(
            sound, sampling_rate=16_000, return_tensors="pt", truncation=False, padding="longest",
            return_attention_mask=True,
        )  # fmt: skip
        ids = model.generate(
            heard["input_features"], attention_mask=heard["attention_mask"], return_timestamps=True, language="hi",
            task="transcribe", condition_on_prev_tokens=False, temperature=0.0, max_new_tokens=24,
        )  # fmt: skip
        assert text == processor.tokenizer.decode(ids[0], skip_special_tokens=True).strip()
        assert count > 0
    assert len(set(said.texts)) == len(SECONDS)


def test_more_than_one_window_is_heard(made: tuple[Any, Any]) -> None:
    """A window has at most 24 tokens here, and the second minute adds its own."""
    said = told(made)
    assert said.tokens[1] > said.tokens[0]
    seen: list[int] = []
    transcribe_long(
        *made, [lambda: speech()[0]], language="hi", decoding=Decoding(max_new_tokens=24), progress=seen.append
    )
    assert seen == [1]


def test_twice_is_the_same_and_leaves_the_model_as_it_was(made: tuple[Any, Any]) -> None:
    model, _ = made
    before = model.generation_config.to_dict()
    first, second = told(made), told(made)
    assert first.texts == second.texts and np.array_equal(first.truncated, second.truncated)
    assert model.generation_config.to_dict() == before and not model.training


def test_a_model_without_time_stamps_is_refused() -> None:
    from tests.tiny import tiny_whisper

    with pytest.raises(DataError, match=r"no time stamps.*long_form: false"):
        transcribe_long(tiny_whisper(), None, [], language="hi", decoding=Decoding())


def test_short_and_long_come_back_in_their_places(made: tuple[Any, Any]) -> None:
    model, processor = made
    draw = np.random.default_rng(1)
    lengths = [2, 40, 5, 31, 3]
    sounds = [(0.1 * draw.standard_normal(16_000 * seconds)).astype(np.float32) for seconds in lengths]
    features = processor.feature_extractor(sounds, sampling_rate=16_000, return_tensors="np")["input_features"]
    options: dict[str, Any] = {"language": "hi", "decoding": Decoding(max_new_tokens=24, batch=2)}
    seen: list[int] = []
    seconds = np.array(lengths, float)
    said, count = transcribe_all(
        model, processor, features, sounds.__getitem__, seconds, progress=seen.append, **options
    )
    assert count == 2 and seen[-1] == 5 and seen == sorted(seen)
    short = transcribe(model, processor, features, only=np.array([0, 2, 4]), **options)
    long = transcribe_long(model, processor, [lambda: sounds[1], lambda: sounds[3]], **options)
    assert [said.texts[place] for place in (0, 2, 4)] == short.texts
    assert [said.texts[place] for place in (1, 3)] == long.texts
    assert said.tokens[[1, 3]].tolist() == long.tokens.tolist()

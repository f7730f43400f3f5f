"""Speech over 30 s: window after window, against transformers' own pipeline of the same calls, on random weights."""

from __future__ import annotations

import copy
import logging
from typing import Any

import numpy as np
import pytest
import torch
from transformers.utils import logging as transformers_logging

from benchmark.errors import DataError
from benchmark.measure.decoding import Decoding, transcribe
from benchmark.measure.long_form import STANDSTILL, check_stamps, transcribe_all, transcribe_long
from benchmark.registry import REGISTRY
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


# --- what badly pruned models do --------------------------------------------------------------------------------------


def speaks(made: tuple[Any, Any], stamps: list[float], text: int = 300, end: float = -99.0) -> tuple[Any, Any]:
    """Return a model with the same logits at every step: those of the first time stamps, one word and the end."""
    model, processor = copy.deepcopy(made[0]), made[1]
    config = model.generation_config
    first = config.no_timestamps_token_id + 1

    def fixed(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        logits = torch.full_like(logits, -50.0)
        logits[..., text], logits[..., config.eos_token_id] = 0.0, end
        logits[..., first : first + len(stamps)] = torch.tensor(stamps)
        return logits

    model.proj_out.register_forward_hook(fixed)
    return model, processor


def listened(made: tuple[Any, Any], seconds: int = 65, **options: Any) -> tuple[Any, int]:
    """Return what was said of one utterance, and how many windows were encoded."""
    passes: list[int] = []
    handle = made[0].get_encoder().register_forward_hook(lambda *_: passes.append(1))
    sound = (0.1 * np.random.default_rng(0).standard_normal(16_000 * seconds)).astype(np.float32)
    said = transcribe_long(*made, [lambda: sound], language="hi", decoding=Decoding(**options))
    handle.remove()
    return said, len(passes)


def test_a_model_that_stands_still_is_stopped_and_is_a_runaway(made: tuple[Any, Any]) -> None:
    """Its pairs of time stamps move on by 0.04 s: 1,600 windows for 65 s, by Whisper's rule."""
    said, passes = listened(speaks(made, [10 - 0.1 * place for place in range(20)]), max_new_tokens=8)
    assert passes == STANDSTILL * 3 + 1  # three side by side at once, when the thirty are spent
    assert said.truncated.tolist() == [True] and said.tokens.tolist() == [3 * 8]


def test_a_window_that_is_cut_off_is_a_runaway_however_many_segments_it_has(made: tuple[Any, Any]) -> None:
    moving = [-9.0] * 1501
    moving[0], moving[1400], moving[1450] = 12.0, 10.0, 8.0  # 28 s on, twice, and no end
    said, passes = listened(speaks(made, moving), max_new_tokens=7)
    assert said.truncated.tolist() == [True] and passes < STANDSTILL
    ends = [-9.0] * 1501
    ends[0], ends[1400] = 12.0, 10.0
    said, _ = listened(speaks(made, ends, end=9.0), max_new_tokens=7)
    assert said.truncated.tolist() == [False]


def test_a_loop_in_one_window_is_a_loop(made: tuple[Any, Any]) -> None:
    said, passes = listened(speaks(made, [-60.0]))
    assert passes == 3 and said.looped.tolist() == said.truncated.tolist() == [True]
    assert said.tokens.tolist() == [3 * said.limit]


def test_thresholds_of_a_checkpoint_drop_no_window(made: tuple[Any, Any]) -> None:
    model, processor = copy.deepcopy(made[0]), made[1]
    plain = told((model, processor))
    config = model.generation_config
    config.no_speech_threshold, config.logprob_threshold, config.compression_ratio_threshold = 1e-9, 0.0, 0.1
    model.generation_config.condition_on_prev_tokens = True
    assert told((model, processor)).texts == plain.texts


def test_a_foreign_generation_config_and_its_clock_change_nothing(made: tuple[Any, Any]) -> None:
    model, processor = copy.deepcopy(made[0]), made[1]
    foreign = {"max_time": 0.0, "no_repeat_ngram_size": 1, "num_return_sequences": 2, "stop_strings": ["a"]}
    for name, value in foreign.items():
        setattr(model.generation_config, name, value)
    assert told((model, processor)).texts == told(made).texts


def test_nothing_is_printed_between_the_progress_bars(made: tuple[Any, Any]) -> None:
    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, handler = logging.getLogger("transformers"), Kept()
    logger.addHandler(handler)
    once: Any = transformers_logging.warning_once  # a cached function: said already, it would not be said here
    once.cache_clear()
    try:
        told(made)
        assert said == []
        made[0].generate(torch.zeros(1, 80, 3000), language="hi", max_length=9, max_new_tokens=4)
        assert any("max_new_tokens" in one for one in said), "outside, transformers warns as ever"
    finally:
        logger.removeHandler(handler)


def test_a_model_that_knows_no_time_but_the_token_against_it_is_refused() -> None:
    """The embedded models, and vocabularies that were trimmed of their time stamps."""
    model, _ = REGISTRY.get("model", "nano-hi").load()
    assert model.generation_config.no_timestamps_token_id is not None
    with pytest.raises(DataError, match="no time stamps"):
        check_stamps(model)


def test_a_moment_more_than_a_window_is_decoded_too(made: tuple[Any, Any]) -> None:
    model, processor = made
    sound = (0.1 * np.random.default_rng(3).standard_normal(480_050)).astype(np.float32)  # no frame more than 30 s
    said = transcribe_long(model, processor, [lambda: sound], language="hi", decoding=Decoding(max_new_tokens=24))
    assert said.texts[0] and said.tokens[0] > 0

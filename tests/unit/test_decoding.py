"""Decoding counts what was generated, knows what ran away, and leaves the model as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from benchmark.errors import DataError, SpecError
from benchmark.measure.decoding import REPETITIVE, Decoding, is_loop, transcribe
from tests.tiny import tiny_whisper

END, START, HINDI, ENGLISH, TRANSCRIBE, TRANSLATE, PLAIN = 2, 3, 51, 52, 53, 54, 55
STAMP = PLAIN + 1  # the first time stamp of a Whisper vocabulary follows the no-timestamps token


class Spelled:
    """Stands in for a processor: a text is its ids, the end token left out."""

    def batch_decode(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        assert skip_special_tokens
        return [" ".join(str(token) for token in row if token != END) for row in rows]


def multilingual(**shape: Any) -> WhisperForConditionalGeneration:
    model = tiny_whisper(**{"frames": 300, "vocab": 60, **shape})
    config = model.generation_config
    config.is_multilingual = True
    config.lang_to_id = {"<|hi|>": HINDI, "<|en|>": ENGLISH}
    config.task_to_id = {"transcribe": TRANSCRIBE, "translate": TRANSLATE}
    config.no_timestamps_token_id = PLAIN
    config.pad_token_id = END
    return model


def favour(model: WhisperForConditionalGeneration, token: int, amount: float) -> None:
    """Make a token likelier everywhere: the last norm's bias leans towards its embedding."""
    with torch.no_grad():
        embedding = model.get_output_embeddings().weight
        model.model.decoder.layer_norm.bias.add_(amount * embedding[token] / embedding[token].norm())


def noise(count: int, frames: int = 300) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 8, frames)).astype(np.float16)


def run(model: Any, features: np.ndarray, **options: Any) -> Any:
    return transcribe(model, Spelled(), features, language="hi", decoding=Decoding(**options))


def test_signature_and_identity_leave_the_batch_out() -> None:
    assert Decoding(max_new_tokens=44).signature() == "greedy,max=44"
    assert Decoding(beams=4).signature() == "beam4,max=model"
    assert Decoding(batch=3).identity() == Decoding(batch=50).identity() == {"beams": 1, "max_new_tokens": None}
    with pytest.raises(SpecError, match="beams = 0"):
        Decoding.parse({"beams": 0}, "decoding")


def test_importing_it_needs_no_torch() -> None:
    code = (
        "import sys, benchmark.measure.decoding; print({'torch', 'transformers', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


@pytest.mark.parametrize("beams", [1, 3])
def test_a_window_of_three_seconds_gives_what_whispers_own_generate_gives(beams: int) -> None:
    model = multilingual(seed=2)
    favour(model, END, 1)
    features = noise(8)
    result = run(model, features, beams=beams)
    with torch.inference_mode():
        inputs = torch.from_numpy(features).float()
        theirs = model.generate(
            inputs, language="hi", task="transcribe", num_beams=beams, max_new_tokens=result.limit, do_sample=False
        )
    assert 0 < result.truncated.sum() < len(features), "the test wants both kinds"
    spelled = Spelled().batch_decode(theirs.tolist(), skip_special_tokens=True)  # they pad with the end token
    assert all(int(token) < STAMP for text in result.texts for token in text.split()), "nor any time stamp"
    assert result.texts == spelled


def test_prompt_names_language_and_task() -> None:
    model, seen = multilingual(), []
    handle = model.model.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    run(model, noise(2))
    handle.remove()
    assert seen[0].tolist() == [[START, HINDI, TRANSCRIBE, PLAIN]] * 2


def test_english_only_model_ignores_the_language_and_detects_none() -> None:
    model = tiny_whisper()
    assert run(model, noise(2, 40)).limit == model.config.max_target_positions - 1


def test_limits() -> None:
    model = multilingual()
    favour(model, 30, 50)  # says one thing for ever
    free, bounded = run(model, noise(3)), run(model, noise(3), max_new_tokens=5)
    assert free.limit == model.config.max_target_positions - 4
    assert free.truncated.all() and bounded.truncated.all()
    assert bounded.tokens.tolist() == [5] * 3 and bounded.texts == ["30 30 30 30 30"] * 3
    with pytest.raises(SpecError, match="has room for 20"):
        run(model, noise(1), max_new_tokens=21)


def test_a_text_that_ends_counts_its_end_token_and_is_no_runaway() -> None:
    model = multilingual()
    favour(model, END, 50)
    result = run(model, noise(3), batch=2)
    assert result.texts == [""] * 3 and result.tokens.tolist() == [1] * 3 and not result.truncated.any()


def test_time_stamps_do_not_start_a_second_pass_over_the_window() -> None:
    model, passes = multilingual(), []
    favour(model, STAMP + 1, 50)  # nothing but the same time stamp: Whisper's own loop would seek back to it
    handle = model.model.encoder.register_forward_hook(lambda *_: passes.append(1))
    result = run(model, noise(2), batch=2)
    handle.remove()
    assert len(passes) == 1 and result.tokens.tolist() == [result.limit] * 2


def test_order_and_batches_and_progress() -> None:
    model, seen = multilingual(), []
    features = noise(7)
    whole = run(model, features, max_new_tokens=6)
    parts = transcribe(
        model, Spelled(), features, language="hi", decoding=Decoding(batch=3, max_new_tokens=6), progress=seen.append
    )
    assert parts.texts == whole.texts and seen == [3, 6, 7] and len(set(whole.texts)) > 1


def test_sorted_by_length_the_texts_are_the_same_in_the_same_places() -> None:
    model = multilingual()
    favour(model, END, 2.0)
    features = noise(9)
    seconds = np.array([3.0, 1.0, 2.0, 5.0, 1.5, 0.5, 4.0, 2.5, 3.5])
    seen: list[int] = []
    plain = run(model, features, max_new_tokens=8, batch=4)
    options: dict[str, Any] = {"language": "hi", "decoding": Decoding(max_new_tokens=8, batch=4)}
    told = transcribe(model, Spelled(), features, seconds=seconds, progress=seen.append, **options)
    assert told.texts == plain.texts and len(set(told.texts)) > 1
    assert np.array_equal(told.tokens, plain.tokens) and np.array_equal(told.truncated, plain.truncated)
    assert seen == [4, 8, 9]
    some = transcribe(model, Spelled(), features, seconds=seconds, only=np.array([5, 2]), **options)
    assert some.texts == [plain.texts[5], plain.texts[2]]


def test_a_static_cache_says_the_same() -> None:
    model = multilingual()
    favour(model, END, 2.0)
    plain, static = (run(model, noise(5), max_new_tokens=8, batch=2, cache=kind) for kind in ("dynamic", "static"))
    assert static.texts == plain.texts and np.array_equal(static.tokens, plain.tokens)


def test_a_text_that_repeats_itself_is_a_loop() -> None:
    """Against the ratio that transformers' Whisper falls back by."""
    from transformers.models.whisper.generation_whisper import WhisperGenerationMixin

    draw = np.random.default_rng(0)
    texts = [[7, 8, 9] * 60, [5] * 100, draw.integers(4, 51_000, 60).tolist(), [11, 12, 13], []]
    for tokens in texts:
        ratio = WhisperGenerationMixin._retrieve_compression_ratio(torch.tensor(tokens), 51_865) if tokens else 0.0
        assert is_loop(tokens, 51_865) == (ratio > REPETITIVE)
    assert [is_loop(tokens, 51_865) for tokens in texts] == [True, True, False, False, False]


def test_loops_are_told_by_utterance() -> None:
    model = multilingual(targets=400)
    favour(model, 9, 30.0)
    assert run(model, noise(2), max_new_tokens=300).looped.all()


def test_memory_maps_half_precision_and_nothing_at_all(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", noise(2))
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    half = multilingual().to(torch.bfloat16)
    assert len(run(half, mapped, max_new_tokens=3).texts) == 2 and half.dtype == torch.bfloat16
    empty = run(half, mapped[:0])
    assert empty.texts == [] and empty.tokens.shape == empty.truncated.shape == (0,)


FOREIGN: dict[str, Any] = {
    "a penalty": {"repetition_penalty": 1.5, "no_repeat_ngram_size": 1, "encoder_no_repeat_ngram_size": 1},
    "other lengths": {"min_new_tokens": 20, "max_length": 5, "length_penalty": -5.0, "early_stopping": True},
    "a clock": {"max_time": 0.0},
    "several answers": {"num_return_sequences": 2},
    "guesses": {"prompt_lookup_num_tokens": 3},
    "strings that stop": {"stop_strings": ["a"]},
    "contrast": {"penalty_alpha": 0.6, "top_k": 4},
    "groups of beams": {"num_beam_groups": 2, "diversity_penalty": 0.5},
    "guidance": {"guidance_scale": 1.5},
    "chance": {"do_sample": True, "temperature": 2.0},
    "forced tokens": {"forced_bos_token_id": 9, "forced_eos_token_id": 9, "forced_decoder_ids": [[1, 9]]},
    "more than texts": {"return_dict_in_generate": True, "output_scores": True, "output_attentions": True},
}


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("what", FOREIGN)
def test_of_a_foreign_generation_config_nothing_but_whispers_own_counts(what: str, beams: int) -> None:
    plain, odd = multilingual(), multilingual()
    for name, value in FOREIGN[what].items():  # as a file gives it: transformers checks what is set by a call
        setattr(odd.generation_config, name, value)
    before = odd.generation_config.to_dict()
    expected, found = (run(one, noise(3), max_new_tokens=6, beams=beams) for one in (plain, odd))
    assert found.texts == expected.texts and found.tokens.tolist() == expected.tokens.tolist()
    assert odd.generation_config.to_dict() == before, "and it is left as it was"


def test_what_whisper_never_says_is_still_kept_from_it() -> None:
    model = multilingual()
    favour(model, 30, 50)
    model.generation_config.begin_suppress_tokens = [30]
    assert (
        run(model, noise(1), max_new_tokens=2).texts[0].split()[1] == "30" != run(model, noise(1)).texts[0].split()[0]
    )
    model.generation_config.suppress_tokens = [30]
    assert "30" not in run(model, noise(1), max_new_tokens=6).texts[0].split()


def test_the_model_is_left_as_it_was() -> None:
    model = multilingual().train()
    config, before = model.generation_config, model.generation_config.to_dict()
    run(model, noise(1), beams=2, max_new_tokens=3)
    assert model.training and model.generation_config is config and config.to_dict() == before


def test_wrong_windows_and_languages_are_named() -> None:
    model = multilingual()
    with pytest.raises(DataError, match=r"\(2, 8, 100\).*8 mels, 300 frames"):
        run(model, noise(2, 100))
    with pytest.raises(SpecError, match="does not know the language 'ta'"):
        transcribe(model, Spelled(), noise(1), language="ta", decoding=Decoding())

"""Checkpoints with the configs of published Whispers, random weights and a processor made here: nothing is fetched.

What decides how a checkpoint is used is as published: mel bands, vocabulary, special token ids, heads and their width's
ratio, windows and positions. Layers and width may be smaller.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

STAMPS = [f"<|{number * 0.02:.2f}|>" for number in range(1501)]
TASKS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")


@dataclass(frozen=True)
class Published:
    """Shape and vocabulary of a checkpoint, by its config on the hub."""

    width: int
    layers: tuple[int, int]
    heads: int
    mels: int = 80
    vocabulary: int = 51_865
    multilingual: bool = True

    @property
    def languages(self) -> list[str]:
        """99 languages, and from large-v3 on Cantonese besides; an English-only vocabulary has tokens for 99 too."""
        return list(LANGUAGES)[: 100 if self.vocabulary == 51_866 else 99]

    @property
    def words(self) -> int:
        """Tokens before the first special one: those of GPT-2, of which the multilingual vocabulary has one more."""
        return 50_257 if self.multilingual else 50_256

    def config(self, **changes: Any) -> WhisperConfig:
        end, start = self.words, self.words + 1
        shape = {
            "d_model": self.width,
            "encoder_layers": self.layers[0],
            "decoder_layers": self.layers[1],
            "encoder_attention_heads": self.heads,
            "decoder_attention_heads": self.heads,
            "encoder_ffn_dim": 4 * self.width,
            "decoder_ffn_dim": 4 * self.width,
            "num_mel_bins": self.mels,
            "vocab_size": self.vocabulary,
            "max_source_positions": 1500,
            "max_target_positions": 448,
            "decoder_start_token_id": start,
            **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), end),
            "suppress_tokens": None,
            "begin_suppress_tokens": None,
        }
        return WhisperConfig(**{**shape, **changes})


PUBLISHED = {
    "tiny": Published(384, (4, 4), 6),
    "tiny.en": Published(384, (4, 4), 6, vocabulary=51_864, multilingual=False),
    "small": Published(768, (12, 12), 12),
    "medium": Published(1024, (24, 24), 16),
    "large-v3": Published(1280, (32, 32), 20, mels=128, vocabulary=51_866),
    "turbo": Published(1280, (32, 4), 20, mels=128, vocabulary=51_866),
    "distil-large-v3": Published(1280, (32, 2), 20, mels=128, vocabulary=51_866),
}


def smaller(name: str) -> Published:
    """Return a published shape with heads 8 wide, and at most 2 layers a stack, so that a test has it in a moment."""
    whole = PUBLISHED[name]
    return replace(whole, width=8 * whole.heads, layers=(min(2, whole.layers[0]), min(2, whole.layers[1])))


def processor(shape: Published) -> Any:
    """Return a WhisperProcessor of the shape's vocabulary: bytes, made-up words, Whisper's special tokens in place."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    merges = [("Ġ", letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    while len(vocabulary) < shape.words:  # no merge makes them: they are there to be counted
        vocabulary[f"Ġword{len(vocabulary)}"] = len(vocabulary)
    vocabulary["<|endoftext|>"] = shape.words
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=merges, errors="replace")
    special = ["<|startoftranscript|>", *(f"<|{code}|>" for code in shape.languages), *TASKS]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens(STAMPS)
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.set_prefix_tokens()
    return WhisperProcessor(
        feature_extractor=WhisperFeatureExtractor(feature_size=shape.mels, chunk_length=30), tokenizer=tokenizer
    )


def generation(shape: Published, made: Any) -> GenerationConfig:
    """Return what OpenAI's checkpoints have beside their config."""
    known = made.tokenizer.convert_tokens_to_ids
    about: dict[str, Any] = {
        "decoder_start_token_id": known("<|startoftranscript|>"),
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), known("<|endoftext|>")),
        "is_multilingual": shape.multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "no_timestamps_token_id": known("<|notimestamps|>"),
        "prev_sot_token_id": known("<|startofprev|>"),
        "return_timestamps": False,
        "suppress_tokens": [1, 2, known("<|startoflm|>"), known("<|nospeech|>")],
        "begin_suppress_tokens": [0, known("<|endoftext|>")],
    }
    if shape.multilingual:
        about["lang_to_id"] = {f"<|{code}|>": known(f"<|{code}|>") for code in shape.languages}
        about["task_to_id"] = {task: known(f"<|{task}|>") for task in ("transcribe", "translate")}
    return GenerationConfig(**about)


def whisper(shape: Published, seed: int = 0) -> WhisperForConditionalGeneration:
    """Return a model with random weights; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return WhisperForConditionalGeneration(shape.config()).eval()


def checkpoint(folder: Path, shape: Published, *, old: bool = False) -> Path:
    """Write a checkpoint; ``old`` as fine-tuning left them in 2022: a forced prompt, and no generation config."""
    made = processor(shape)
    model = whisper(shape)
    model.generation_config = generation(shape, made)
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    if old:
        (folder / "generation_config.json").unlink()
        config = json.loads((folder / "config.json").read_text())
        known = made.tokenizer.convert_tokens_to_ids
        config["forced_decoder_ids"] = [[1, known("<|hi|>")], [2, known("<|translate|>")], [3, known(TASKS[-1])]]
        config["max_length"] = 448
        (folder / "config.json").write_text(json.dumps(config))
    return folder

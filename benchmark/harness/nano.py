"""``prunebench nano build``: train the embedded model from nothing on a synthetic corpus.

The architecture is Whisper's own, only small; the recipe is what it takes for so small a model to learn to attend:
short utterances first, a high rate with warm-up, and features that are warped along time and frequency so that three
voices it never heard are not out of reach.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from benchmark.api import Frozen, Split
from benchmark.harness.seeds import derive


class NanoSpec(Frozen):
    """Shape and recipe of a nano model. ``window`` is in whole seconds, as WhisperFeatureExtractor wants it."""

    languages: tuple[str, ...] = ("hi",)
    d_model: int = 128
    encoder_layers: int = 4
    decoder_layers: int = 2
    heads: int = 4
    ffn: int = 512
    mels: int = 80
    window: int = 3
    vocabulary: int = Field(default=640, ge=300, description="byte-level BPE tokens, special tokens not counted")
    target_positions: int = 64
    dropout: float = 0.05
    utterances: int = Field(default=6000, ge=1, description="of each language")
    steps: int = Field(default=8000, ge=1)
    batch: int = 16
    learning_rate: float = 1.5e-3
    precision: Literal["fp32", "bf16"] = "fp32"
    warmup: float = 0.06
    curriculum: float = Field(default=0.35, ge=0, le=1, description="share of the steps until all lengths are drawn")
    warp: float = Field(default=0.12, ge=0, lt=0.5, description="largest stretch of the mel axis, as a fraction")
    seed: int = 0


MULTILINGUAL: dict[str, Any] = {
    "d_model": 160,
    "ffn": 640,
    "vocabulary": 1024,
    "steps": 18000,
    "learning_rate": 1.2e-3,
    "precision": "bf16",
}
"""What the recipe for several languages has of its own; the rest is that for one."""


SPECIAL = ("<|endoftext|>", "<|startoftranscript|>")
TASKS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")


def build_processor(texts: Sequence[str], spec: NanoSpec) -> Any:
    """Return a WhisperProcessor whose byte-level BPE is trained on ``texts``, with Whisper's special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    trained.train_from_iterator(texts, trainer)
    state = json.loads(trained.to_str())["model"]
    vocabulary: dict[str, int] = dict(state["vocab"])
    merges = [tuple(pair) for pair in state["merges"]]
    vocabulary[SPECIAL[0]] = len(vocabulary)
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=merges, errors="replace")
    # WhisperTokenizer finds a language's id by its place in the full list, so all of Whisper's languages get a token.
    extra = [SPECIAL[1], *(f"<|{code}|>" for code in LANGUAGES), *TASKS]
    tokenizer.add_special_tokens({"additional_special_tokens": extra})
    tokenizer.pad_token = SPECIAL[0]
    if len(spec.languages) == 1:
        tokenizer.set_prefix_tokens(language=spec.languages[0], task="transcribe", predict_timestamps=False)
    extractor = WhisperFeatureExtractor(feature_size=spec.mels, chunk_length=spec.window)
    return WhisperProcessor(feature_extractor=extractor, tokenizer=tokenizer)


def build_model(processor: Any, spec: NanoSpec) -> Any:
    """Return a WhisperForConditionalGeneration of the spec's shape with random weights and its generation config."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    tokens = processor.tokenizer
    ids = {token: tokens.convert_tokens_to_ids(token) for token in (*SPECIAL, *TASKS)}
    end, start = ids[SPECIAL[0]], ids[SPECIAL[1]]
    config = WhisperConfig(
        vocab_size=len(tokens),
        num_mel_bins=spec.mels,
        d_model=spec.d_model,
        encoder_layers=spec.encoder_layers,
        decoder_layers=spec.decoder_layers,
        encoder_attention_heads=spec.heads,
        decoder_attention_heads=spec.heads,
        encoder_ffn_dim=spec.ffn,
        decoder_ffn_dim=spec.ffn,
        max_source_positions=spec.window * 50,
        max_target_positions=spec.target_positions,
        dropout=spec.dropout,
        decoder_start_token_id=start,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(derive(spec.seed, "init"))
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=start,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        max_length=spec.target_positions,
        is_multilingual=True,
        lang_to_id={f"<|{code}|>": tokens.convert_tokens_to_ids(f"<|{code}|>") for code in spec.languages},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        return_timestamps=False,
    )
    return model


def curriculum_order(lengths: Sequence[np.ndarray], spec: NanoSpec) -> np.ndarray:
    """Return utterance indices, shape ``(steps * batch,)``: the pool grows from the shortest fifth to all.

    ``lengths`` are tokens per utterance, an array a language; the indices count through all languages. The shortest are
    found within each language, so that a language of short words does not come first. After ``curriculum * steps``
    steps every utterance is drawn alike.
    """
    rng = np.random.default_rng(derive(spec.seed, "curriculum"))
    places = [np.argsort(np.argsort(some, kind="stable"), kind="stable") / len(some) for some in lengths]
    ranked = np.argsort(np.concatenate(places), kind="stable")
    ramp = max(1, round(spec.curriculum * spec.steps))
    share = np.minimum(1.0, 0.2 + 0.8 * np.arange(spec.steps) / ramp)
    pool = np.maximum(spec.batch, (share * len(ranked)).astype(np.int64))
    draws = rng.random((spec.steps, spec.batch))
    return ranked[(draws * pool[:, None]).astype(np.int64)].ravel()


class WarpedFeatures:
    """Log-mels that are stretched along the mel axis by a random factor at each reading (vocal-tract length).

    Jaitly and Hinton 2013 warp the filter bank by about 0.9 .. 1.1; here the finished log-mels are resampled, which
    needs no audio. The factor is drawn from a generator of its own, seeded by the spec.
    """

    def __init__(self, features: Sequence[np.ndarray], warp: float, seed: int) -> None:
        self.features, self.warp = features, warp
        self.starts = np.cumsum([0, *map(len, features)])
        self.rng = np.random.default_rng(derive(seed, "warp"))

    def __getitem__(self, index: int) -> np.ndarray:
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        plain = np.asarray(self.features[part][index - self.starts[part]], dtype=np.float32)
        mels = plain.shape[0]
        factor = 1.0 + self.rng.uniform(-self.warp, self.warp)
        position = np.clip(np.arange(mels) * factor, 0, mels - 1)
        low = position.astype(np.int64)
        high = np.minimum(low + 1, mels - 1)
        part = (position - low)[:, None].astype(np.float32)
        gain = np.float32(self.rng.uniform(-0.1, 0.1))
        return plain[low] * (1 - part) + plain[high] * part + gain


def build(splits: Mapping[str, Split], spec: NanoSpec, progress: Any = None) -> tuple[Any, Any]:
    """Train a nano model on one split a language and return ``(model, processor)``.

    A batch mixes the languages; each transcript begins with its language's token, as Whisper's do.
    """
    from benchmark.corpora.features import log_mels
    from benchmark.harness.batches import Tokenised
    from benchmark.harness.training import Given, fit
    from benchmark.specs import Training

    processor = build_processor([text for split in splits.values() for text in split.texts], spec)
    model = build_model(processor, spec)
    labels = []
    for language, split in splits.items():
        processor.tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
        labels.append(tokenise(split.texts, processor))
    features = [log_mels(split, processor.feature_extractor) for split in splits.values()]
    order = curriculum_order([np.array([len(ids) for ids in some]) for some in labels], spec)
    recipe = Training(
        steps=spec.steps,
        batch=spec.batch,
        learning_rate=spec.learning_rate,
        warmup=spec.warmup,
        decay="cosine",
        precision=spec.precision,
    )
    material = Tokenised(
        WarpedFeatures(features, spec.warp, spec.seed),  # type: ignore[arg-type]
        [ids for some in labels for ids in some],
    )
    fit(
        model,
        material,
        order,
        recipe,
        Given(steps=spec.steps, seed=derive(spec.seed, "fit") % 2**31, progress=progress),
    )
    model.config.dropout = 0.0
    if len(splits) > 1:  # the one who speaks decides
        processor.tokenizer.language = processor.tokenizer.task = None
        processor.tokenizer.set_prefix_tokens()
    return model.eval(), processor


def tokenise(texts: Sequence[str], processor: Any) -> list[list[int]]:
    """Return label ids per text: language, task, no-timestamps, text, end (the start token is shifted in)."""
    rows = processor.tokenizer(list(texts)).input_ids
    start = processor.tokenizer.convert_tokens_to_ids(SPECIAL[1])
    return [row[1:] if row and row[0] == start else row for row in rows]


def ship(model: Any, processor: Any, folder: Path) -> None:
    """Write the model in fp16 with its processor into ``folder``."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.float16).save_pretrained(folder)
    processor.save_pretrained(folder)
    model.to(torch.float32)

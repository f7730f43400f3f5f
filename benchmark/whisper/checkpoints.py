"""Checkpoints as they come: what old ones and English-only ones lack or carry along, set right when they are opened.

A generation config of 2022 names no languages and tasks and forces a prompt by ``forced_decoder_ids``; some fine-tuned
folders have none at all. What a prompt is made of is then read from the tokenizer, which always knows.
"""

from __future__ import annotations

from typing import Any

from benchmark.errors import DataError

MULTILINGUAL = 51_865
"""Rows of the vocabulary from which on a Whisper is multilingual (openai/whisper, ``Whisper.is_multilingual``)."""
_SINGLE = {"no_timestamps_token_id": "<|notimestamps|>", "prev_sot_token_id": "<|startofprev|>"}
_TASKS = ("translate", "transcribe")
_START = "<|startoftranscript|>"


def completed(model: Any, processor: Any) -> Any:
    """Return a model whose generation config says which languages and tasks there are, and forces nothing.

    What it says already stays. Changed in place.

    Raises:
        DataError: the tokenizer has a token that the model has no row for, or no start of a transcript.
    """
    config, tokenizer = model.generation_config, processor.tokenizer
    rows = int(model.config.vocab_size)
    known = {token: number for token, number in tokenizer.get_vocab().items() if token.startswith("<|")}
    if _START not in known:
        raise DataError(f"its tokenizer has no token {_START}, so it is none of a Whisper's")
    if max(len(tokenizer), *(number + 1 for number in known.values())) > rows:
        raise DataError(f"its tokenizer has {len(tokenizer)} tokens, and the model rows for {rows}")
    model.config.forced_decoder_ids = None
    config.forced_decoder_ids = None
    for name, token in _SINGLE.items():
        if getattr(config, name, None) is None and token in known:
            setattr(config, name, known[token])
    if getattr(config, "is_multilingual", None) is None:
        config.is_multilingual = bool(getattr(config, "lang_to_id", None)) or rows >= MULTILINGUAL
    if config.is_multilingual:
        _name_languages(config, known)
    config._from_model_config = False  # else saving would derive it from the model's config anew, without all this
    if config.decoder_start_token_id is None:
        config.decoder_start_token_id = known[_START]
    return model


def _name_languages(config: Any, known: dict[str, int]) -> None:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    if not getattr(config, "lang_to_id", None):
        config.lang_to_id = {token: known[token] for code in LANGUAGES if (token := f"<|{code}|>") in known}
    if not getattr(config, "task_to_id", None):
        config.task_to_id = {task: known[f"<|{task}|>"] for task in _TASKS if f"<|{task}|>" in known}


def set_language(processor: Any, model: Any, language: str) -> None:
    """Make labels begin as a transcript in a language does: its token and the task's, or neither on an English model.

    Changed in place.
    """
    from benchmark.measure.decoding import is_multilingual

    tokenizer = processor.tokenizer
    if not hasattr(tokenizer, "set_prefix_tokens"):
        return
    if is_multilingual(model):
        tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
    else:
        tokenizer.language = tokenizer.task = None
        tokenizer.set_prefix_tokens(predict_timestamps=False)

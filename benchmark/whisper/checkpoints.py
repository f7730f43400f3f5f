"""Checkpoints as they come: what old ones and English-only ones lack or carry along, set right when they are opened.

A generation config of 2022 names no languages and tasks and forces a prompt by ``forced_decoder_ids``; some fine-tuned
folders have none at all, or name no token that ends a text. What a prompt and an end are made of is then read from the
tokenizer, which always knows.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmark.errors import DataError, SpecError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.api import Model

MULTILINGUAL = 51_865
"""Rows of the vocabulary from which on a Whisper is multilingual (openai/whisper, ``Whisper.is_multilingual``)."""
_SINGLE = {"no_timestamps_token_id": "<|notimestamps|>", "prev_sot_token_id": "<|startofprev|>"}
_TASKS = ("translate", "transcribe")
_START, _END = "<|startoftranscript|>", "<|endoftext|>"


def completed(model: Any, processor: Any) -> Any:
    """Return a model whose generation config says which languages and tasks there are and what ends a text.

    It forces nothing, then.

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
    _name_languages(config, known, rows)
    config._from_model_config = False  # else saving would derive it from the model's config anew, without all this
    if config.decoder_start_token_id is None:
        config.decoder_start_token_id = known[_START]
    for name in ("eos_token_id", "pad_token_id"):  # OpenAI pads with the end
        if getattr(config, name) is None:
            setattr(config, name, known.get(_END, model.config.eos_token_id))
    return model


def _name_languages(config: Any, known: dict[str, int], rows: int) -> None:
    """Say whether a model of so many rows is multilingual and, if so, in which languages and tasks."""
    if getattr(config, "is_multilingual", None) is None:
        config.is_multilingual = bool(getattr(config, "lang_to_id", None)) or rows >= MULTILINGUAL
    if not config.is_multilingual:
        return
    if not getattr(config, "lang_to_id", None):
        from transformers.models.whisper.tokenization_whisper import LANGUAGES

        config.lang_to_id = {token: known[token] for code in LANGUAGES if (token := f"<|{code}|>") in known}
    if not getattr(config, "task_to_id", None):
        config.task_to_id = {task: known[f"<|{task}|>"] for task in _TASKS if f"<|{task}|>" in known}


def check_language(source: Model, language: str) -> None:
    """Refuse a language by the small files of a checkpoint, before it is opened: no weights are read, no hub is asked.

    What is not on this machine, or cannot be read, is not judged here: opening it will.

    Raises:
        SpecError: the model does not know the language.
    """
    from benchmark.measure.decoding import refuse_unknown

    config = SimpleNamespace(**_read(source.file("generation_config.json")))
    shape = _read(source.file("config.json"))
    if not shape.get("vocab_size"):
        return
    known = {} if getattr(config, "lang_to_id", None) else _special(source)
    _name_languages(config, known, int(shape["vocab_size"]))
    if not config.is_multilingual or config.lang_to_id:
        refuse_unknown(config, language)


def _special(source: Model) -> dict[str, int]:
    """Return the tokens added to a checkpoint's vocabulary, by the files of its tokenizer."""
    added = _read(source.file("tokenizer.json")).get("added_tokens") or []
    return {str(one["content"]): int(one["id"]) for one in added} | _read(source.file("added_tokens.json"))


def _read(path: Path | None) -> dict[str, Any]:
    """Return an object of JSON; empty where there is none."""
    try:
        found = {} if path is None else json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def set_language(processor: Any, model: Any, language: str) -> None:
    """Make labels begin as a transcript in a language does: its token and the task's, or neither on an English model.

    Changed in place.

    Raises:
        SpecError: a multilingual model that does not know the language.
    """
    from benchmark.measure.decoding import is_multilingual, refuse_unknown

    tokenizer = processor.tokenizer
    if not hasattr(tokenizer, "set_prefix_tokens"):
        return
    if not is_multilingual(model):
        tokenizer.language = tokenizer.task = None
        tokenizer.set_prefix_tokens(predict_timestamps=False)
        return
    refuse_unknown(model.generation_config, language)
    try:
        tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
    except ValueError:
        raise SpecError(
            f"this model has a token for the language {language!r}, but transformers' WhisperTokenizer has no such "
            "language, so labels cannot begin with it: name the language whose token is to be used instead"
        ) from None

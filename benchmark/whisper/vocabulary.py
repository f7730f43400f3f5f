"""Trimming the vocabulary: which token ids move where, in configs and in the tokenizer.

Kept tokens keep their order, so that the time stamps, which Whisper takes for a contiguous range at the end, stay one.
A byte-level BPE stays sound when the parts of each kept token's merge are kept too: merges apply in the old order, and
a word whose tokens are all kept is cut as before (checked in the tests; the checklist of what has to move is in
``KeepTokens``' card).
"""

from __future__ import annotations

import json
import re
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import SpecError
from benchmark.whisper.structure import TOKENS

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.whisper.plan import Plan

_SINGLE = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "prev_sot_token_id")
_TIMESTAMPS = ("no_timestamps_token_id",)
_LISTS = ("suppress_tokens", "begin_suppress_tokens")
_TABLES = ("lang_to_id", "task_to_id")


def remap_ids(config: Any, kept: Tensor) -> None:
    """Rewrite, in place, all token ids of a model or generation config for a vocabulary of ``kept`` (sorted ids).

    Suppressed tokens, languages and tasks that are gone leave their lists.

    Raises:
        SpecError: a special token that the model cannot do without is not kept.
    """
    new = {int(old): index for index, old in enumerate(kept.tolist())}
    for name in (*_SINGLE, *_TIMESTAMPS):
        value = getattr(config, name, None)
        if value is not None:
            values = value if isinstance(value, list) else [value]
            gone = [old for old in values if old not in new]
            if gone:
                raise SpecError(f"plan removes token {gone[0]}, the model's {name}; special tokens must be kept")
            setattr(config, name, [new[old] for old in values] if isinstance(value, list) else new[value])
    for name in _LISTS:
        value = getattr(config, name, None)
        if value is not None:
            setattr(config, name, [new[old] for old in value if old in new])
    for name in _TABLES:
        table = getattr(config, name, None)
        if table is not None:
            setattr(config, name, {key: new[old] for key, old in table.items() if old in new})
    forced = getattr(config, "forced_decoder_ids", None)
    if forced is not None:
        pairs = [[position, None if old is None else new.get(old)] for position, old in forced]
        config.forced_decoder_ids = [
            pair for pair, (_, old) in zip(pairs, forced, strict=True) if old is None or pair[1]
        ]


def processor_of(plan: Plan, processor: Any) -> Any:
    """Return the processor of what a plan leaves of a vocabulary; the very same where it leaves all.

    Raises:
        SpecError: as ``trim_processor``.
    """
    kept = plan.kept.get(TOKENS)
    return processor if kept is None else trim_processor(processor, kept)


def trim_processor(processor: Any, kept: Tensor) -> Any:
    """Return a WhisperProcessor for a vocabulary of ``kept`` (sorted ids of the old one); ``processor`` is not changed.

    Rewrites vocabulary, merges, added tokens and post-processor of the fast tokenizer, and opens the result anew.

    Raises:
        SpecError: the tokenizer is not a fast byte-level BPE, or a kept token's parts are not kept.
    """
    from transformers import WhisperProcessor

    new = {int(old): index for index, old in enumerate(kept.tolist())}
    with tempfile.TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise SpecError(
                f"{type(processor.tokenizer).__name__} has no tokenizer.json; a vocabulary cannot be trimmed"
            )
        path.write_text(json.dumps(_trimmed(json.loads(path.read_text()), new), ensure_ascii=False))
        settings = Path(folder) / "tokenizer_config.json"
        told = json.loads(settings.read_text())
        if "added_tokens_decoder" in told:
            added = told["added_tokens_decoder"]
            told["added_tokens_decoder"] = {str(new[int(old)]): said for old, said in added.items() if int(old) in new}
        settings.write_text(json.dumps(told, ensure_ascii=False))
        for stale in ("vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"):
            (Path(folder) / stale).unlink(missing_ok=True)
        result = WhisperProcessor.from_pretrained(folder, local_files_only=True)
    # The language is a state of the tokenizer object, which its files do not always carry.
    language, task = getattr(processor.tokenizer, "language", None), getattr(processor.tokenizer, "task", None)
    if language and hasattr(result.tokenizer, "set_prefix_tokens"):
        result.tokenizer.set_prefix_tokens(language=language, task=task)
    return result


def _trimmed(data: dict[str, Any], new: dict[int, int]) -> dict[str, Any]:
    """Return the content of ``tokenizer.json`` for the new ids."""
    model = data["model"]
    if model.get("type") != "BPE":
        raise SpecError(f"a tokenizer of type {model.get('type')!r} cannot be trimmed; Whisper's is a byte-level BPE")
    vocabulary = {token: new[old] for token, old in model["vocab"].items() if old in new}
    merges, made = [], set()
    for merge in model["merges"]:
        left, right = merge if isinstance(merge, list) else merge.split(" ")
        if left + right in vocabulary and left in vocabulary and right in vocabulary:
            merges.append(merge)
            made.add(left + right)
    special = {item["content"] for item in data["added_tokens"]}
    orphans = [token for token in vocabulary if len(token) > 1 and token not in made and token not in special]
    if orphans:
        raise SpecError(f"token {orphans[0]!r} is kept, and no merge that makes it: keep its parts too")
    added = [{**item, "id": new[item["id"]]} for item in data["added_tokens"] if item["id"] in new]
    post = data.get("post_processor")
    if post and "special_tokens" in post:
        for item in post["special_tokens"].values():
            if any(old not in new for old in item["ids"]):
                raise SpecError(f"token {item['id']!r} begins or ends every transcript and is not kept")
            item["ids"] = [new[old] for old in item["ids"]]
    return {**data, "model": {**model, "vocab": vocabulary, "merges": merges}, "added_tokens": added}


def merge_parts(processor: Any) -> Tensor:
    """Return ``(token, left, right)`` ids of every merge of a fast byte-level BPE tokenizer, shape ``(merges, 3)``."""
    import torch

    data = json.loads(processor.tokenizer.backend_tokenizer.to_str())["model"]
    ids: dict[str, int] = data["vocab"]
    pairs = [merge if isinstance(merge, list) else merge.split(" ") for merge in data["merges"]]
    rows = [(ids[left + right], ids[left], ids[right]) for left, right in pairs]
    return torch.tensor(rows, dtype=torch.long).reshape(-1, 3)


def token_table(labels: Sequence[Sequence[int]], processor: Any, size: int) -> dict[str, Tensor]:
    """Return what a rule needs to know of the tokens of a pool of transcripts and of their tokenizer.

    ``counts`` ``(size,)``: how often each token stands in ``labels``. ``required`` bool: added (special) tokens, single
    bytes (rows that only pad the embedding are not required). ``letters`` bool: tokens of one letter or mark of a
    script that the transcripts are written in. ``timestamps`` bool: the special tokens of time stamps. ``merges``
    ``(merges, 3)``: see ``merge_parts``.

    Args:
        labels: token ids of each transcript; negative ids are padding.
        processor: a WhisperProcessor with a fast tokenizer.
        size: rows of the embedding.
    """
    import torch

    tokenizer = processor.tokenizer
    flat = torch.tensor([token for row in labels for token in row if token >= 0], dtype=torch.long)
    counts = torch.bincount(flat, minlength=size)
    known = min(size, len(tokenizer))
    names = tokenizer.convert_ids_to_tokens(list(range(known)))
    added = tokenizer.get_added_vocab()
    texts = tokenizer.batch_decode([[token] for token in range(known)])
    spoken = {
        script
        for text in set(tokenizer.batch_decode([list(row) for row in labels], skip_special_tokens=True))
        for script in map(_script, set(text))
        if script
    }
    required = [name in added or len(name) == 1 for name in names]
    letters = [name not in added and _script(text.strip()) in spoken for name, text in zip(names, texts, strict=True)]
    stamps = [name in added and bool(_STAMP.fullmatch(name)) for name in names]
    table = {"required": required, "letters": letters, "timestamps": stamps}
    padded = {key: torch.tensor(bits + [False] * (size - known)) for key, bits in table.items()}
    return {"counts": counts, "merges": merge_parts(processor), **padded}


_STAMP = re.compile(r"<\|\d+\.\d\d\|>")


def _script(text: str) -> str | None:
    """Return the script of a single letter or mark, as its Unicode name begins (``DEVANAGARI``); None for all else."""
    if len(text) != 1 or unicodedata.category(text)[0] not in "LM":
        return None
    return unicodedata.name(text, "").partition(" ")[0] or None

"""Corpora of SYNTHETIC speech: sentences from a grammar, said by espeak-ng. One file in ``words/`` is one corpus.

Audio is made on demand in blocks and kept in the cache; texts and speakers depend on the word list alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from filelock import FileLock

from benchmark.api import Corpus, Split
from benchmark.corpora import _grammar, _speech
from benchmark.corpora._cache import VARIABLE, cache_folder, sweep, write_atomically
from benchmark.errors import DataError, PrunebenchError, nearest
from benchmark.registry import REGISTRY, Failure

log = logging.getLogger(__name__)
BLOCK = 100
_SOUND_VERSION = "1"  # raise it when speakers, rates, noise or resampling change: the audio is another one then


@dataclass(frozen=True)
class Block:
    """The audio of up to ``BLOCK`` utterances: memory-mapped samples, ends of utterances, digest of each."""

    samples: np.ndarray
    ends: tuple[int, ...]
    digests: tuple[bytes, ...]


class SyntheticSplit(Split):
    """Utterances of a synthetic corpus whose audio is in the cache."""

    def __init__(self, ids: list[str], texts: list[str], speakers: list[str], blocks: list[Block]) -> None:
        self.ids, self.texts, self.speakers = ids, texts, speakers
        self._blocks = blocks
        digests = [digest for block in blocks for digest in block.digests][: len(ids)]
        self.digests = [digest.hex() for digest in digests]
        self._hash = self.hash_of(digests)

    def waveform(self, index: int) -> np.ndarray:
        """Return mono float32 samples at 16 kHz, shape ``(samples,)``."""
        if not 0 <= index < len(self.ids):
            raise IndexError(f"utterance {index} of {len(self.ids)}")
        block, place = self._blocks[index // BLOCK], index % BLOCK
        start = block.ends[place - 1] if place else 0
        return np.asarray(block.samples[start : block.ends[place]], dtype=np.float32) / np.float32(32768)

    @property
    def data_hash(self) -> str:
        """SHA-256 over ids, texts and audio, in order."""
        return self._hash


class SyntheticCorpus(Corpus):
    """SYNTHETIC speech by espeak-ng (formant synthesis): grammatical sentences of a small vocabulary, at most 3 s.

    Results on it do not carry over to real speech: there is no coarticulation, no spontaneous speech, no real room. It
    is for tests, for demonstrations, and for studying compression where no recorded data can be had. Splits: ``train``
    (6,000 utterances), ``dev`` (300), ``test`` (600) with the same eight voices, and ``test-unseen-voice`` (400) with
    three others. No sentence is in two splits. Light noise (25-35 dB) and loudness vary by utterance.
    """

    splits: ClassVar[tuple[str, ...]] = tuple(_grammar.SIZES)
    synthetic: ClassVar[bool] = True
    language: str

    def load(self, split: str, limit: int | None = None) -> SyntheticSplit:
        """Return the first ``limit`` utterances of a split; audio is generated where the cache has none.

        Raises:
            DataError: the split does not exist, ``limit`` is not positive, or espeak-ng cannot be used.
        """
        if split not in self.splits:
            raise DataError(f"{self.name} has no split {split!r}{nearest(split, self.splits)}")
        if limit is not None and limit < 1:
            raise DataError(f"{self.name}/{split}: limit = {limit}: ask for at least one utterance")
        texts = _grammar.texts(self.language)[split][:limit]
        who = [_speech.speaker(self._key, split, index) for index in range(len(texts))]
        ids = [f"{self.name}/{split}/{index:05d}" for index in range(len(texts))]
        return SyntheticSplit(ids, list(texts), [one.variant for one in who], self._blocks(split, len(texts)))

    def texts(self, split: str) -> tuple[str, ...]:
        """Return the sentences of a split; nothing is spoken for it.

        Raises:
            DataError: the split does not exist.
        """
        if split not in self.splits:
            raise DataError(f"{self.name} has no split {split!r}{nearest(split, self.splits)}")
        return _grammar.texts(self.language)[split]

    @property
    def _key(self) -> str:
        """What all draws of this corpus depend on."""
        return f"{self.name}:{_SOUND_VERSION}:{_grammar.grammar(self.language).revision}"

    def _blocks(self, split: str, count: int) -> list[Block]:
        folder = cache_folder() / "corpora" / f"{self.name}-v{self.version}" / split
        total = len(_grammar.texts(self.language)[split])
        spans = [range(start, min(start + BLOCK, total)) for start in range(0, count, BLOCK)]
        blocks = {span: _open(_stem(folder, span), len(span)) for span in spans}
        if None in blocks.values():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with FileLock(folder / ".lock"):
                    for span in spans:  # another process may have made some while this one waited
                        blocks[span] = blocks[span] or _open(_stem(folder, span), len(span))
                    self._generate(split, folder, [span for span in spans if blocks[span] is None])
            except OSError as error:
                raise DataError(
                    f"{folder}: cannot write audio ({error}); point {VARIABLE} to a folder with room"
                ) from error
            for span in spans:
                blocks[span] = blocks[span] or _open(_stem(folder, span), len(span))
        found = [block for block in blocks.values() if block is not None]
        if len(found) < len(spans):
            raise DataError(f"{folder}: audio cannot be read back after writing it; is the disk full?")
        return found

    def _generate(self, split: str, folder: Path, spans: list[range]) -> None:
        if not spans:
            return
        sweep(folder, *(f".{_stem(folder, span).name}." for span in spans))
        log.info("%s/%s: synthesising %d utterances into %s", self.name, split, sum(map(len, spans)), folder)
        texts = _grammar.texts(self.language)[split]
        with _speech.Voice(_grammar.grammar(self.language).voice) as voice:
            for span in spans:
                sounds = []
                for index in span:
                    who = _speech.speaker(self._key, split, index)
                    noise = _grammar.rng(self._key, split, index, "noise")
                    sounds.append(_speech.in_room(voice.say(texts[index], who), who, noise))
                _save(_stem(folder, span), sounds)


def _stem(folder: Path, span: range) -> Path:
    return folder / f"{span.start:05d}"


def _save(stem: Path, sounds: list[np.ndarray]) -> None:
    """Write a block: the samples first, then the index, which alone makes them valid."""
    index = {
        "ends": np.cumsum([sound.size for sound in sounds]).tolist(),
        "digests": [hashlib.sha256(sound.tobytes()).hexdigest() for sound in sounds],
    }
    samples = np.concatenate(sounds)
    write_atomically(stem.with_suffix(".npy"), lambda file: np.save(file, samples, allow_pickle=False))
    write_atomically(stem.with_suffix(".json"), lambda file: file.write(json.dumps(index).encode()))


def _open(stem: Path, count: int) -> Block | None:
    """Return the block at ``stem``; None when it is not there, cut off, or not what was written."""
    try:
        index = json.loads(stem.with_suffix(".json").read_bytes())
        samples = np.load(stem.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        ends, digests = [int(end) for end in index["ends"]], [bytes.fromhex(text) for text in index["digests"]]
        parts = np.split(samples, ends[:-1])
        whole = len(ends) == len(digests) == count and samples.dtype == "<i2" and samples.shape == (ends[-1],)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, IndexError, OSError, EOFError) as error:
        log.warning("%s: not readable (%s); it is made again", stem, error)
        return None
    if not whole or any(
        hashlib.sha256(part.data).digest() != digest for part, digest in zip(parts, digests, strict=True)
    ):
        log.warning("%s: not what was written; it is made again", stem)
        return None
    return Block(samples, tuple(ends), tuple(digests))


def _corpus(language: str) -> type[SyntheticCorpus]:
    grammar = _grammar.grammar(language)
    body: dict[str, Any] = {
        "__doc__": f"{SyntheticCorpus.__doc__}\n    Language: {language}; {len(grammar.words())} words.\n    ",
        "__module__": __name__,
        "language": language,
        "version": f"{_SOUND_VERSION}.{grammar.revision}-{grammar.digest[:8]}",
    }
    return type(f"Synthetic{language.capitalize()}", (SyntheticCorpus,), body)


def _register_all() -> None:
    """Register a corpus a word list; a list with a mistake is reported by `doctor`, and takes no other away."""
    for language in _grammar.languages():
        try:
            corpus = _corpus(language)
        except PrunebenchError as error:
            REGISTRY.failures.append(Failure(f"{__name__} (words/{language}.yaml)", str(error)))
            continue
        REGISTRY.register("corpus", _grammar.grammar(language).name)(corpus)


_register_all()
